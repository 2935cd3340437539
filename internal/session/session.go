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
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
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
	// Notice tells the caller, in one line, about something that takes long.
	Notice func(string)
	// Ready, when set, is called once when all sidecars have started.
	Ready func()
	// Broker is what the plan's credential broker serves.
	Broker broker.Config
	// Lock makes the session the only one on its workspace.
	Lock bool
	// Named says that the id was chosen outside, so that a killed session may have had it.
	Named bool

	watch   *signalWatch
	started event // the agent's start is over, or cannot wait any more
	gateway func() (string, error)
	tunnels map[string]*tunnel.Host // by container
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
	code, err := s.start(ctx)
	var sig *SignalError
	if errors.As(err, &sig) {
		code, err = sig.Code(), nil // whoever sent it knows
	}
	return code, errors.Join(err, s.cleanup(ctx))
}

func (s *Session) start(ctx context.Context) (int, error) {
	if err := s.prepare(s.watch.starting); err != nil {
		return 0, err
	}
	if s.Plan.Direct != nil {
		return s.runDirect(ctx, s.watch)
	}
	return s.runAgent(ctx, s.watch)
}

// prepare does everything that comes before the agent's container.
func (s *Session) prepare(ctx context.Context) error {
	steps := []func(context.Context) error{s.makeDirs, s.takeLocks, s.openTunnels, s.openWaysOut, s.installShims, s.installCABundle, s.pull, s.sweepNamed, s.startSweep, s.findGateway, s.createNetwork}
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
	var errs []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		errs = append(errs, s.undo[i](ctx))
	}
	return errors.Join(errs...)
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
	holder := lock.Holder{PID: s.Facts.Owner.PID, Since: time.Now(), Workspace: s.Facts.Workspace}
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
	if len(dirs) == 0 {
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
		s.Notice("pulling image " + image)
		if err := s.Docker.Pull(ctx, image, s.Streams.Err); err != nil {
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
	s.gateway = sync.OnceValues(func() (string, error) {
		return s.hostGateway(ctx)
	})
	go func() { _, _ = s.gateway() }()
	return nil
}

// hostGateway returns what host-gateway stands for: the host's address in the engine's
// default bridge.
func (s *Session) hostGateway(ctx context.Context) (string, error) {
	bridge, err := s.Docker.Bridge(ctx, "bridge")
	if err != nil {
		return "", err
	}
	own, err := hostfacts.Addresses()
	if err != nil {
		return "", err
	}
	addr, ok := bridge.HostAddress(own)
	if !ok {
		return "", errors.New("the engine's default bridge has no IPv4 address of this host")
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
			err = fmt.Errorf("there is no network %q; create it with: docker network create %s", n.Name, n.Name)
		}
		return err
	}
	// Not cancelled by Ctrl-C: a docker command that is killed half-way leaves
	// us not knowing whether the network will exist.
	ctx, cancel := s.bounded()
	defer cancel()
	err := s.Docker.Do(ctx, n.Create)
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
	err := s.Docker.Do(ctx, s.Plan.Network.Remove())
	if err == nil {
		return nil
	}
	if exists, existsErr := s.Docker.NetworkExists(ctx, s.Plan.Network.Name); existsErr == nil && !exists {
		return nil // it was never made
	}
	return fmt.Errorf("remove network %s: %w", s.Plan.Network.Name, err)
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
	if err := sc.Ready(w.starting, kind); err != nil {
		return 0, err
	}
	call := execproxy.Call{Kind: kind, Cwd: s.Plan.Call.Cwd, Argv: s.Plan.Call.Argv}
	if err := newCompleter(s.Plan.Kinds, e).complete(w.starting, call, s.Notice); err != nil {
		return 0, err
	}
	running, forward := w.run(ctx)
	go func() {
		for sig := range forward {
			if name := execproto.SignalName(sig.(syscall.Signal)); name != "" {
				_ = e.Signal(running, kind, s.Plan.ID, name) // the tool may have ended meanwhile
			}
		}
	}()
	limited, stop := limit(running, s.Plan.ToolTimeout)
	defer stop()
	code, err := e.Wait(limited, kind, s.Plan.ID, s.interactive(s.Plan.Direct.Argv()))
	return w.result(limited, code, err)
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

// interactive returns a docker command on the caller's own streams. With a
// terminal, docker reads it and so stays in our foreground process group;
// the terminal is in raw mode and sends no signals. Otherwise docker is kept out
// of reach of the terminal's signals, which reach the container through us, once.
func (s *Session) interactive(argv []string) proc.Cmd {
	cmd := s.Docker.Cmd(argv)
	cmd.Stdout, cmd.Stderr = s.Streams.Out, s.Streams.Err
	cmd.Detached = !s.Facts.Interactive()
	cmd.Stdin = s.Streams.In
	if cmd.Detached && s.Facts.StdinTTY {
		// A background process group may not read the terminal: we read it.
		cmd.Stdin = struct{ io.Reader }{s.Streams.In}
	}
	return cmd
}
