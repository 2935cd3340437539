package plan

import (
	"maps"
	"path"
	"path/filepath"
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

func (b planner) agentName() string { return "aifo-coder-" + b.o.Agent.Name + "-" + b.id }

// agent returns the agent's container, from the image.
func (b planner) agent(p *Proxy, image string) dockerargs.Run {
	name := b.agentName()
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
		PidsLimit:   b.o.Limits.pids(),
		Memory:      b.o.Limits.Memory,
		Mounts:      b.agentMounts(p),
		Tmpfs:       b.tunnelMount(KindAgent, toolchain.Kind{}),
		Env:         b.agentEnv(p),
		User:        bootUser,
		Entrypoint:  execproto.ShimBinary,
		Image:       image,
		Args:        b.agentBoot(),
	}
	switch {
	case b.closed(KindAgent):
		run.AddHosts = ownName(name)
	case p != nil && p.TCP() && b.nativeLinux():
		run.AddHosts = []string{hostAlias + ":host-gateway"}
	}
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
	return word == execproto.NameRun || word == execproto.NameTools || b.o.Kinds.Candidates(word) != nil
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
		dockerargs.Bind(b.f.Workspace, execproto.Workspace),
		dockerargs.BindRO(b.f.ShimDir, execproto.ShimDir),
	}
	mounts = append(mounts, b.repositoryMounts()...)
	for _, dir := range b.o.Agent.State {
		mounts = append(mounts, dockerargs.Bind(b.stateDir(dir), dir))
	}
	config, _ := b.config()
	mounts = append(mounts, config...)
	if !b.tunnelled(KindAgent) && (p != nil && p.SocketDir != "" || b.hasWayOut(KindAgent)) {
		mounts = append(mounts, dockerargs.BindRO(b.socketDir(KindAgent), execproto.SocketDir))
	}
	return append(mounts, b.caMount()...)
}

// repositoryMounts returns what containers see of the workspace's repository
// beside the workspace itself: the objects that it borrows, and nothing of the clones that fork
// mode keeps in it, which are other agents'.
func (b planner) repositoryMounts() []dockerargs.Mount {
	var mounts []dockerargs.Mount
	if b.f.HasForks {
		mounts = append(mounts, dockerargs.Mount{Type: "tmpfs", Target: path.Join(execproto.Workspace, hostfacts.ForksDir), ReadOnly: true})
	}
	for _, dir := range b.o.Borrowed {
		mounts = append(mounts, dockerargs.BindRO(dir, dir))
	}
	return mounts
}

// stateDir returns the host directory for a state directory of the agent:
// below a directory of the agent's own, named like its last part.
func (b planner) stateDir(container string) string {
	rel := strings.TrimPrefix(container, execproto.Home+"/")
	return filepath.Join(b.f.StateDir, b.o.Agent.Name, strings.ReplaceAll(rel, "/", "_"))
}

// agentEnv returns the variables of the agent in a fixed order.
func (b planner) agentEnv(p *Proxy) []dockerargs.Env {
	env := []dockerargs.Env{
		{Name: "HOME", Value: execproto.Home},
		{Name: "AIFO_AGENT_NAME", Value: b.o.Agent.Name},
	}
	if _, set := b.secrets()[agent.SandboxEnv]; !set {
		env = append(env, dockerargs.Env{Name: agent.SandboxEnv, Value: "1"})
	}
	env = append(env, secretEnv(b.secrets())...)
	env = append(env, b.brokerEnv()...)
	env = append(env, b.caEnv()...)
	env = append(env, b.egressEnv(KindAgent)...)
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
	return values
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
	return !slices.Contains([]string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TERM", "PWD", "TMPDIR", "SSH_AUTH_SOCK"}, name)
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
		env[execproto.EnvURL] = "http://" + path.Join(hostPort(port), execproto.PathExec)
	}
	return env
}
