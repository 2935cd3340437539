package session

import (
	"context"
	"errors"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// startSweep removes, beside this session, what killed ones left, once the start
// is over: it may not cost the user time. Failing to is no reason to keep the
// user from working, nor news: another session may be removing the same.
func (s *Session) startSweep(context.Context) error {
	swept := make(chan struct{})
	ctx, cancel := context.WithTimeout(s.watch.patience, cleanupTimeout)
	go func() {
		defer close(swept)
		<-s.started.done
		err := errors.Join(sessions.Sweep(ctx, s.Docker, s.Facts.Owner), lock.Sweep(s.Facts.RuntimeDir))
		if err != nil && ctx.Err() == nil {
			s.Log.Info("could not remove what an earlier session left", "err", err)
		}
	}()
	s.onCleanup(func(context.Context) error {
		defer cancel()
		<-swept
		return nil
	})
	return nil
}

// sweepNamed removes what killed sessions left before this one creates anything,
// where one of them may have had its id.
func (s *Session) sweepNamed(ctx context.Context) error {
	if !s.Named {
		return nil
	}
	err := sessions.Sweep(ctx, s.Docker, s.Facts.Owner)
	if err == nil {
		return nil
	}
	// Another session may be removing the same, and then each fails at what the other has
	// begun. What counts is that the names of this one are free in the end.
	ctx, cancel := context.WithTimeoutCause(ctx, namesTimeout, err)
	defer cancel()
	return s.awaitNames(ctx)
}

// namesTimeout is how long another session may take to remove what has our names, and
// namesPause the time between two looks: the engine tells of no end of a removal.
const (
	namesTimeout = 10 * time.Second
	namesPause   = 200 * time.Millisecond
)

// awaitNames waits until no container and no network has this session's id.
func (s *Session) awaitNames(ctx context.Context) error {
	label := plan.LabelSession + "=" + s.Plan.ID
	for {
		containers, err := s.Docker.Containers(ctx, label)
		if err != nil {
			return err
		}
		networks, err := s.Docker.Networks(ctx, label)
		if err != nil || len(containers)+len(networks) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(namesPause):
		}
	}
}
