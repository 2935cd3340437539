package panes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// tmuxProgram is the name of the command.
const tmuxProgram = "tmux"

// Tmux is a tmux server: the one at Socket, or that of the environment.
type Tmux struct {
	Env    []string // of the tmux command, as os.Environ gives it
	Socket string   // empty: what TMUX, TMUX_TMPDIR or the user's id say
	Step   func(name string) error
}

// Session is a running session of ours.
type Session struct {
	Socket string // of its server
	ID     string // among those of the server, while it lives
	Name   string
}

// TmuxMissingError says that tmux is not installed.
type TmuxMissingError struct{}

func (e *TmuxMissingError) Error() string {
	return "tmux, which shows several agents side by side, is not installed or not on PATH"
}

// Hint says what works instead.
func (e *TmuxMissingError) Hint() string {
	return "install tmux, or run the agents in the background with logs: --fork-runner=plain"
}

// NameTakenError says that there is another session of that name.
type NameTakenError struct{ Name string }

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("there already is a tmux session %q", e.Name)
}

// Hint says how to choose another name.
func (e *NameTakenError) Hint() string { return "choose another name with --fork-session-name" }

// GoneError says that no tmux session has the panes.
type GoneError struct{ Mark string }

func (e *GoneError) Error() string {
	return fmt.Sprintf("the tmux session of fork session %s is gone", e.Mark)
}

// Hint says how to get another one.
func (e *GoneError) Hint() string {
	return "start its agents again with: aifo-coder fork resume --session " + e.Mark
}

// OtherServerError says that the caller sits in another tmux server than the session.
type OtherServerError struct{ Session Session }

func (e *OtherServerError) Error() string {
	return fmt.Sprintf("the tmux session %s belongs to another tmux server than this terminal's", e.Session.Name)
}

// Hint says what to type elsewhere.
func (e *OtherServerError) Hint() string {
	return fmt.Sprintf("detach from this one first, or in another terminal: tmux -S %s attach-session -t '=%s'", e.Session.Socket, e.Session.Name)
}

// Check returns a *TmuxMissingError without tmux, and a *NameTakenError when name is
// another session's. It starts no server.
func (t Tmux) Check(ctx context.Context, name string) error {
	_, err := t.output(ctx, "", "has-session", "-t", "="+name)
	var exit *proc.ExitError
	switch {
	case err == nil:
		return &NameTakenError{Name: name}
	case errors.As(err, &exit):
		return nil // no such session, or no server
	}
	return err
}

// Start starts the panes in a new detached session, whose name must be what
// SessionName returns. It returns an *ArgvError, a *TmuxMissingError or a *NameTakenError before
// anything was started; after another error nothing that it started is left in tmux.
func (t Tmux) Start(ctx context.Context, spec Spec, size Size) (Session, error) {
	if err := spec.check(); err != nil {
		return Session{}, err
	}
	if err := t.Check(ctx, spec.Name); err != nil {
		return Session{}, err
	}
	b := &builder{tmux: t, spec: spec}
	err := b.build(ctx, size)
	if err != nil {
		err = errors.Join(fmt.Errorf("start %d panes in tmux: %w", len(spec.Panes), err), b.undo(ctx))
	}
	return b.session, err
}

// Add starts the panes beside those of the session with the spec's mark, or returns a
// *GoneError. After another error none of them is left in tmux.
func (t Tmux) Add(ctx context.Context, spec Spec) (Session, error) {
	if err := spec.check(); err != nil {
		return Session{}, err
	}
	s, err := t.Find(ctx, spec.Mark)
	if err != nil {
		return Session{}, err
	}
	b := &builder{tmux: t, spec: spec, session: s}
	if err := b.join(ctx); err != nil {
		err = errors.Join(fmt.Errorf("start %d panes in the tmux session %s: %w", len(spec.Panes), s.Name, err), b.undoAdded(ctx))
		return s, err
	}
	return s, nil
}

// builder puts one session together.
type builder struct {
	tmux    Tmux
	spec    Spec
	session Session
	windows []string // their ids
	last    string   // id of the latest pane
	added   []string // ids of the panes that were made
}

// join adds all panes to the session.
func (b *builder) join(ctx context.Context) error {
	out, err := b.tmux.output(ctx, "", "list-panes", "-s", "-t", b.session.ID, "-F", "#{window_id} #{pane_id}")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var window string
	window, b.last, _ = strings.Cut(lines[len(lines)-1], " ")
	b.windows = []string{window}
	// As in a new window: one that ends at once stays until all are there.
	if err := b.tmux.do(ctx, "set-option", "-w", "-t", window, "remain-on-exit", "on"); err != nil {
		return err
	}
	for _, p := range b.spec.Panes {
		if err := b.add(ctx, p); err != nil {
			return fmt.Errorf("pane %d: %w", p.Index, err)
		}
	}
	return b.release(ctx)
}

// made is what a command created.
type made struct{ session, window, pane, socket string }

func (b *builder) build(ctx context.Context, size Size) error {
	if err := b.first(ctx, size); err != nil {
		return err
	}
	for _, p := range b.spec.Panes[1:] {
		if err := b.add(ctx, p); err != nil {
			return fmt.Errorf("pane %d: %w", p.Index, err)
		}
	}
	return b.release(ctx)
}

func (b *builder) first(ctx context.Context, size Size) error {
	p := b.spec.Panes[0]
	args := newSession(b.spec, size)
	m, err := b.create(ctx, p, args)
	for n := 1; n < firstTries && b.mayRetry(ctx, err); n++ {
		m, err = b.create(ctx, p, args)
	}
	if err != nil {
		return err
	}
	b.session = Session{Socket: m.socket, ID: m.session, Name: b.spec.Name}
	b.windows = []string{m.window}
	return b.settle(ctx, m, p)
}

// A server whose last session has just ended still takes a call and does not answer
// it. firstTries is how often the first call is made, firstPause the time between.
const (
	firstTries = 5
	firstPause = 100 * time.Millisecond
)

// mayRetry reports whether the first call failed and made no session, after a pause.
func (b *builder) mayRetry(ctx context.Context, err error) bool {
	var exit *proc.ExitError
	var gone *GoneError
	if !errors.As(err, &exit) {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(firstPause):
	}
	_, err = b.tmux.Find(ctx, b.spec.Mark)
	return errors.As(err, &gone)
}

// add puts p beside the panes of the latest window, or into a further one where that
// has no room.
func (b *builder) add(ctx context.Context, p Pane) error {
	if m, err := b.create(ctx, p, splitPane(b.spec.Layout, b.last, p)); err == nil {
		return b.settle(ctx, m, p)
	}
	// Why tmux refused is told by prose only. If it was not for want of room, this
	// fails as well, and says why.
	m, err := b.create(ctx, p, newWindow(b.session.ID, b.spec.Window, p))
	if err != nil {
		return err
	}
	b.windows = append(b.windows, m.window)
	return b.settle(ctx, m, p)
}

// create runs a command that prints the ids of the pane that it made.
func (b *builder) create(ctx context.Context, p Pane, args []string) (made, error) {
	if err := b.tmux.at(fmt.Sprintf("tmux: start pane %d", p.Index)); err != nil {
		return made{}, err
	}
	out, err := b.tmux.output(ctx, p.Dir, args...)
	if err != nil {
		return made{}, err
	}
	fields := strings.SplitN(strings.TrimSpace(string(out)), " ", 4)
	if len(fields) != 4 {
		return made{}, fmt.Errorf("tmux %s printed %q, not the ids of a pane", args[0], out)
	}
	return made{session: fields[0], window: fields[1], pane: fields[2], socket: fields[3]}, nil
}

func (b *builder) settle(ctx context.Context, m made, p Pane) error {
	b.last, b.added = m.pane, append(b.added, m.pane)
	if err := b.tmux.do(ctx, setTitle(m.pane, p.Title)...); err != nil {
		return err
	}
	// After each, so that the next one finds room.
	return b.tmux.do(ctx, arrange(b.spec.Layout, m.window)...)
}

// release lets panes go when their programs end, and those whose have ended already.
func (b *builder) release(ctx context.Context) error {
	if err := b.tmux.at("tmux: release panes"); err != nil {
		return err
	}
	for _, w := range b.windows {
		if err := b.tmux.do(ctx, "set-option", "-w", "-t", w, "remain-on-exit", "off"); err != nil {
			return err
		}
	}
	out, err := b.tmux.output(ctx, "", "list-panes", "-s", "-t", b.session.ID, "-F", "#{pane_dead} #{pane_id}")
	if err != nil {
		return b.unlessGone(ctx, err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if pane, ok := strings.CutPrefix(line, "1 "); ok {
			err = errors.Join(err, b.tmux.do(ctx, "kill-pane", "-t", pane))
		}
	}
	return err
}

// unlessGone returns err, or nil when the session has gone because all its programs ended.
func (b *builder) unlessGone(ctx context.Context, err error) error {
	var gone *GoneError
	if _, findErr := b.tmux.Find(ctx, b.spec.Mark); errors.As(findErr, &gone) {
		return nil
	}
	return err
}

func (b *builder) undo(ctx context.Context) error {
	if b.session.ID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return b.tmux.do(ctx, "kill-session", "-t", b.session.ID)
}

// undoAdded takes away the panes that were added, and leaves the others as they were.
func (b *builder) undoAdded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var errs []error
	for _, pane := range b.added {
		errs = append(errs, b.tmux.do(ctx, "kill-pane", "-t", pane))
	}
	b.tmux.Step = nil // it stops no undoing
	return errors.Join(append(errs, b.release(ctx))...)
}

// undoTimeout bounds what is done after a cancelled start.
const undoTimeout = 10 * time.Second

// Find returns the session with the mark, whatever its name is by now, or a *GoneError.
func (t Tmux) Find(ctx context.Context, mark string) (Session, error) {
	out, err := t.output(ctx, "", "list-sessions", "-F", "#{session_id} #{"+markOption+"} #{socket_path}\t#{session_name}")
	var exit *proc.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Session{}, err
	}
	for _, line := range strings.Split(string(out), "\n") { // none without a server
		ids, name, _ := strings.Cut(line, "\t")
		if f := strings.SplitN(ids, " ", 3); len(f) == 3 && f[1] == mark {
			return Session{Socket: f[2], ID: f[0], Name: name}, nil
		}
	}
	return Session{}, &GoneError{Mark: mark}
}

// Kill ends the session with the mark, where there is one, and so closes the
// terminals of its panes.
func (t Tmux) Kill(ctx context.Context, mark string) error {
	s, err := t.Find(ctx, mark)
	var gone *GoneError
	var missing *TmuxMissingError
	if errors.As(err, &gone) || errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := t.at("tmux: kill session"); err != nil {
		return err
	}
	err = t.do(ctx, "kill-session", "-t", s.ID)
	if err == nil {
		return nil
	}
	if _, findErr := t.Find(ctx, mark); errors.As(findErr, &gone) {
		return nil // its last pane ended at the same time
	}
	return err
}

// Terminal is the caller's.
type Terminal struct{ In, Out, Err *os.File }

// Attach shows the session with the mark on the caller's terminal: it returns when the
// client detaches or the session ends, or at once where the terminal already is tmux's
// and is switched over. It returns a *GoneError or an *OtherServerError.
func (t Tmux) Attach(ctx context.Context, mark string, term Terminal) error {
	s, err := t.Find(ctx, mark)
	if err != nil {
		return err
	}
	args, err := attachArgs(s, envValue(t.Env, "TMUX"))
	if err != nil {
		return err
	}
	c := t.cmd("", args...)
	c.Stdin, c.Stdout, c.Stderr = term.In, term.Out, term.Err
	return wrap(args, proc.Run(ctx, c))
}

// attachArgs returns the words after "tmux" that show s, given the caller's TMUX: the
// socket of the server around it, and more after a comma.
func attachArgs(s Session, around string) ([]string, error) {
	socket, _, _ := strings.Cut(around, ",")
	switch {
	case socket == "":
		return []string{"attach-session", "-t", s.ID}, nil
	case sameFile(socket, s.Socket):
		return []string{"switch-client", "-t", s.ID}, nil
	}
	return nil, &OtherServerError{Session: s}
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return filepath.Clean(a) == filepath.Clean(b) || errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func envValue(env []string, name string) string {
	for _, kv := range slices.Backward(env) { // the last one counts
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func (t Tmux) at(step string) error {
	if t.Step == nil {
		return nil
	}
	return t.Step(step)
}

func (t Tmux) cmd(dir string, args ...string) proc.Cmd {
	argv := []string{tmuxProgram}
	if t.Socket != "" {
		argv = append(argv, "-S", t.Socket)
	}
	return proc.Cmd{Argv: append(argv, args...), Dir: dir, Env: t.Env}
}

func (t Tmux) do(ctx context.Context, args ...string) error {
	_, err := t.output(ctx, "", args...)
	return err
}

// output runs a tmux command, in its own group: a Ctrl-C would reach it half-way.
func (t Tmux) output(ctx context.Context, dir string, args ...string) ([]byte, error) {
	// -u: in another locale tmux would print a socket's path with _ for what is not ASCII.
	c := t.cmd(dir, append([]string{"-u"}, args...)...)
	c.Detached = true
	out, err := proc.Output(ctx, c)
	return out, wrap(args, err)
}

func wrap(args []string, err error) error {
	var missing *proc.NotFoundError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return &TmuxMissingError{}
	}
	return fmt.Errorf("tmux %s: %w", args[0], err)
}
