package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// StopGrace is how long a session may take to remove what it made: above what
// internal/session takes at most, 3 s until it ends the agent by force and 30 s for the removal.
const StopGrace = 45 * time.Second

// KillGrace is how long a killed process may take to be gone: it goes as soon as the kernel lets it.
const KillGrace = 10 * time.Second

// stopPause is between two looks at a process, which tells nobody else of its end.
const stopPause = 50 * time.Millisecond

// StillRunsError names sessions whose processes could not be ended.
type StillRunsError struct{ IDs []string }

func (e *StillRunsError) Error() string {
	return "could not be stopped: session " + strings.Join(e.IDs, ", session ")
}

// Hint says what is left to do.
func (e *StillRunsError) Hint() string {
	return "their processes are killed but do not go, as when a file system hangs; aifo-coder clean removes their containers once they have gone"
}

// Stop asks the processes of running sessions to end, as SIGTERM does, and waits until they
// have removed what they made. After the grace period it kills them; what they then leave is
// for a sweep. It returns the ids of those that it killed, a *ForeignError before anything was
// signalled, a *StillRunsError, or the cause of ctx.
func Stop(ctx context.Context, list []Session, self hostfacts.Owner, grace time.Duration) (killed []string, err error) {
	for _, s := range list {
		if err := s.Own(); err != nil {
			return nil, err
		}
	}
	left, err := until(ctx, list, self, grace, hostfacts.Owner.Terminate)
	if err != nil || len(left) == 0 {
		return nil, err
	}
	killed = ids(left)
	if left, err = until(ctx, left, self, KillGrace, hostfacts.Owner.Kill); err == nil && len(left) > 0 {
		err = &StillRunsError{IDs: ids(left)}
	}
	return killed, err
}

// until signals the processes of the sessions and returns those that live when the time is up.
func until(ctx context.Context, list []Session, self hostfacts.Owner, limit time.Duration, send func(o, self hostfacts.Owner) error) ([]Session, error) {
	var errs []error
	for _, s := range list {
		if err := send(s.Owner, self); err != nil {
			errs = append(errs, fmt.Errorf("stop session %s: %w", s.ID, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return list, err
	}
	for deadline := time.Now().Add(limit); ; {
		list = filter(list, func(s Session) bool { return !s.Owner.Dead(self) })
		if len(list) == 0 || !time.Now().Before(deadline) {
			return list, nil
		}
		select {
		case <-ctx.Done():
			return list, context.Cause(ctx)
		case <-time.After(stopPause):
		}
	}
}

func ids(list []Session) []string {
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}
