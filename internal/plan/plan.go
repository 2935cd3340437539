// Package plan decides everything about a session before any of it happens.
// Build is a pure function of the options and of one snapshot of the host: it
// reads nothing, creates nothing, and gives the same bytes for the same input.
// A dry run prints the plan's commands; a run executes the very same vectors.
package plan

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Options are what the user asked for.
type Options struct {
	// Agent is what runs in the agent container, with Args after "--". Nil for
	// the toolchain subcommand, which runs Args in the sidecar of its one toolchain.
	Agent *agent.Agent
	Args  []string
	// Serve says that there is no agent, and that the calls come from aifo-coder itself.
	Serve bool

	Kinds            toolchain.Set // all that there are
	Toolchains       []toolchain.Selection
	NoCache          bool
	UnixSocket       bool
	GlobalTypeScript bool

	Exec        Exec
	ToolTimeout time.Duration // ends a tool call that takes longer; 0: never
	ToolGrace   time.Duration // between INT, TERM and KILL when a tool call is ended; 0: DefaultToolGrace

	// HostPath has the workspace mounted at its own path in place of /workspace.
	HostPath bool

	IgnoreLocal bool // choose images as if none were on this machine, and pull them

	Image   string // exact agent image
	Slim    bool   // the slim flavour of the agent image
	Network string // an existing network to join in place of one of the session's own

	// Mounts and Env are what the user has every container have, beside our own. Env is by
	// container: the variables of all under the empty name, and those of one under
	// KindAgent or the name of its kind. They replace ours of the same name.
	Mounts []dockerargs.Mount
	Env    map[string]map[string]string

	Limits   Limits
	AppArmor apparmor.Choice
	Egress   Egress
	Publish  []publish.Port
	// ModelHosts are what the agent needs to reach its models with its own keys.
	ModelHosts []netpolicy.Rule
	// Broker, when set, is what the agent gets in place of keys.
	Broker *Brokered
	// Borrowed are host directories that the workspace's repository reads objects from.
	// Every container gets them read-only, at the same place.
	Borrowed []string
}

// Exec says how tool calls are run.
type Exec int

// The ways to run tool calls.
const (
	ExecResident Exec = iota // by an exec server in each sidecar
	// ExecStream is the same, reached through docker exec alone: no file descriptors
	// travel. Whoever chooses it says that the engine is on another kernel, where sockets of this
	// host cannot be mounted either.
	ExecStream
	ExecDocker // by one docker exec for each call
)

// DefaultToolGrace is the time between INT, TERM and KILL when nothing else is said.
const DefaultToolGrace = 2 * time.Second

// Labels of what we create, by which a later process finds what was left.
const (
	LabelSession    = "dev.aifo-coder.session"
	LabelKind       = "dev.aifo-coder.kind"
	LabelWorkspace  = "dev.aifo-coder.workspace"
	LabelOwnerPID   = "dev.aifo-coder.owner-pid"
	LabelOwnerStart = "dev.aifo-coder.owner-start"
	LabelOwnerHost  = "dev.aifo-coder.owner-host"
)

// KindAgent is the value of LabelKind on the agent's container; on a sidecar's
// it is the toolchain kind.
const KindAgent = "agent"

// The names under which a container reaches the host. Podman gives its own to every container;
// with docker on Linux we do.
const (
	dockerHostAlias = "host.docker.internal"
	podmanHostAlias = "host.containers.internal"
)

// Plan is a whole session.
type Plan struct {
	ID        string
	StateDirs []string // host directories of the agent's state, to create when missing
	Pulls     []string // images to pull before anything starts
	Missing   []MissingImage

	Network  Network
	WaysOut  []WayOut
	Tunnels  []Tunnel
	Ports    []PortEnd
	Publish  []publish.Port
	Proxy    *Proxy // nil without sidecars or without an agent
	Sidecars []Sidecar
	Agent    *dockerargs.Run
	Source   string           // what decided for the agent's image, see Choice
	Direct   *dockerargs.Exec // the toolchain subcommand's command
	Cwd      string           // the caller's directory, as containers see it
	Call     Call             // that of Direct

	Workspace string // where containers have it

	// ChecksMounts says that each container finds out whether what is mounted in it is what the session meant. Where
	// it cannot, all must be mounted before an agent runs, who could change where a path leads.
	ChecksMounts bool

	Exec        Exec
	ToolTimeout time.Duration
	ToolGrace   time.Duration // never 0

	Kinds toolchain.Set

	// Program is the command line that all vectors are for.
	Program string

	// Secrets are the values of the agent's variables that its vector has by
	// name only; the docker command gets them in its environment.
	Secrets map[string]string

	Broker *Brokered // nil: there is no credential broker

	// Warnings are what the user should know beforehand, a line each.
	Warnings []string
}

// Network is the session's network.
type Network struct {
	Name   string   // empty: no container joins one
	Create []string // vector that creates it; nil when it is the user's own
}

// Proxy is how containers reach the toolexec proxy.
type Proxy struct {
	SocketDir string // host directory of the unix socket
	Tunnel    bool   // by the agent's tunnel; without it and a socket: TCP
	// Loopback says that containers reach the host's loopback, as those of a
	// virtual machine do; otherwise they reach the gateway of the default bridge.
	Loopback bool
	// Gateway says that containers reach this host at the gateway of the session's network.
	Gateway bool
}

// Sidecar is one toolchain's container.
type Sidecar struct {
	Kind   string
	Image  string
	Source string // what decided for the image, see Choice
	User   string // uid:gid of the tools
	// SocketDir is the host directory of the unix socket to its exec server, or
	// empty. Each has its own, so that no container sees another's socket.
	SocketDir string
	Run       dockerargs.Run
	Secrets   map[string]string // values of the variables that Run has by name only
	Bootstrap []Bootstrap       // completes the sidecar before it serves calls
}

// Bootstrap is a command that completes a sidecar.
type Bootstrap struct {
	Argv []string // for people
	Exec dockerargs.Exec
}

// Build returns the plan of session id for the options on the host of the facts.
func Build(o Options, f hostfacts.Facts, id string) Plan {
	b := planner{o: o, f: f, id: id}
	b.net = b.networkEnv()
	p := Plan{
		ID: id, Program: b.program(), Workspace: b.mountPoint(), ChecksMounts: b.checksMounts(), Cwd: b.workdir(), Network: b.network(), WaysOut: b.waysOut(), Tunnels: b.tunnels(), Ports: b.portEnds(), Publish: o.Publish, Broker: o.Broker, Exec: o.Exec, Kinds: o.Kinds,
		ToolTimeout: o.ToolTimeout, ToolGrace: cmp.Or(o.ToolGrace, DefaultToolGrace),
		Warnings: slices.Concat(f.Warnings, b.net.warnings, b.seccompWarning(), b.engineWarnings(), b.openWarning(), b.publishWarning()),
	}
	for _, s := range o.Toolchains {
		p.Sidecars = append(p.Sidecars, b.sidecar(s))
	}
	switch {
	case o.Serve:
	case o.Agent == nil:
		p.Call = b.direct()
		direct := ToolExec(p.Sidecars[0].Run.Name, p.Sidecars[0].User, p.Call)
		p.Direct = &direct
	default:
		p.Proxy = b.proxy()
		image := b.images().agent(*o.Agent)
		run := b.agent(p.Proxy, image.Ref)
		p.Agent, p.Source, p.Secrets = &run, image.Source, b.secrets()
		p.StateDirs = b.stateDirs()
	}
	p.Pulls, p.Missing = b.absent()
	return p
}

// planner holds the inputs while a plan is built.
type planner struct {
	o  Options
	f  hostfacts.Facts
	id string

	net networkEnv
}

// seccompWarning tells of an engine that lets containers make every system call.
func (b planner) seccompWarning() []string {
	if b.f.Engine == nil || b.f.Engine.Seccomp() {
		return nil
	}
	return []string{"this engine does not filter the system calls of containers (seccomp): " + b.program() + " info tells its security options"}
}

// security returns the --security-opt that names an AppArmor profile.
func security(profile string) []string {
	if profile == "" {
		return nil
	}
	return []string{"apparmor=" + profile}
}

func (b planner) network() Network {
	if !b.needsNetwork() {
		return Network{}
	}
	if b.o.Network != "" {
		return Network{Name: b.o.Network}
	}
	name := NetworkName(b.id)
	return Network{Name: name, Create: dockerargs.NetworkCreate(name, b.labels(""))}
}

// NetworkName returns the name of the network of its own that a session has.
func NetworkName(id string) string { return "aifo-net-" + id }

// labels returns the labels of one object; kind is empty for a network.
func (b planner) labels(kind string) map[string]string {
	l := map[string]string{
		LabelSession:    b.id,
		LabelWorkspace:  b.f.Workspace,
		LabelOwnerPID:   strconv.Itoa(b.f.Owner.PID),
		LabelOwnerStart: b.f.Owner.Start,
		LabelOwnerHost:  b.f.Owner.Host,
	}
	if kind != "" {
		l[LabelKind] = kind
	}
	return l
}

func (b planner) proxy() *Proxy {
	switch {
	case len(b.o.Toolchains) == 0:
		return nil
	case b.overSocket() && b.tunnelled(KindAgent):
		return &Proxy{Tunnel: true}
	case b.overSocket():
		return &Proxy{SocketDir: b.socketDir(KindAgent)}
	}
	return &Proxy{Loopback: !b.nativeLinux(), Gateway: b.podman()}
}

// overSocket reports whether the agent reaches the proxy by a socket, or has nothing else: no
// address of this host leads here from a network that podman makes without root, nor from a
// machine of which nothing is known.
func (b planner) overSocket() bool {
	return b.o.UnixSocket || b.closed(KindAgent) || b.rootlessPodman() || b.f.OtherKernel
}

// TCP reports whether the proxy listens on a port of this host.
func (p Proxy) TCP() bool { return p.SocketDir == "" && !p.Tunnel }

// sharesSockets reports whether what runs in containers connects to sockets that this process
// makes for it, where it need not.
func (b planner) sharesSockets() bool { return b.o.Exec == ExecResident && b.nativeLinux() }

// socketDir returns the host directory of the sockets that a container of the
// kind sees.
func (b planner) socketDir(kind string) string {
	_, dir := lock.Session(b.f.RuntimeDir, b.id)
	return hostJoin(b.f, b.f.RuntimeDir, filepath.Base(dir), kind)
}

// SocketDirs returns the host directories of sockets, each once.
func (p Plan) SocketDirs() []string {
	var dirs []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if p.Proxy != nil {
		add(p.Proxy.SocketDir)
	}
	for _, s := range p.Sidecars {
		add(s.SocketDir)
	}
	for _, w := range p.WaysOut {
		add(w.Dir)
	}
	for _, e := range p.Ports {
		add(e.SocketDir)
	}
	return dirs
}

// user returns the ids that the tools of a kind run as; those of the zero Kind
// are the agent's. Where the engine runs without root, uid 0 in a container is the
// caller on the host.
func (b planner) user(k toolchain.Kind) (uid, gid int) {
	if _, err := fmt.Sscanf(k.User, "%d:%d", &uid, &gid); err == nil {
		return uid, gid
	}
	if b.f.Engine != nil && b.f.Engine.Rootless() {
		return 0, 0
	}
	return b.f.UID, b.f.GID
}

func (b planner) userSpec(k toolchain.Kind) string {
	uid, gid := b.user(k)
	return fmt.Sprintf("%d:%d", uid, gid)
}

// nativeLinux reports whether containers share this host's kernel and network,
// so that host-gateway is an address of the host.
func (b planner) nativeLinux() bool {
	return b.f.GOOS == "linux" && !b.f.OtherKernel && (b.f.Engine == nil || !b.f.Engine.Desktop())
}

// checksMounts reports whether containers see files by the same numbers as this host does.
func (b planner) checksMounts() bool {
	return b.nativeLinux() && (b.f.Engine == nil || b.f.Engine.SharesKernel())
}

// mountsValue returns the variable that tells a container what must be mounted in it: nothing, until the
// session has looked at it.
func (b planner) mountsValue() map[string]string {
	if !b.checksMounts() {
		return nil
	}
	return map[string]string{execproto.EnvMounts: ""}
}

// mountPoint returns where containers have the workspace. One whose git directory is elsewhere
// keeps its path: the two name each other.
func (o Options) mountPoint(f hostfacts.Facts) string {
	if o.HostPath || f.GitLink != nil {
		return f.Workspace
	}
	return execproto.Workspace
}

func (b planner) mountPoint() string { return b.o.mountPoint(b.f) }

// workspaceEnv tells the programs of ours in a container where the workspace is, if it is not
// at the usual place.
func (b planner) workspaceEnv() []dockerargs.Env {
	if b.mountPoint() == execproto.Workspace {
		return nil
	}
	return []dockerargs.Env{{Name: execproto.EnvWorkspace, Value: b.mountPoint()}}
}

// workdir returns the caller's directory as containers see it.
func (b planner) workdir() string { return Workdir(b.f, b.mountPoint()) }

// Workdir returns the working directory as a container sees it that has the workspace
// at root: root itself for one outside of the workspace.
func Workdir(f hostfacts.Facts, root string) string {
	rel, ok := below(f, f.Workspace, f.Cwd)
	if !ok {
		return root // the workspace was chosen elsewhere
	}
	return path.Join(root, rel)
}

// Commands returns the vectors of every docker command that changes something,
// in the order of a run, each beginning with the engine's command line. A run starts the
// sidecars and the agent side by side.
func (p Plan) Commands() [][]string {
	var list [][]string
	add := func(argv []string) { list = append(list, append([]string{p.Program}, argv...)) }
	for _, image := range p.Pulls {
		add(dockerargs.Pull(image))
	}
	if p.Network.Create != nil {
		add(p.Network.Create)
	}
	for _, s := range p.Sidecars {
		add(s.Run.Argv())
		for _, b := range s.Bootstrap {
			add(b.Exec.Argv())
		}
	}
	if p.Agent != nil {
		add(p.Agent.Argv())
	}
	if p.Direct != nil {
		add(p.Direct.Argv())
	}
	if len(p.Sidecars) > 0 {
		add(p.RemoveSidecars())
	}
	if p.Network.Create != nil {
		add(p.Network.Remove())
	}
	return list
}

// RemoveSidecars returns the vector that removes the sidecars at the end. The
// agent's container removes itself.
func (p Plan) RemoveSidecars() []string {
	names := make([]string, len(p.Sidecars))
	for i, s := range p.Sidecars {
		names[i] = s.Run.Name
	}
	return dockerargs.Remove(names...)
}

// Remove returns the vector that removes the network.
func (n Network) Remove() []string { return dockerargs.NetworkRemove(n.Name) }
