package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
	"github.com/aifo-coder/aifo-coder/shims"
)

// Host is what a caller knows of the machine and of the sessions that the user has.
type Host struct {
	Docker      docker.Client
	EngineAsked bool            // somebody chose the engine's command line
	Facts       hostfacts.Facts // without the engine; the workspace is any directory where WorkspaceErr is set
	CAErr       error
	// CAWarnings are of authorities that cannot be used, PlaceWarnings of the workspace.
	CAWarnings, PlaceWarnings []string

	WorkspaceErr error // why there is none
	Options      plan.Options
	Agents       []agent.Agent // to look at
	Asked        bool          // somebody named them
	Config       ConfigFacts
	Credentials  func(ctx context.Context) ([]CredentialFacts, error)
	// Leftovers tells what killed sessions left; Clean removes it.
	Leftovers func(ctx context.Context) (Leftovers, error)
	Clean     func(ctx context.Context) error

	// Temp is a private directory for what probes need; the caller removes it.
	Temp string
	ID   string // for the names of what probes start
}

// The groups of checks, in their order.
const (
	groupEngine      = "engine"
	groupContainers  = "containers"
	groupImages      = "images"
	groupMachine     = "machine"
	groupProject     = "project"
	groupCredentials = "credentials"
	groupSessions    = "sessions"
)

// The names of checks that others need.
const (
	nameCommand    = "command line"
	nameEngine     = "engine"
	nameContainers = "containers"
	nameNetwork    = "network"
	nameSocket     = "proxy by unix socket"
)

// containerLimit is for a probe in a container whose connection is dropped: its shim gives up
// after 10 s.
const containerLimit = 17 * time.Second

// Checks returns the checks of the host, in the order in which they are shown.
func Checks(h Host) []Check {
	e := &examination{Host: h}
	return []Check{
		{Group: groupEngine, Name: nameCommand, Probe: e.command},
		{Group: groupEngine, Name: nameEngine, Needs: []string{nameCommand}, Probe: e.engine},
		{Group: groupEngine, Name: "AppArmor", Needs: []string{nameEngine}, Probe: e.appArmor},
		{Group: groupEngine, Name: "seccomp", Needs: []string{nameEngine}, Probe: e.seccomp},
		{Group: groupEngine, Name: "user", Needs: []string{nameEngine}, Probe: e.user},
		{Group: groupEngine, Name: "memory", Needs: []string{nameEngine}, Probe: e.memory},
		{Group: groupContainers, Name: nameContainers, Needs: []string{nameEngine}, Limit: containerLimit, Probe: e.containers},
		{Group: groupContainers, Name: nameNetwork, Needs: []string{nameContainers}, Limit: containerLimit, Probe: e.network},
		{Group: groupContainers, Name: nameSocket, Needs: []string{nameContainers}, Limit: containerLimit, Probe: e.unix},
		{Group: groupImages, Name: "images", Needs: []string{nameEngine}, After: []string{nameContainers}, Limit: containerLimit, Probe: e.images},
		{Group: groupMachine, Name: "disk", Probe: e.disk},
		{Group: groupMachine, Name: "disk: " + diskEngine, Needs: []string{nameEngine}, Probe: e.engineDisk},
		{Group: groupMachine, Name: "certificates", Probe: e.certificates},
		{Group: groupMachine, Name: "git", Probe: e.git},
		{Group: groupMachine, Name: "tmux", Probe: e.tmux},
		{Group: groupProject, Name: "workspace", Probe: e.workspace},
		{Group: groupProject, Name: "configuration", Probe: e.configuration},
		{Group: groupCredentials, Name: "credentials", Probe: e.credentials},
		{Group: groupSessions, Name: "directories", Probe: e.directories},
		{Group: groupSessions, Name: "killed sessions", Needs: []string{nameEngine}, Probe: e.leftovers},
	}
}

// examination carries what a check finds out to those that need it.
type examination struct {
	Host
	context docker.Versions
	prober  prober

	machines    map[string]docker.ImageMachine // what the images that are present are for
	machinesErr error                          // why nobody knows
}

func (e *examination) command(ctx context.Context) []Result {
	v, err := e.Docker.Versions(ctx)
	e.context = v
	var missing *proc.NotFoundError
	switch {
	case errors.As(err, &missing):
		return []Result{commandMissing(missing.Program)}
	case err != nil && ctx.Err() != nil:
		return []Result{result("", Pass, e.Docker.Name()+" is there, and waits for its engine")}
	case err != nil:
		return []Result{result("", Pass, e.Docker.Name()+" is there, and does not work: "+oneLine(err))}
	}
	return []Result{result("", Pass, e.Docker.Name()+" "+v.Version)}
}

// engine asks the engine about itself, and which images it has.
func (e *examination) engine(ctx context.Context) []Result {
	f := EngineFacts{Engine: e.Docker.Name(), Context: e.context.Context, UID: e.Facts.UID}
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT"} {
		if f.Chosen == "" && e.Facts.Env.Get(name) != "" {
			f.Chosen = name
		}
	}
	if at, err := e.Docker.Endpoint(ctx); err == nil { // docker info tells of a context that is not there
		f.Endpoint, f.Context = at.Host, at.Context
	}
	f.Socket = socketFacts(f.Endpoint)
	f.Err = e.readEngine(ctx)
	f.Hangs = ctx.Err() != nil
	if f.Err == nil {
		f.Info, f.Engine, f.Doubt = *e.Facts.Engine, e.Docker.Name(), e.Facts.EngineDoubt()
		e.machines, e.machinesErr = e.Docker.ImageMachines(ctx, e.present())
	}
	return engineResults(f)
}

// readEngine asks the engine. Where docker is another name of podman and nobody chose it, podman is
// asked under its own, as a session does.
func (e *examination) readEngine(ctx context.Context) error {
	err := e.Facts.ReadEngine(ctx, e.Docker, e.refs())
	var renamed *hostfacts.RenamedEngineError
	if errors.As(err, &renamed) && !e.EngineAsked {
		e.Docker.Engine = renamed.Engine
		err = e.Facts.ReadEngine(ctx, e.Docker, e.refs())
	}
	return err
}

// present returns those of the images that are present.
func (e *examination) present() []string {
	return slices.DeleteFunc(e.refs(), func(ref string) bool { return !e.Facts.Present(ref) })
}

// refs returns every image that may be asked about.
func (e *examination) refs() []string {
	var refs []string
	for _, ag := range append(agent.All(), e.Agents...) {
		o := e.Options
		o.Agent = &ag
		o.Toolchains = e.toolchains()
		refs = append(refs, plan.Images(o, e.Facts.Env)...)
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// toolchains returns those that somebody asked for, and the others in their usual form.
func (e *examination) toolchains() []toolchain.Selection {
	all := slices.Clone(e.Options.Toolchains)
	for _, k := range e.Options.Kinds.Kinds() {
		if !slices.ContainsFunc(all, func(s toolchain.Selection) bool { return s.Kind.Name == k.Name }) {
			all = append(all, toolchain.Selection{Kind: k})
		}
	}
	return all
}

func (e *examination) appArmor(context.Context) []Result {
	return []Result{appArmorResult(e.Facts.Env.Get(apparmor.Variable), e.Facts.AppArmor)}
}

func (e *examination) seccomp(context.Context) []Result {
	return []Result{seccompResult(*e.Facts.Engine)}
}

func (e *examination) user(context.Context) []Result {
	return []Result{userResult(e.Facts.UID, e.Facts.GID, *e.Facts.Engine)}
}

func (e *examination) memory(context.Context) []Result {
	i := e.Facts.Engine
	total, available := uint64(max(i.MemTotal, 0)), uint64(0)
	if own, free := hostMemory(); own/gibi == total/gibi { // the engine is on this machine
		available = free
	}
	return []Result{memoryResult(total, available, i.MemoryLimit, asksMemory(e.Options.Limits))}
}

// asksMemory reports whether any container is to have less memory than there is.
func asksMemory(l plan.Limits) bool {
	asked := l.Each.Memory > 0
	for _, one := range l.Of {
		asked = asked || one.Memory > 0
	}
	return asked
}

// containers prepares the probes in containers, and tries whether one starts at all.
func (e *examination) containers(ctx context.Context) []Result {
	image := e.probeImage()
	if image == "" {
		return []Result{result("", Skip, "no image of an agent is on this machine to try it with", "build one in a checkout of aifo-coder: make build-shell")}
	}
	f := StartFacts{Image: image}
	e.prober, f.Err = e.newProber("c", image)
	if f.Err == nil && e.Facts.EngineDoubt() != "" {
		e.Facts.OtherKernel, f.Err = session.Locate(ctx, e.Docker, e.prober.facts, image, nil)
		e.prober.facts.OtherKernel = e.Facts.OtherKernel
	}
	if f.Err == nil {
		f.Err = e.prober.start(ctx)
	}
	return []Result{startResult(f)}
}

// probeImage returns the image for probes: that of an agent that somebody asked for, else any.
func (e *examination) probeImage() string {
	shell, _ := agent.Lookup(agent.Shell)
	for _, ag := range slices.Concat(e.asked(), []agent.Agent{shell}, agent.All()) {
		if c := plan.AgentImage(ag, e.Options, e.Facts.Env, e.Facts.Present); e.Facts.Present(c.Ref) {
			return c.Ref
		}
	}
	return ""
}

func (e *examination) asked() []agent.Agent {
	if e.Asked {
		return e.Agents
	}
	return nil
}

// newProber returns a prober with directories of its own: nothing of the user's is made.
func (e *examination) newProber(name, image string) (prober, error) {
	p := prober{docker: e.Docker, options: e.Options, facts: e.Facts, image: image, id: e.ID}
	f, dir := &p.facts, filepath.Join(e.Temp, name)
	f.StdinTTY, f.StdoutTTY = false, false
	f.RuntimeDir, f.StateDir, f.Files, f.HasForks = dir, filepath.Join(dir, "state"), nil, false
	f.CABundle = hostfacts.CABundle{}
	choice, err := apparmor.Choose(e.Facts.Env.Get(apparmor.Variable), e.Facts.AppArmor)
	if err != nil {
		return p, err
	}
	p.options.AppArmor = choice
	if err := os.MkdirAll(f.RuntimeDir, 0o700); err != nil {
		return p, err
	}
	f.CacheDir = filepath.Join(dir, "cache")
	if err := e.lendShim(f.CacheDir); err != nil {
		return p, err
	}
	f.ShimDir, err = shims.Install(f.CacheDir, e.Facts.Engine.GOARCH(), nil)
	return p, err
}

// lendShim copies a shim that this program was built without and that was made since.
func (e *examination) lendShim(cacheDir string) error {
	arch := e.Facts.Engine.GOARCH()
	binary, err := os.ReadFile(shims.Built(e.Facts.CacheDir, arch))
	if err != nil {
		return nil //nolint:nilerr // there is none to lend: the program has its own, or says that it has not
	}
	path := shims.Built(cacheDir, arch)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, binary, 0o700)
}

// closed reports whether the agent has no network, by the user's own policy.
func (e *examination) closed() bool {
	return e.Options.Egress.Mode(plan.KindAgent) != netpolicy.Open
}

// network tries, in a network as sessions have one, whether containers reach this process, and
// whether they get as far outside as this machine does.
func (e *examination) network(ctx context.Context) []Result {
	if e.closed() {
		return []Result{result("", Skip, "the network policy lets the agent have none")}
	}
	pl := e.prober.tcpPlan()
	remove, err := e.prober.network(ctx, pl.Network)
	defer remove()
	if err != nil {
		return []Result{networkResult(err)}
	}
	var (
		asked       sync.WaitGroup
		proxy       ProxyFacts
		own, inside Reach
		target      = outsideTarget(e.Facts.Env)
	)
	if pl.Proxy.TCP() {
		asked.Go(func() { proxy = e.prober.tcp(ctx, pl) })
	}
	asked.Go(func() { own = reachFromHere(ctx, target) })
	asked.Go(func() { inside = e.prober.outside(ctx, pl.Network, target) })
	asked.Wait()
	if !pl.Proxy.TCP() {
		return []Result{result("", Pass, "a network can be made; tool calls go by a unix socket here"), outsideResult(own, inside)}
	}
	return []Result{proxyResult(proxy), outsideResult(own, inside)}
}

func (e *examination) unix(ctx context.Context) []Result {
	if e.Facts.GOOS != "linux" || e.Facts.Engine.Desktop() || e.Facts.OtherKernel {
		return []Result{result("", Skip, "the engine is on another kernel, to which no socket of this machine can be handed")}
	}
	return []Result{proxyResult(e.prober.unix(ctx))}
}

// images looks at the images of agents and toolchains, several at a time.
func (e *examination) images(ctx context.Context) []Result {
	facts := e.imageFacts()
	looker, err := e.newProber("i", "")
	if err != nil {
		return []Result{result("", Fail, oneLine(err))}
	}
	turns := make(chan struct{}, 2)
	var asked sync.WaitGroup
	for i := range facts {
		if facts[i].Present {
			asked.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				looker.lookInto(ctx, &facts[i])
			})
		}
	}
	asked.Wait()
	var list []Result
	for _, f := range facts {
		list = append(list, imageResult(f))
	}
	if !e.Asked {
		list = append(list, someAgent(facts)...)
	}
	return list
}

func (e *examination) imageFacts() []ImageFacts {
	var facts []ImageFacts
	for _, ag := range e.Agents {
		o := e.Options
		o.Agent, o.Toolchains = &ag, nil
		p := plan.Build(o, e.Facts, e.ID)
		f := ImageFacts{What: "agent", Name: ag.Name, Ref: p.Agent.Image, Present: e.Facts.Present(p.Agent.Image), Asked: e.Asked, Program: ag.Argv[0]}
		facts = append(facts, e.withMachine(withMissing(f, p)))
	}
	for _, s := range e.toolchains() {
		o := e.Options
		o.Agent, o.Toolchains, o.Args = nil, []toolchain.Selection{s}, []string{"true"}
		p := plan.Build(o, e.Facts, e.ID)
		f := ImageFacts{What: "toolchain", Name: s.Kind.Name, Ref: p.Sidecars[0].Image, Present: e.Facts.Present(p.Sidecars[0].Image), Program: probeOf(s.Kind)}
		f.Asked = slices.ContainsFunc(e.Options.Toolchains, func(c toolchain.Selection) bool { return c.Kind.Name == s.Kind.Name })
		facts = append(facts, e.withMachine(withMissing(f, p)))
	}
	return facts
}

func withMissing(f ImageFacts, p plan.Plan) ImageFacts {
	if len(p.Missing) > 0 {
		f.Missing = &p.Missing[0]
	}
	return f
}

// probeOf returns the program that shows that an image has a toolchain.
func probeOf(k toolchain.Kind) string {
	if len(k.Probe) > 0 {
		return k.Probe[0]
	}
	return k.ToolNames()[0]
}

// withMachine adds what an image is for, and whether its programs run here.
func (e *examination) withMachine(f ImageFacts) ImageFacts {
	m := e.machines[f.Ref]
	f.EngineArch, f.OS, f.Arch, f.Err = e.Facts.Engine.GOARCH(), m.OS, m.Arch, e.machinesErr
	f.Emulated = f.Arch != f.EngineArch && (e.Facts.Engine.Desktop() || emulates(f.Arch))
	return f
}

// lookInto asks what an image has, unless none of its programs could run.
func (p prober) lookInto(ctx context.Context, f *ImageFacts) {
	if f.Err != nil || f.Arch != f.EngineArch && !f.Emulated {
		return
	}
	has, err := p.has(ctx, f.What+"-"+f.Name, f.Ref, f.Program, "sh")
	f.Err, f.HasProgram, f.HasShell = err, has[f.Program], has["sh"]
}

// Names of places that disks are measured of.
const diskEngine = "engine"

func (e *examination) disk(context.Context) []Result {
	var list []Result
	for _, p := range []struct {
		name, path string
		wanted     uint64
	}{
		{"workspace", e.Facts.Workspace, gibi}, {"state", e.Facts.StateDir, 64 * mebi}, {"cache", e.Facts.CacheDir, 64 * mebi}, {"runtime", e.Facts.RuntimeDir, 8 * mebi},
	} {
		if p.name == "workspace" && e.WorkspaceErr != nil {
			continue
		}
		list = append(list, diskResult(diskFacts(p.name, p.path, p.wanted)))
	}
	return list
}

// engineDisk measures the engine's own place, where it is on this machine.
func (e *examination) engineDisk(context.Context) []Result {
	root := e.Facts.Engine.DockerRootDir
	if root == "" || e.Facts.GOOS != "linux" || e.Facts.Engine.Desktop() || e.Facts.EngineDoubt() != "" {
		return []Result{result("", Skip, "it is not on this machine, or the engine does not say where")}
	}
	return []Result{diskResult(diskFacts(diskEngine, root, 2*gibi))}
}

func (e *examination) certificates(context.Context) []Result {
	return []Result{caResult(e.Facts.CABundle, e.CAErr, e.CAWarnings)}
}

func (e *examination) git(ctx context.Context) []Result {
	version, ok, err := git.Version(ctx)
	return []Result{gitResult(version, ok, err), identityResult(e.Facts.Git)}
}

func (e *examination) tmux(ctx context.Context) []Result {
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{"tmux", "-V"}, Detached: true})
	return []Result{tmuxResult(string(trimmed(out)), err)}
}

func (e *examination) workspace(context.Context) []Result {
	f := WorkspaceFacts{Path: e.Facts.Workspace, Err: e.WorkspaceErr}
	if f.Err == nil {
		info, err := os.Lstat(filepath.Join(f.Path, ".git"))
		f.Repository, f.Linked = err == nil, err == nil && info.Mode().IsRegular()
		f.Warnings = e.PlaceWarnings
		if l := e.Facts.GitLink; l != nil {
			f.Common = l.Common
		}
		f.Denied = !writable(f.Path)
	}
	return []Result{workspaceResult(f)}
}

func (e *examination) configuration(context.Context) []Result {
	return []Result{configResult(e.Config)}
}

func (e *examination) credentials(ctx context.Context) []Result {
	facts, err := e.Credentials(ctx)
	if err != nil {
		r := result("", Fail, oneLine(err))
		var hinted interface{ Hint() string }
		if errors.As(err, &hinted) {
			r.Next = []string{hinted.Hint()}
		}
		return []Result{r}
	}
	var list []Result
	for _, f := range facts {
		list = append(list, credentialResult(f))
	}
	return list
}

func (e *examination) directories(context.Context) []Result {
	var list []Result
	for _, d := range []DirFacts{
		{Name: "runtime", Path: e.Facts.RuntimeDir, Private: true}, {Name: "state", Path: e.Facts.StateDir},
		{Name: "cache", Path: e.Facts.CacheDir}, {Name: "shims", Path: filepath.Join(e.Facts.CacheDir, "shims")},
	} {
		list = append(list, dirResult(dirFacts(d)))
	}
	return list
}

func (e *examination) leftovers(ctx context.Context) []Result {
	l, err := e.Leftovers(ctx)
	return []Result{leftoverResult(l, err, e.Clean)}
}

// ID returns a name for what the probes of this process start.
func ID(pid int) string { return fmt.Sprintf("dr%d", pid) }
