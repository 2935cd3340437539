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
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Options are what the user asked for.
type Options struct {
	// Agent is what runs in the agent container, with Args after "--". Nil for
	// the toolchain subcommand, which runs Args in the sidecar of its one toolchain.
	Agent *agent.Agent
	Args  []string

	Kinds            toolchain.Set // all that there are
	Toolchains       []toolchain.Selection
	NoCache          bool
	UnixSocket       bool
	GlobalTypeScript bool

	Exec        Exec
	ToolTimeout time.Duration // ends a tool call that takes longer; 0: never
	ToolGrace   time.Duration // between INT, TERM and KILL when a tool call is ended; 0: DefaultToolGrace

	Image   string // exact agent image
	Slim    bool   // the slim flavour of the agent image
	Network string // an existing network to join in place of one of the session's own
}

// Exec says how tool calls are run.
type Exec int

// The ways to run tool calls.
const (
	ExecResident Exec = iota // by an exec server in each sidecar
	ExecStream               // the same, reached through docker exec alone: no file descriptors travel
	ExecDocker               // by one docker exec for each call
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

// hostAlias is the name under which a container reaches the host.
const hostAlias = "host.docker.internal"

// pidsLimit stops a fork bomb before the host feels it and leaves room for
// the widest parallel build.
const pidsLimit = 8192

// Plan is a whole session.
type Plan struct {
	ID        string
	StateDirs []string // host directories of the agent's state, to create when missing
	Pulls     []string // images to pull before anything starts
	Missing   []MissingImage

	Network  Network
	Proxy    *Proxy // nil without sidecars or without an agent
	Sidecars []Sidecar
	Agent    *dockerargs.Run
	Direct   *dockerargs.Exec // the toolchain subcommand's command

	Exec        Exec
	ToolTimeout time.Duration
	ToolGrace   time.Duration // never 0

	Kinds toolchain.Set

	// Secrets are the values of the agent's variables that its vector has by
	// name only; the docker command gets them in its environment.
	Secrets map[string]string
}

// Network is the session's network.
type Network struct {
	Name   string
	Create []string // vector that creates it; nil when it is the user's own
}

// Proxy is how containers reach the toolexec proxy.
type Proxy struct {
	SocketDir string // host directory of the unix socket; empty: TCP
	// Loopback says that containers reach the host's loopback, as those of a
	// virtual machine do; otherwise they reach the gateway of the default bridge.
	Loopback bool
}

// Sidecar is one toolchain's container.
type Sidecar struct {
	Kind  string
	Image string
	User  string // uid:gid of the tools
	// SocketDir is the host directory of the unix socket to its exec server, or
	// empty. Each has its own, so that no container sees another's socket.
	SocketDir string
	Run       dockerargs.Run
	Bootstrap []Bootstrap // completes the sidecar before it serves calls
}

// Bootstrap is a command that completes a sidecar.
type Bootstrap struct {
	Argv []string // for people
	Exec dockerargs.Exec
}

// MissingImage is an image of ours that is not present, with what builds it.
type MissingImage struct {
	Ref    string
	Target string // of the Makefile; empty: this project does not build it
}

// Hint says how to get the image.
func (m MissingImage) Hint() string {
	if m.Target == "" {
		return "this version of aifo-coder does not build it; name an image that holds the agent with --image IMAGE or AIFO_CODER_IMAGE"
	}
	return "build it in a checkout of aifo-coder: make " + m.Target
}

// Build returns the plan of session id for the options on the host of the facts.
func Build(o Options, f hostfacts.Facts, id string) Plan {
	b := planner{o: o, f: f, id: id}
	p := Plan{
		ID: id, Network: b.network(), Exec: o.Exec, Kinds: o.Kinds,
		ToolTimeout: o.ToolTimeout, ToolGrace: cmp.Or(o.ToolGrace, DefaultToolGrace),
	}
	for _, s := range o.Toolchains {
		p.Sidecars = append(p.Sidecars, b.sidecar(s))
	}
	if o.Agent == nil {
		direct := b.direct(p.Sidecars[0])
		p.Direct = &direct
	} else {
		p.Proxy = b.proxy()
		run := b.agent(p.Proxy)
		p.Agent, p.Secrets = &run, b.secrets()
		p.StateDirs = b.stateDirs()
	}
	p.Pulls, p.Missing = b.absent(p)
	return p
}

// planner holds the inputs while a plan is built.
type planner struct {
	o  Options
	f  hostfacts.Facts
	id string
}

func (b planner) network() Network {
	if b.o.Network != "" {
		return Network{Name: b.o.Network}
	}
	name := "aifo-net-" + b.id
	return Network{Name: name, Create: dockerargs.NetworkCreate(name, b.labels(""))}
}

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
	case b.o.UnixSocket:
		return &Proxy{SocketDir: b.socketDir(KindAgent)}
	}
	return &Proxy{Loopback: !b.nativeLinux()}
}

// socketDir returns the host directory of the sockets that a container of the
// kind sees.
func (b planner) socketDir(kind string) string {
	_, dir := lock.Session(b.f.RuntimeDir, b.id)
	return filepath.Join(dir, kind)
}

// SocketDirs returns the host directories of sockets.
func (p Plan) SocketDirs() []string {
	var dirs []string
	if p.Proxy != nil && p.Proxy.SocketDir != "" {
		dirs = append(dirs, p.Proxy.SocketDir)
	}
	for _, s := range p.Sidecars {
		if s.SocketDir != "" {
			dirs = append(dirs, s.SocketDir)
		}
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
	return b.f.GOOS == "linux" && (b.f.Engine == nil || !b.f.Engine.Desktop())
}

// workdir returns the caller's directory as containers see it.
func (b planner) workdir() string {
	rel, err := filepath.Rel(b.f.Workspace, b.f.Cwd)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return execproto.Workspace // the workspace was chosen elsewhere
	}
	return path.Join(execproto.Workspace, filepath.ToSlash(rel))
}

// absent splits the images that are known to be absent into those to pull and
// those of ours, which nobody may pull from a public registry.
func (b planner) absent(p Plan) (pulls []string, missing []MissingImage) {
	if b.f.Engine == nil {
		return nil, nil
	}
	for _, s := range p.Sidecars {
		kind, _ := b.o.Kinds.Lookup(s.Kind)
		pulls, missing = b.sort(pulls, missing, MissingImage{Ref: s.Image, Target: kind.MakeTarget})
	}
	if p.Agent != nil {
		pulls, missing = b.sort(pulls, missing, MissingImage{Ref: p.Agent.Image, Target: b.o.Agent.MakeTarget(b.o.Slim)})
	}
	return pulls, missing
}

func (b planner) sort(pulls []string, missing []MissingImage, m MissingImage) ([]string, []MissingImage) {
	switch {
	case b.f.Present(m.Ref), slices.Contains(pulls, m.Ref):
	case imageref.FirstParty(m.Ref):
		missing = append(missing, m)
	default:
		pulls = append(pulls, m.Ref)
	}
	return pulls, missing
}

// Images returns every image reference that Build may choose or ask about.
func Images(o Options, env hostfacts.Env) []string {
	var refs []string
	for _, s := range o.Toolchains {
		refs = append(refs, s.Images()...)
	}
	if o.Agent != nil {
		refs = append(refs, AgentImage(*o.Agent, o, env))
	}
	return refs
}

// Commands returns the vectors of every docker command that changes something,
// in the order of a run, each beginning with "docker". A run starts the
// sidecars and the agent side by side.
func (p Plan) Commands() [][]string {
	var list [][]string
	add := func(argv []string) { list = append(list, append([]string{"docker"}, argv...)) }
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
