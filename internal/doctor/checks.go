package doctor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
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
	o := e.Options
	o.Toolchains = o.AllToolchains()
	return plan.AllImages(o, e.Facts.Env, agent.All())
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
	total, available := max(i.MemTotal, 0), int64(0)
	if own, free := hostfacts.Memory(); own/gibi == total/gibi { // the engine is on this machine
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
