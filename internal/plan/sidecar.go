package plan

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// bootUser is what the boot program starts as; it drops to the caller's ids
// before anything else runs.
const bootUser = "0:0"

// Capabilities of the boot program (docs/security.md has the reason of each).
// An agent's process keeps none of them; a sidecar's are out of reach of the
// tools, which docker exec starts as the caller, without new privileges.
var (
	agentCaps   = []string{"CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"}
	sidecarCaps = []string{"CHOWN", "SETGID", "SETPCAP", "SETUID"}
	// rootCaps are what root expects of files: without them root could not
	// write to a workspace of an ordinary user.
	rootCaps = []string{"DAC_OVERRIDE", "FOWNER", "FSETID"}
)

func (b planner) caps(k toolchain.Kind, base []string) []string {
	caps := slices.Clone(base)
	if uid, _ := b.user(k); uid == 0 {
		caps = append(caps, rootCaps...)
	}
	slices.Sort(caps)
	return caps
}

// boot returns the first arguments of the boot program in the container of a
// kind, the zero Kind for the agent's.
func (b planner) boot(k toolchain.Kind) []string {
	args := []string{"boot", "--user", b.userSpec(k), "--home", execproto.Home, "--git", "safe.directory=*"}
	if b.f.Git.Name != "" {
		args = append(args, "--git", "user.name="+b.f.Git.Name)
	}
	if b.f.Git.Email != "" {
		args = append(args, "--git", "user.email="+b.f.Git.Email)
	}
	if b.f.GitLink != nil {
		// The shared directory is not the containers' to tidy up.
		args = append(args, "--git", "gc.auto=0", "--git", "maintenance.auto=false")
	}
	return args
}

func (b planner) sidecarName(kind string) string { return "aifo-tc-" + kind + "-" + b.id }

func (b planner) sidecar(s toolchain.Selection) Sidecar {
	name, image := b.sidecarName(s.Kind.Name), b.images().toolchain(s)
	secrets, limit := b.networkValues(s.Kind.Name), b.o.Limits.of(s.Kind.Name)
	maps.Copy(secrets, b.mountsValue())
	env := override(append(b.sidecarEnv(s.Kind), secretEnv(secrets)...), b.userEnv(s.Kind.Name))
	maps.Copy(secrets, b.userEnv(s.Kind.Name))
	run := dockerargs.Run{
		// Not removed by itself: when it fails to start, its log tells why.
		Detach:     true,
		LogDriver:  "local",
		Name:       name,
		Hostname:   name,
		Network:    b.networkOf(s.Kind.Name),
		Labels:     b.labels(s.Kind.Name),
		CapAdd:     b.caps(s.Kind, sidecarCaps),
		Security:   security(b.o.AppArmor.Sidecar),
		PidsLimit:  limit.Pids,
		Memory:     limit.Memory,
		CPUs:       limit.CPUs,
		GPUs:       limit.GPUs,
		Mounts:     b.sidecarMounts(s.Kind),
		Tmpfs:      append(b.tunnelMount(s.Kind.Name, s.Kind), b.gitLogs(s.Kind)...),
		Env:        env,
		User:       bootUser,
		Entrypoint: execproto.ShimBinary,
		Image:      image.Ref,
		Args:       b.sidecarBoot(s.Kind),
	}
	switch {
	case b.closed(s.Kind.Name):
		run.AddHosts = ownName(name)
	case b.o.Agent != nil && !b.o.UnixSocket:
		run.AddHosts = b.hostName()
	}
	b.fit(&run)
	return Sidecar{
		Kind: s.Kind.Name, Image: image.Ref, Source: image.Source, User: b.userSpec(s.Kind), Run: run, Bootstrap: b.bootstrap(s.Kind, name),
		SocketDir: b.serveDir(s.Kind.Name), Secrets: secrets,
	}
}

// serveDir returns the directory of the socket to a kind's exec server, over
// which file descriptors can go, or "" where the server is on another kernel or
// there is none.
func (b planner) serveDir(kind string) string {
	if b.o.Agent == nil && !b.o.Serve || !b.sharesSockets() {
		return ""
	}
	return b.socketDir(kind)
}

// bootstrap returns the commands that complete a sidecar.
func (b planner) bootstrap(k toolchain.Kind, container string) []Bootstrap {
	if k.Name != "node" || !b.o.GlobalTypeScript {
		return nil
	}
	install := []string{"npm", "install", "--global", "--no-fund", "--no-audit", "typescript"}
	call := Call{Kind: k.Name, Cwd: b.mountPoint(), Argv: install}
	return []Bootstrap{{Argv: install, Exec: ToolExec(container, b.userSpec(k), call)}}
}

func (b planner) sidecarBoot(k toolchain.Kind) []string {
	args := b.boot(k)
	if !b.o.NoCache {
		for _, c := range k.Caches {
			args = append(args, "--cache", c.Name()+":"+c.Link)
		}
	}
	return append(append(args, b.relay(k.Name)...), "--stay")
}

func (b planner) sidecarMounts(k toolchain.Kind) []dockerargs.Mount {
	mounts := []dockerargs.Mount{
		dockerargs.Bind(b.f.Workspace, b.mountPoint()),
		// The static binary alone: a sidecar has the tools, not their shims.
		dockerargs.BindRO(hostJoin(b.f, b.f.ShimDir, path.Base(execproto.ShimBinary)), execproto.ShimBinary),
	}
	mounts = append(mounts, b.repositoryMounts()...)
	if !b.o.NoCache {
		for _, c := range k.Caches {
			mounts = append(mounts, dockerargs.Volume(c.Volume, path.Join(execproto.CacheRoot, c.Name())))
		}
	}
	return slices.Concat(mounts, socketMount(b.sidecarSocketDir(k.Name)), b.caMount(), b.o.Mounts)
}

// sidecarEnv returns the kind's variables. A cache variable names the caller's
// own directory in the volume; {NAME} in a value stands for an earlier variable.
func (b planner) sidecarEnv(k toolchain.Kind) []dockerargs.Env {
	env := append([]dockerargs.Env{{Name: "HOME", Value: execproto.Home}}, b.workspaceEnv()...)
	var replace []string
	for _, c := range k.Caches {
		if c.Env == "" {
			continue
		}
		value := c.Link
		if !b.o.NoCache {
			uid, _ := b.user(k)
			value = path.Join(execproto.CacheRoot, c.Name(), strconv.Itoa(uid))
		}
		env = append(env, dockerargs.Env{Name: c.Env, Value: value})
		replace = append(replace, "{"+c.Env+"}", value)
	}
	r := strings.NewReplacer(replace...)
	for _, name := range slices.Sorted(maps.Keys(k.Env)) {
		env = append(env, dockerargs.Env{Name: name, Value: r.Replace(k.Env[name])})
	}
	return append(append(env, b.caEnv()...), b.egressEnv(k.Name)...)
}

// relay returns the argument that makes a container's way out.
func (b planner) relay(container string) []string {
	if b.hasWayOut(container) {
		return []string{"--relay"}
	}
	return nil
}

// Call is one command for a sidecar.
type Call struct {
	ID    string // exec id; empty: none
	Kind  string // toolchain kind, for messages
	Cwd   string
	Argv  []string
	Stdin bool // the command reads our standard input
	TTY   bool
}

// ToolExec returns the docker exec that runs a call in a sidecar's container
// as user, through the run program, which looks for the tool where it lives
// and gives 126 and 127 their usual meaning.
func ToolExec(container, user string, c Call) dockerargs.Exec {
	e := dockerargs.Exec{
		Interactive: c.Stdin,
		TTY:         c.TTY,
		User:        user,
		Container:   container,
		Args:        c.runArgs(),
	}
	if c.ID != "" {
		e.Env = []dockerargs.Env{{Name: execproto.EnvExecID, Value: c.ID}}
	}
	return e
}

// ToolExecEnv is ToolExec for a call with variables, NAME=value, of its caller.
// They are in the vector by name only, and in env for the docker command. There
// each has a prefix, which the run program takes off: the caller is not trusted,
// and a variable such as DOCKER_CONFIG would steer the docker command.
func ToolExecEnv(container, user string, c Call, callerEnv []string) (e dockerargs.Exec, env []string) {
	e = ToolExec(container, user, c)
	for _, v := range callerEnv {
		v = execproto.WrapEnv(v)
		name, _, _ := strings.Cut(v, "=")
		e.Env = append(e.Env, dockerargs.Env{Name: name, Secret: true})
		env = append(env, v)
	}
	return e, env
}

// AttachedExec is ToolExec for a command that a person runs in a container of a running
// session. One in the agent's container gets a PATH that begins with the shims, as the agent
// itself has; path is what the container has.
func AttachedExec(container, user, path string, c Call) dockerargs.Exec {
	e := ToolExec(container, user, c)
	if c.Kind == KindAgent {
		e.Env = append(e.Env, dockerargs.Env{Name: "PATH", Value: execproto.ShimDir + ":" + cmp.Or(path, defaultPath)})
	}
	return e
}

// defaultPath is what a container without PATH gets.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Serve returns the docker exec of the exec server in a sidecar's container. It
// is reached by its standard input and output, or, with connect, by the unix
// socket of that name in the container, to which it connects. Either way it ends
// when its standard input does.
func Serve(container, user, connect string) dockerargs.Exec {
	return shimExec("serve", container, user, connect)
}

// shimExec returns the docker exec of a subcommand of the static binary.
func shimExec(command, container, user, connect string) dockerargs.Exec {
	e := dockerargs.Exec{
		Interactive: true,
		User:        user,
		Container:   container,
		Args:        []string{execproto.ShimBinary, command},
	}
	if connect != "" {
		e.Args = append(e.Args, "--connect", connect)
	}
	return e
}

// runArgs returns the run program's arguments. The engine's interface carries
// text (JSON): words that are no UTF-8 would arrive changed, so they go in hexadecimal.
func (c Call) runArgs() []string {
	args := []string{execproto.ShimBinary, "run", "--kind", c.Kind}
	words := append([]string{c.Cwd}, c.Argv...)
	if !utf8.ValidString(strings.Join(words, "")) {
		args = append(args, "--hex")
		for i, w := range words {
			words[i] = hex.EncodeToString([]byte(w))
		}
	}
	args = append(args, "--cwd", words[0], "--")
	return append(args, words[1:]...)
}

// direct returns the toolchain subcommand's command.
func (b planner) direct() Call {
	return Call{
		ID: b.id, Kind: b.o.Toolchains[0].Kind.Name, Cwd: b.workdir(), Argv: b.o.Args, Stdin: true, TTY: b.f.Interactive(),
	}
}

// hostPort returns a port of this host as containers name it.
func (p Proxy) hostPort(port int) string {
	alias := dockerHostAlias
	if p.Gateway {
		alias = podmanHostAlias
	}
	return net.JoinHostPort(alias, strconv.Itoa(port))
}
