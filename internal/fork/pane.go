package fork

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

// PaneProcess is the process of a pane: it runs the pane's agent once, and keeps the
// pane's status.
type PaneProcess struct {
	Store  Store
	Record Record
	Index  int
	Self   hostfacts.Owner
	// Run runs the agent to its end and returns its exit code. It calls started once,
	// when the agent's container runs. Until then a signal ends ctx with a
	// *session.SignalError; after that signals are its own affair.
	Run func(ctx context.Context, started func()) (code int, err error)
	// ShortOfMemory reports whether panes should start one after the other.
	ShortOfMemory func() bool
	Prompt        Prompt
	Messages      io.Writer // where an error is told before the prompt
	Step          Steps
}

// PaneRunsError says that a pane's process lives already.
type PaneRunsError struct{ Index int }

func (e *PaneRunsError) Error() string {
	return fmt.Sprintf("the agent of pane %d runs already", e.Index)
}

// paneLock is the file whose lock a pane's process holds while it lives. The kernel
// releases it when the process dies, by whatever way.
func paneLock(s Store, sid string, index int) string {
	return filepath.Join(s.PaneDir(sid, index), "run.lock")
}

// PaneLives reports whether the pane's process lives: its agent runs, or ended and
// somebody still looks at the pane, or has a shell in it.
func PaneLives(s Store, sid string, index int) (bool, error) {
	return lock.Held(paneLock(s, sid, index))
}

// PreparePane makes a pane ready to be started: it waits, and its environment lies in
// the runtime directory. It returns a *PaneRunsError for one that lives.
func PreparePane(s Store, sid string, index int, runtimeDir string, environ []string) error {
	lives, err := PaneLives(s, sid, index)
	if err != nil {
		return err
	}
	if lives {
		return &PaneRunsError{Index: index}
	}
	// Without this, who waits for the new run would find that of the last one ended.
	if err := s.SaveStatus(sid, index, PaneStatus{State: Waiting}); err != nil {
		return err
	}
	if err := hostfacts.PrivateDir(runtimeDir); err != nil {
		return err
	}
	return writePaneEnv(PaneEnvFile(runtimeDir, sid, index), environ)
}

// Main is the life of the process. It returns the agent's exit code once the agent has
// ended and whoever looks at the pane lets it go; the status says so as soon as the agent has
// ended. It returns a *PaneRunsError when another process runs the pane. An error in
// writing the last status does not hide the agent's end: without it the status says killed.
func (p PaneProcess) Main(ctx context.Context) (int, error) {
	l, err := p.takeLock()
	if err != nil {
		return 0, err
	}
	defer l.Release() //nolint:errcheck // the kernel does it in a moment
	w := watchPane(ctx)
	defer w.stop()
	code, err := p.agent(w)
	if err != nil {
		fmt.Fprintf(p.Messages, "aifo-coder: %v\n", err)
	}
	p.Prompt.ask(w.ctx, code, err)
	return code, err
}

func (p PaneProcess) takeLock() (*lock.Lock, error) {
	if err := os.MkdirAll(p.Store.PaneDir(p.Record.SID, p.Index), 0o700); err != nil {
		return nil, fmt.Errorf("start pane %d: %w", p.Index, err)
	}
	if err := p.Step.At(fmt.Sprintf("pane %d: take the lock", p.Index)); err != nil {
		return nil, err
	}
	path := paneLock(p.Store, p.Record.SID, p.Index)
	l, err := lock.Acquire(path, lock.Holder{PID: p.Self.PID, Since: time.Now(), Workspace: p.Record.SID})
	var held *lock.HeldError
	if errors.As(err, &held) {
		return nil, &PaneRunsError{Index: p.Index}
	}
	return l, err
}

// agent waits for the pane's turn, runs the agent, and keeps the status.
func (p PaneProcess) agent(w *paneWatch) (int, error) {
	st := PaneStatus{State: Waiting, Owner: p.Self}
	if err := p.save(st); err != nil {
		return 0, err
	}
	release, err := p.awaitTurn(w.ctx)
	if err != nil {
		return p.ended(st, 0, err)
	}
	defer release()
	st.State, st.Started = Running, time.Now()
	if err := p.save(st); err != nil {
		return 0, err
	}
	code, err := p.Run(w.ctx, func() {
		w.agentRuns()
		release()
	})
	w.agentEnded()
	return p.ended(st, code, err)
}

// ended writes the last word of a run.
func (p PaneProcess) ended(st PaneStatus, code int, err error) (int, error) {
	var sig *session.SignalError
	if errors.As(err, &sig) {
		code = sig.Code()
	}
	st.State, st.Ended, st.Code = Ended, time.Now(), code
	if err != nil {
		st.Error = err.Error()
	}
	return code, errors.Join(err, p.save(st))
}

func (p PaneProcess) save(st PaneStatus) error {
	if err := p.Step.At(fmt.Sprintf("pane %d: write status %s", p.Index, st.State)); err != nil {
		return fmt.Errorf("write the status of pane %d: %w", p.Index, err)
	}
	return p.Store.SaveStatus(p.Record.SID, p.Index, st)
}

// turnLimit is how long a pane may keep the others waiting: an agent whose container does
// not run by then waits for something other than memory.
const turnLimit = time.Minute

// awaitTurn returns when the pane may start: at once, or with memory short when no other
// pane of the session is starting. release lets the next one start; the end of the
// process does too.
func (p PaneProcess) awaitTurn(ctx context.Context) (release func(), err error) {
	path := filepath.Join(p.Store.sessionDir(p.Record.SID), "start.lock")
	for p.ShortOfMemory() {
		l, err := lock.Acquire(path, lock.Holder{PID: p.Self.PID, Since: time.Now(), Workspace: p.Record.SID})
		var held *lock.HeldError
		if err == nil {
			return releaseOnce(l), nil
		}
		if !errors.As(err, &held) {
			return nil, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
	return func() {}, nil
}

func releaseOnce(l *lock.Lock) func() {
	release := sync.OnceFunc(func() { _ = l.Release() }) // the kernel does it at our end
	timer := time.AfterFunc(turnLimit, release)
	return func() {
		timer.Stop()
		release()
	}
}

// look is the time between two looks at locks and statuses. They are looked at rather
// than waited for: flock(2) cannot be cancelled, and a thread for each pane would hang in it.
const look = 200 * time.Millisecond

// pause waits for the next look, or returns the cause of ctx.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(look):
		return nil
	}
}
