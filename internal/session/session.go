// Package session carries out a plan: network, sidecars, proxy and agent are
// started, and whatever was created is removed in reverse order when the agent
// ends, by whatever way. What a killed process left behind is found by its
// labels and locks, and removed by a later session.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/broker"
	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerexec"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/mountid"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/ports"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/telemetry"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
	"github.com/aifo-coder/aifo-coder/internal/ui"
	"github.com/aifo-coder/aifo-coder/shims"
)

const (
	// startTimeout bounds one start or removal of a container or network. They
	// take well under a second; an engine that hangs must not hang us.
	startTimeout = 2 * time.Minute
	// cleanupTimeout bounds the whole removal of a session.
	cleanupTimeout = 30 * time.Second
)

// Streams are the caller's own standard streams.
type Streams struct {
	In, Out, Err *os.File
}

// Session is one run of a plan.
type Session struct {
	Plan    plan.Plan
	Facts   hostfacts.Facts
	Docker  docker.Client
	Streams Streams
	Log     *slog.Logger
	// Notice tells the caller something, in one line.
	Notice func(string)
	// Begin shows the caller that something is under way.
	Begin func(string) *ui.Work
	// Pull pulls an image, and shows that.
	Pull func(ctx context.Context, image string) error
	// Ready, when set, is called once when all sidecars have started.
	Ready func()
	// Trace says what is kept of tool calls, and Agent whose they are; empty: nobody's.
	Trace Trace
	Agent string
	// Broker is what the plan's credential broker serves.
	Broker broker.Config
	// Lock makes the session the only one on its workspace.
	Lock bool
	// Named says that the id was chosen outside, so that a killed session may have had it.
	Named bool

	watch    *signalWatch
	started  event // the agent's start is over, or cannot wait any more
	recent   *calltrace.Recent
	traced   *calltrace.Recorder // nil: nothing is kept
	exported *telemetry.Exporter // nil: nothing is exported
	gateway  func() (string, error)
	tunnels  map[string]*tunnel.Host // by container
	mounts   *mountid.Held           // what is mounted, if the plan has it checked
	// published are the ports of this machine that lead into the session.
	published []*ports.Listener
	// placeholders are the agent's variables that stand for keys.
	placeholders map[string]string

	agentGone chan error // gets the result of removing the agent's container
	undo      []func(context.Context) error
}

// event is something that happens once.
type event struct {
	done chan struct{} // closed when it has happened
	once *sync.Once
}

func newEvent() event { return event{done: make(chan struct{}), once: &sync.Once{}} }

func (e event) happen() { e.once.Do(func() { close(e.done) }) }

// MissingImageError says that an image of ours cannot be had.
type MissingImageError struct{ plan.MissingImage }

func (e *MissingImageError) Error() string { return e.Reason() }

// missing returns a *MissingImageError for each image, joined.
func missing(images []plan.MissingImage) error {
	var errs []error
	for _, m := range images {
		errs = append(errs, &MissingImageError{m})
	}
	return errors.Join(errs...)
}

// Run runs the session to its end and returns the exit code of the agent, or of
// the plan's direct command. Everything that it created is gone when it returns.
func (s *Session) Run(ctx context.Context) (int, error) {
	if err := missing(s.Plan.Missing); err != nil {
		return 0, err
	}
	s.watch = watchSignals(ctx)
	defer s.watch.stop()
	s.started = newEvent()
	s.openTelemetry(ctx)
	code, err := unlessSignalled(s.start(ctx))
	err = errors.Join(err, s.cleanup(ctx))
	s.closeTelemetry(code, err)
	return code, err
}

func (s *Session) start(ctx context.Context) (int, error) {
	if err := s.prepare(s.watch.starting); err != nil {
		return 0, err
	}
	switch {
	case s.Plan.Direct != nil:
		return s.runDirect(ctx, s.watch)
	case s.Plan.Agent == nil:
		return s.runServed(ctx, s.watch)
	}
	return s.runAgent(ctx, s.watch)
}

// prepare does everything that comes before the agent's container.
func (s *Session) prepare(ctx context.Context) error {
	steps := []func(context.Context) error{s.publish, s.makeDirs, s.takeLocks, s.openTrace, s.openTunnels, s.openWaysOut, s.installShims, s.installCABundle, s.pull, s.sweepNamed, s.startSweep, s.findGateway, s.holdMounts, s.createNetwork}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// onCleanup registers f to run at the end of the session, before what was
// registered earlier.
func (s *Session) onCleanup(f func(context.Context) error) { s.undo = append(s.undo, f) }

func (s *Session) cleanup(ctx context.Context) error {
	s.watch.abort(errEnded) // what has not started yet need not
	s.started.happen()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	work := s.Begin("removing the session's containers")
	var errs []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		errs = append(errs, s.undo[i](ctx))
	}
	err := errors.Join(errs...)
	work.End(err)
	return err
}

// makeDirs creates the directories of the plan. The state directories stay;
// that of the socket goes with the session.
func (s *Session) makeDirs(context.Context) error {
	if err := hostfacts.PrivateDir(s.Facts.RuntimeDir); err != nil {
		return err
	}
	for _, dir := range s.Plan.StateDirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create the agent's state directory: %w", err)
		}
	}
	return nil
}

// takeLocks takes the session's lock, which tells a sweep that it lives, and
// the one on the workspace.
func (s *Session) takeLocks(context.Context) error {
	holder := lock.Holder{PID: s.Facts.Owner.PID, Start: s.Facts.Owner.Start, Since: time.Now(), Workspace: s.Facts.Workspace, Engine: s.Docker.Name(), Ports: s.publishedPorts()}
	own, dir := lock.Session(s.Facts.RuntimeDir, s.Plan.ID)
	paths := []string{own}
	if s.Lock {
		paths = append(paths, lock.Workspace(s.Facts.RuntimeDir, s.Facts.Workspace))
	}
	for _, path := range paths {
		l, err := lock.Acquire(path, holder)
		if err != nil {
			return err
		}
		s.onCleanup(func(context.Context) error { return l.Release() })
	}
	return s.makeSocketDirs(dir)
}

// makeSocketDirs makes the directories of the sockets below the session's own.
func (s *Session) makeSocketDirs(dir string) error {
	dirs := s.Plan.SocketDirs()
	if len(dirs) == 0 && !s.hasProxy() && len(s.Plan.Ports) == 0 { // whose sockets are in the session's own directory
		return nil
	}
	// We hold the session's lock, so what is there is a killed session's.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove an earlier session's sockets: %w", err)
	}
	for _, d := range append([]string{dir}, dirs...) {
		if err := os.Mkdir(d, 0o700); err != nil {
			return errors.Join(fmt.Errorf("create the socket directory: %w", err), os.RemoveAll(dir))
		}
	}
	s.onCleanup(func(context.Context) error { return os.RemoveAll(dir) })
	return nil
}

func (s *Session) installShims(context.Context) error {
	_, err := shims.Install(s.Facts.CacheDir, s.Facts.Engine.GOARCH(), s.Plan.Kinds.Tools())
	return err
}

func (s *Session) installCABundle(context.Context) error { return s.Facts.CABundle.Install() }

func (s *Session) pull(ctx context.Context) error {
	for _, image := range s.Plan.Pulls {
		end := s.exported.Phase("pull " + image)
		err := s.Pull(ctx, image)
		end(err)
		if err != nil {
			return &PullError{Image: image, Err: err}
		}
	}
	return nil
}

// PullError says that an image is neither here nor to be had.
type PullError struct {
	Image string
	Err   error
}

func (e *PullError) Error() string { return fmt.Sprintf("pull image %s: %v", e.Image, e.Err) }
func (e *PullError) Unwrap() error { return e.Err }

// Hint says what to do instead.
func (e *PullError) Hint() string {
	return "check the name and the network, or use another image: --toolchain KIND=IMAGE for a toolchain, --image IMAGE for the agent; " +
		"without a registry, build ours in a checkout of aifo-coder: make build-images"
}

// findGateway begins to ask for the address at which containers reach this host,
// beside the making of the network: either takes a docker command.
func (s *Session) findGateway(ctx context.Context) error {
	p := s.Plan.Proxy
	if p == nil || !p.TCP() || p.Loopback {
		return nil
	}
	if p.Gateway { // of a network that there is not yet
		s.gateway = func() (string, error) { return HostAddress(ctx, s.Docker, s.Plan.Network.Name) }
		return nil
	}
	s.gateway = sync.OnceValues(func() (string, error) { // what host-gateway stands for
		return HostAddress(ctx, s.Docker, "bridge")
	})
	go func() { _, _ = s.gateway() }()
	return nil
}

// HostAddress returns the host's IPv4 address in a network. In the default bridge, "bridge", it is what
// host-gateway stands for, at which containers reach this process.
func HostAddress(ctx context.Context, c docker.Client, network string) (string, error) {
	bridge, err := c.Bridge(ctx, network)
	if err != nil {
		return "", err
	}
	own, err := hostfacts.Addresses()
	if err != nil {
		return "", err
	}
	addr, ok := bridge.HostAddress(own)
	if !ok {
		return "", fmt.Errorf("the network %s has no IPv4 address of this host", network)
	}
	return addr.String(), nil
}

func (s *Session) createNetwork(ctx context.Context) error {
	n := s.Plan.Network
	if n.Name == "" {
		return nil
	}
	if n.Create == nil {
		ok, err := s.Docker.NetworkExists(ctx, n.Name)
		if err == nil && !ok {
			err = fmt.Errorf("there is no network %q; create it with: %s network create %s", n.Name, s.Docker.Name(), n.Name)
		}
		return err
	}
	// Not cancelled by Ctrl-C: a docker command that is killed half-way leaves
	// us not knowing whether the network will exist.
	ctx, cancel := s.bounded()
	defer cancel()
	work := s.Begin("making the network " + n.Name)
	end := s.exported.Phase("create network")
	err := s.Docker.Do(ctx, n.Create)
	end(err)
	work.End(err)
	var refused *proc.ExitError
	if !errors.As(err, &refused) {
		s.onCleanup(s.removeNetwork) // created, or nobody knows; one of that name is not ours
	}
	if err != nil {
		return fmt.Errorf("create network %s: %w", n.Name, err)
	}
	return nil
}

func (s *Session) removeNetwork(ctx context.Context) error {
	if err := s.Docker.RemoveNetwork(ctx, s.Plan.Network.Name); err != nil {
		return fmt.Errorf("remove network %s: %w", s.Plan.Network.Name, err)
	}
	return nil
}

// bounded returns a context for a step that must be seen to its end unless the
// engine hangs or the user insists.
func (s *Session) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(s.watch.patience, startTimeout,
		fmt.Errorf("the engine did not finish within %s", startTimeout))
}

// runDirect runs the toolchain subcommand's command in its sidecar.
func (s *Session) runDirect(ctx context.Context, w *signalWatch) (int, error) {
	e := s.plainExecutor()
	sc := s.startSidecars(w, e)
	kind := s.Plan.Sidecars[0].Kind
	if err := s.awaitSidecar(w.starting, sc, kind, e); err != nil {
		return 0, err
	}
	if b := s.openPorts(); b != nil {
		defer b.Begin(kind)()
	}
	return command{
		exec: e, call: s.Plan.Call, limit: s.Plan.ToolTimeout, cmd: s.interactive(s.Plan.Direct.Argv()),
	}.run(ctx, w)
}

// awaitSidecar waits until the only sidecar has what the command asks for.
func (s *Session) awaitSidecar(ctx context.Context, sc *sidecars, kind string, e executor) error {
	work := s.Begin("starting the " + kind + " sidecar")
	err := sc.Ready(ctx, kind)
	if err == nil {
		call := execproxy.Call{Kind: kind, Cwd: s.Plan.Call.Cwd, Argv: s.Plan.Call.Argv}
		err = newCompleter(s.Plan.Kinds, e).complete(ctx, call, s.Notice)
	}
	work.End(err)
	return err
}

// command is the docker exec of a call, on the caller's own streams.
type command struct {
	exec  *dockerexec.Executor
	call  plan.Call
	limit time.Duration // 0: none
	cmd   proc.Cmd
}

// run runs the command to its end and returns its exit code. Signals go to the call's
// processes, which a docker exec does not do.
func (c command) run(ctx context.Context, w *signalWatch) (int, error) {
	running, forward := w.run(ctx)
	go c.pass(running, forward)
	limited, stop := limit(running, c.limit)
	defer stop()
	code, err := c.exec.Wait(limited, c.call.Kind, c.call.ID, c.cmd)
	return w.result(limited, code, err)
}

// pass passes signals on to the call's processes until running ends.
func (c command) pass(running context.Context, signals <-chan os.Signal) {
	for {
		select {
		case sig := <-signals:
			if name := execproto.SignalName(sig.(syscall.Signal)); name != "" {
				_ = c.exec.Signal(running, c.call.Kind, c.call.ID, name) // the tool may have ended meanwhile
			}
		case <-running.Done():
			return
		}
	}
}

// TimeLimitError says that the toolchain subcommand's command took too long.
type TimeLimitError struct{ Limit time.Duration }

func (e *TimeLimitError) Error() string {
	return fmt.Sprintf("the command was ended after its time limit of %v", e.Limit)
}

// limit returns a context that ends after d; 0 is no limit.
func limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, &TimeLimitError{Limit: d})
}

// interactive returns a docker command on the caller's own streams.
func (s *Session) interactive(argv []string) proc.Cmd {
	return onStreams(s.Docker, s.Facts, s.Streams, argv)
}

// onStreams returns a docker command on the caller's own streams. With a
// terminal, docker reads it and so stays in our foreground process group;
// the terminal is in raw mode and sends no signals. Otherwise docker is kept out
// of reach of the terminal's signals, which reach the container through us, once.
func onStreams(c docker.Client, f hostfacts.Facts, streams Streams, argv []string) proc.Cmd {
	cmd := c.Cmd(argv)
	cmd.Stdout, cmd.Stderr = streams.Out, streams.Err
	cmd.Detached = !f.Interactive()
	cmd.Stdin = streams.In
	if cmd.Detached && f.StdinTTY {
		// A background process group may not read the terminal: we read it.
		cmd.Stdin = struct{ io.Reader }{streams.In}
	}
	return cmd
}
