package fork

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// startLimit is how long a pane's process may take from being asked for until it says
// that it is there. It says so before it does anything else.
const startLimit = time.Minute

// Waiter waits for the agents of a session. What it goes by is what their processes
// have written and which of them live, whatever became of the terminal that showed
// them: a client that detaches, or a tmux server that is killed, ends no wait.
type Waiter struct {
	Store  Store
	Record Record
	Self   hostfacts.Owner
	// Changed, when set, is told about each pane once, when its agent has ended.
	Changed    func(index int, st PaneStatus)
	StartLimit time.Duration // zero: a minute
}

// NeverStartedError names the panes whose processes did not come up.
type NeverStartedError struct {
	SID   string
	Panes []int
}

func (e *NeverStartedError) Error() string {
	return fmt.Sprintf("of session %s, no agent ever started in %s", e.SID, paneList(e.Panes))
}

// Hint says how to start them.
func (e *NeverStartedError) Hint() string {
	return "start them again with: aifo-coder fork resume --session " + e.SID
}

// paneList returns "pane 1" or "panes 1, 2".
func paneList(list []int) string {
	words := make([]string, 0, len(list))
	for _, i := range list {
		words = append(words, fmt.Sprint(i))
	}
	if len(list) == 1 {
		return "pane " + words[0]
	}
	return "panes " + strings.Join(words, ", ")
}

// Wait returns when the agent of every pane has ended or was killed. It returns a
// *NeverStartedError for panes that did not start in time, once the others have ended, and the
// cause of ctx when that ends first.
func (w Waiter) Wait(ctx context.Context) error {
	limit := w.StartLimit
	if limit == 0 {
		limit = startLimit
	}
	var never []int
	open := livePanes(w.Record)
	for deadline := time.Now().Add(limit); ; {
		var err error
		if open, err = w.round(open); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			var late []int
			late, open, err = w.unstarted(open)
			if err != nil {
				return err
			}
			never = append(never, late...)
		}
		if len(open) == 0 {
			break
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if len(never) > 0 {
		return &NeverStartedError{SID: w.Record.SID, Panes: never}
	}
	return nil
}

// livePanes returns the indexes of the panes that are not removed.
func livePanes(r Record) []int {
	var list []int
	for _, p := range r.present() {
		list = append(list, p.Index)
	}
	return list
}

// round reports panes that have ended and returns the others.
func (w Waiter) round(open []int) ([]int, error) {
	var still []int
	for _, index := range open {
		st, err := PaneState(w.Store, w.Record.SID, index, w.Self)
		if err != nil {
			return nil, err
		}
		if st.State != Ended && st.State != Killed {
			still = append(still, index)
			continue
		}
		if w.Changed != nil {
			w.Changed(index, st)
		}
	}
	return still, nil
}

// unstarted parts the panes whose processes have not said anything from the others.
func (w Waiter) unstarted(open []int) (never, others []int, err error) {
	for _, index := range open {
		st, err := w.Store.Status(w.Record.SID, index, w.Self)
		if err != nil {
			return nil, nil, err
		}
		lives, err := PaneLives(w.Store, w.Record.SID, index)
		if err != nil {
			return nil, nil, err
		}
		if st.Owner.PID == 0 && !lives {
			never = append(never, index)
		} else {
			others = append(others, index)
		}
	}
	return never, others, nil
}

// PaneState is Store.Status, and knows also by the lock that a process is dead: where
// the system does not tell when a process started, its number may be another's by now.
func PaneState(s Store, sid string, index int, self hostfacts.Owner) (PaneStatus, error) {
	// The lock comes first: with it free, and before the status was read, the status is
	// the last that its process wrote. Then it is looked at again, for in between another
	// may have started.
	before, err := PaneLives(s, sid, index)
	if err != nil {
		return PaneStatus{}, err
	}
	st, err := s.Status(sid, index, self)
	if err != nil || before || st.State != Running || st.Owner.Host != self.Host {
		return st, err
	}
	after, err := PaneLives(s, sid, index)
	if err == nil && !after {
		st.State = Killed
	}
	return st, err
}

// Stopper ends the agents of the panes of a record.
type Stopper struct {
	Store  Store
	Record Record
	Self   hostfacts.Owner
	// Grace is how long a pane may take to remove its containers. Zero: sessions.StopGrace.
	Grace time.Duration
	Step  Steps
}

// StillRunsError names panes whose processes could not be ended.
type StillRunsError struct{ Panes []int }

func (e *StillRunsError) Error() string {
	return fmt.Sprintf("the agents of %s could not be stopped", paneList(e.Panes))
}

// Stop asks the processes of the panes to end, and kills those that live after a grace
// period. killed names the latter: their containers and networks are still there, for a
// sweep. It returns a *StillRunsError when some live on, as those of another host do.
func (s Stopper) Stop(ctx context.Context) (killed []int, err error) {
	grace := s.Grace
	if grace == 0 {
		grace = sessions.StopGrace
	}
	left, err := s.until(ctx, livePanes(s.Record), grace, hostfacts.Owner.Terminate)
	if err != nil || len(left) == 0 {
		return nil, err
	}
	killed = left
	if left, err = s.until(ctx, left, sessions.KillGrace, hostfacts.Owner.Kill); err == nil && len(left) > 0 {
		err = &StillRunsError{Panes: left}
	}
	return killed, err
}

// until signals the processes of the panes, each once, and returns the panes whose
// processes live when the time is up.
func (s Stopper) until(ctx context.Context, open []int, limit time.Duration, send func(o, self hostfacts.Owner) error) ([]int, error) {
	told := map[hostfacts.Owner]bool{}
	for deadline := time.Now().Add(limit); ; {
		var err error
		if open, err = s.living(open); err != nil {
			return open, err
		}
		if err := s.signal(open, told, send); err != nil {
			return open, err
		}
		if len(open) == 0 || time.Now().After(deadline) {
			return open, nil
		}
		if err := pause(ctx); err != nil {
			return open, err
		}
	}
}

// living returns those of the panes whose processes live.
func (s Stopper) living(list []int) ([]int, error) {
	var left []int
	for _, index := range list {
		lives, err := PaneLives(s.Store, s.Record.SID, index)
		if err != nil {
			return list, err
		}
		if lives {
			left = append(left, index)
		}
	}
	return left, nil
}

// signal tells the owners of the panes that were not told yet. A process that has only
// just taken its lock says in the next round who it is.
func (s Stopper) signal(list []int, told map[hostfacts.Owner]bool, send func(o, self hostfacts.Owner) error) error {
	for _, index := range list {
		st, err := s.Store.Status(s.Record.SID, index, s.Self)
		if err != nil {
			return err
		}
		if told[st.Owner] || st.Owner.PID == 0 {
			continue
		}
		if err := s.Step.At(fmt.Sprintf("stop pane %d", index)); err != nil {
			return err
		}
		told[st.Owner] = true
		if err := send(st.Owner, s.Self); err != nil {
			return fmt.Errorf("stop the agent of pane %d: %w", index, err)
		}
	}
	return nil
}
