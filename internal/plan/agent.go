package plan

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Variables of the host that reach the agent by name when they are set.
var passed = []string{"COLORTERM", "EDITOR", "LANG", "NO_COLOR", "TERM", "TZ", "VISUAL"}

// EnvPrefix marks variables of the host that are passed with the prefix taken off.
const EnvPrefix = "AIFO_ENV_"

// agentPrefix begins the names of agents' containers.
const agentPrefix = "aifo-coder-"

func (b planner) agentName() string { return agentPrefix + b.o.Agent.Name + "-" + b.id }

// AgentOf returns the agent in the container of that name of session id, or "" for a name
// that no plan gives.
func AgentOf(container, id string) string {
	name, ok := strings.CutSuffix(container, "-"+id)
	agent, ours := strings.CutPrefix(name, agentPrefix)
	if !ok || !ours {
		return ""
	}
	return agent
}

// agent returns the agent's container, from the image.
func (b planner) agent(p *Proxy, image string) dockerargs.Run {
	name, limit := b.agentName(), b.o.Limits.of(KindAgent)
	run := dockerargs.Run{
		Remove:      true,
		Interactive: true,
		TTY:         b.f.Interactive(),
		Name:        name,
		Hostname:    name,
		Network:     b.networkOf(KindAgent),
		Labels:      b.labels(KindAgent),
		CapAdd:      b.caps(toolchain.Kind{}, agentCaps),
		Security:    security(b.o.AppArmor.Agent),
		LogDriver:   "none", // what an agent prints may be secret, and is without end
		PidsLimit:   limit.Pids,
		Memory:      limit.Memory,
		CPUs:        limit.CPUs,
		GPUs:        limit.GPUs,
		Mounts:      b.agentMounts(p),
		Tmpfs:       append(b.tunnelMount(KindAgent, toolchain.Kind{}), b.gitLogs(toolchain.Kind{})...),
		Env:         b.agentEnv(p),
		User:        bootUser,
		Entrypoint:  execproto.ShimBinary,
		Image:       image,
		Args:        b.agentBoot(),
	}
	switch {
	case b.closed(KindAgent):
		run.AddHosts = ownName(name)
	case p != nil && p.TCP():
		run.AddHosts = b.hostName()
	}
	b.fit(&run)
	return run
}

// agentBoot returns the arguments of the boot program in the agent's container.
func (b planner) agentBoot() []string {
	args := append(b.boot(toolchain.Kind{}), "--path-first", execproto.ShimDir)
	if b.o.Broker != nil {
		for _, setting := range b.o.Broker.Git {
			args = append(args, "--git", setting)
		}
	}
	_, config := b.config()
	args = append(args, config...)
	for _, s := range b.standIns() {
		args = append(args, "--stand-in", s)
	}
	args = append(append(args, "--workdir", b.workdir()), b.relay(KindAgent)...)
	command := b.o.Agent.Command(b.o.Args, b.isTool)
	if b.brokersKeys() {
		command = b.o.Agent.WithBroker(command, b.o.Broker.Env)
	}
	for _, word := range b.o.Agent.WithoutSandbox(command) {
		args = append(args, "--without-sandbox="+word)
	}
	return append(append(args, "--"), command...)
}

// isTool reports whether the first of an agent's words is a command of its own.
func (b planner) isTool(word string) bool {
	return word == execproto.NameRun || word == execproto.NameTools || word == execproto.NameMCP || b.o.Kinds.Candidates(word) != nil
}

// systemBin is where a distribution has compilers, make and other shared tools.
const systemBin = "/usr/bin"

// standIns returns, as the boot program takes them, the places of the session's
// tools in their own images, each directory once.
func (b planner) standIns() []string {
	var dirs []string
	names := map[string][]string{}
	add := func(dir string, tools []string) {
		if len(tools) > 0 && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		for _, tool := range tools {
			if !slices.Contains(names[dir], tool) {
				names[dir] = append(names[dir], tool)
			}
		}
	}
	for _, s := range b.o.Toolchains {
		for _, dir := range s.Kind.Places {
			add(dir, s.Kind.Tools)
		}
		add(systemBin, s.Kind.Shared)
	}
	for i, dir := range dirs {
		dirs[i] = dir + ":" + strings.Join(names[dir], ",")
	}
	return dirs
}

func (b planner) agentMounts(p *Proxy) []dockerargs.Mount {
	mounts := []dockerargs.Mount{
		dockerargs.Bind(b.f.Workspace, b.mountPoint()),
		dockerargs.BindRO(b.f.ShimDir, execproto.ShimDir),
	}
	mounts = append(mounts, b.repositoryMounts()...)
	for _, dir := range b.o.Agent.State {
		mounts = append(mounts, dockerargs.Bind(b.stateDir(dir), dir))
	}
	config, _ := b.config()
	mounts = append(mounts, config...)
	return slices.Concat(mounts, socketMount(b.agentSocketDir(p)), b.caMount(), b.o.Mounts)
}

// repositoryMounts returns what containers see of the workspace's repository
// beside the workspace itself: the objects that it borrows, and nothing of the clones that fork
// mode keeps in it, which are other agents'.
func (b planner) repositoryMounts() []dockerargs.Mount {
	var mounts []dockerargs.Mount
	if b.f.HasForks {
		mounts = append(mounts, dockerargs.Mount{Type: "tmpfs", Target: path.Join(b.mountPoint(), hostfacts.ForksDir), ReadOnly: true})
	}
	for _, dir := range b.o.Borrowed {
		mounts = append(mounts, dockerargs.BindRO(dir, dir))
	}
	return append(mounts, b.gitLinkMounts()...)
}

// stateDir returns the host directory for a state directory of the agent:
// below a directory of the agent's own, named like its last part.
func (b planner) stateDir(container string) string {
	rel := strings.TrimPrefix(container, execproto.Home+"/")
	return hostJoin(b.f, b.f.StateDir, b.o.Agent.Name, strings.ReplaceAll(rel, "/", "_"))
}

// agentEnv returns the variables of the agent in a fixed order.
func (b planner) agentEnv(p *Proxy) []dockerargs.Env {
	env := []dockerargs.Env{
		{Name: "HOME", Value: execproto.Home},
		{Name: "AIFO_AGENT_NAME", Value: b.o.Agent.Name},
	}
	env = append(env, b.workspaceEnv()...)
	if _, set := b.secrets()[agent.SandboxEnv]; !set {
		env = append(env, dockerargs.Env{Name: agent.SandboxEnv, Value: "1"})
	}
	env = append(env, secretEnv(b.secrets())...)
	env = append(env, b.brokerEnv()...)
	env = append(env, b.caEnv()...)
	env = override(append(env, b.egressEnv(KindAgent)...), b.userEnv(KindAgent))
	if p == nil {
		return env
	}
	url := dockerargs.Env{Name: execproto.EnvURL, Value: execproto.SocketURL}
	if p.TCP() {
		url = dockerargs.Env{Name: execproto.EnvURL, Secret: true} // its port is known only when the proxy listens
	}
	return append(env, url, dockerargs.Env{Name: execproto.EnvToken, Secret: true})
}

// secrets returns the variables that the agent's vector has by name only.
func (b planner) secrets() map[string]string {
	values := map[string]string{}
	if !b.brokersKeys() {
		values = b.o.Agent.CredentialValues(b.f.Env.Get)
	}
	maps.Copy(values, b.networkValues(KindAgent))
	maps.Copy(values, b.mountsValue())
	for _, name := range passed {
		if v := b.f.Env.Get(name); v != "" {
			values[name] = v
		}
	}
	for name, v := range b.f.Env {
		if name, ok := strings.CutPrefix(name, EnvPrefix); ok && Passable(name) && !b.brokered(name) {
			values[name] = v
		}
	}
	maps.Copy(values, b.userEnv(KindAgent))
	return values
}

// userEnv returns the variables that the user sets in a container.
func (b planner) userEnv(container string) map[string]string {
	values := map[string]string{}
	maps.Copy(values, b.o.Env[""])
	maps.Copy(values, b.o.Env[container])
	return values
}

// override returns the variables with those of the user in place of ours of the same name.
// The user's are by name only: they may be secret.
func override(env []dockerargs.Env, values map[string]string) []dockerargs.Env {
	env = slices.DeleteFunc(env, func(e dockerargs.Env) bool { _, own := values[e.Name]; return own })
	return append(env, secretEnv(values)...)
}

// brokered reports whether the broker stands for a variable, so that it may not be passed.
func (b planner) brokered(name string) bool {
	return b.brokersKeys() && slices.Contains(b.o.Agent.Credentials, name)
}

// brokersKeys reports whether the agent gets placeholders; a broker may be for git alone.
func (b planner) brokersKeys() bool { return b.o.Broker != nil && b.o.Broker.Placeholders != nil }

// brokerEnv returns the variables that lead the agent to the broker. Its placeholders
// are made when it starts.
func (b planner) brokerEnv() []dockerargs.Env {
	if b.o.Broker == nil {
		return nil
	}
	env := secretEnv(b.o.Broker.Placeholders)
	for _, name := range slices.Sorted(maps.Keys(b.o.Broker.Env)) {
		env = append(env, dockerargs.Env{Name: name, Value: b.o.Broker.Env[name]})
	}
	return env
}

// Passable reports whether AIFO_ENV_<name> may set name in the container. The
// value also stands in the environment of the docker command, so names that
// steer docker or the loader are refused, as are those that we set ourselves.
func Passable(name string) bool {
	if name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return false
	}
	for _, prefix := range []string{"DOCKER_", "BUILDKIT_", "LD_", "DYLD_", "AIFO_", "XDG_"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return !slices.Contains(podmanVariables, name) && !slices.Contains([]string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TERM", "PWD", "TMPDIR", "SSH_AUTH_SOCK"}, name)
}

// podmanVariables steer podman.
var podmanVariables = []string{
	"CONTAINER_CONNECTION", "CONTAINER_HOST", "CONTAINER_SSHKEY", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE",
	"CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "REGISTRY_AUTH_FILE", "STORAGE_DRIVER", "STORAGE_OPTS",
}

func (b planner) stateDirs() []string {
	var dirs []string
	for _, dir := range b.o.Agent.State {
		dirs = append(dirs, b.stateDir(dir))
	}
	return dirs
}

// ProxyEnv returns the variables that the agent's vector has by name and that
// are known only when the proxy listens.
func ProxyEnv(p Proxy, port int, token string) map[string]string {
	env := map[string]string{execproto.EnvToken: token}
	if p.TCP() {
		env[execproto.EnvURL] = "http://" + path.Join(p.hostPort(port), execproto.PathExec)
	}
	return env
}
