package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/dockerexec"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// sidecars are the session's sidecars while they start and run.
type sidecars struct {
	exec   *dockerexec.Executor
	byKind map[string]*sidecar
}

type sidecar struct {
	plan.Sidecar
	ready   chan struct{} // closed when the rest is final
	created bool
	err     error
}

// allCreated reports whether every sidecar's container was created. It is to be
// asked when all starts have ended.
func (s *sidecars) allCreated() bool {
	for _, one := range s.byKind {
		if !one.created {
			return false
		}
	}
	return true
}

var _ execproxy.Sidecars = (*sidecars)(nil)

// startSidecars starts all sidecars at once and returns without waiting for
// them. One that fails fails the session.
func (s *Session) startSidecars(w *signalWatch) *sidecars {
	sc := &sidecars{exec: s.executor(), byKind: map[string]*sidecar{}}
	var started sync.WaitGroup
	for _, p := range s.Plan.Sidecars {
		one := &sidecar{Sidecar: p, ready: make(chan struct{})}
		sc.byKind[p.Kind] = one
		started.Go(func() {
			defer close(one.ready)
			if one.err = s.startSidecar(w.starting, one); one.err != nil {
				w.fail(one.err)
			}
		})
	}
	s.onCleanup(func(ctx context.Context) error {
		w.abort(errEnded) // a start that still runs need not go on to its bootstrap
		started.Wait()
		return s.removeSidecars(ctx, sc.allCreated())
	})
	return sc
}

var errEnded = errors.New("the session has ended")

// removeSidecars removes them by name where all were created; otherwise a name
// may be somebody else's, and our own are found by their labels.
func (s *Session) removeSidecars(ctx context.Context, all bool) error {
	if all && s.Docker.Do(ctx, s.Plan.RemoveSidecars()) == nil {
		return nil
	}
	return s.removeContainers(ctx, "")
}

func (s *Session) startSidecar(ctx context.Context, one *sidecar) error {
	bounded, cancel := s.bounded()
	defer cancel()
	if err := s.Docker.Do(bounded, one.Run.Argv()); err != nil {
		return fmt.Errorf("start the %s sidecar from %s: %w", one.Kind, one.Image, err)
	}
	one.created = true
	if err := s.awaitBoot(ctx, one); err != nil {
		return fmt.Errorf("start the %s sidecar from %s: %w", one.Kind, one.Image, err)
	}
	for _, b := range one.Bootstrap {
		s.Notice("completing the " + one.Kind + " sidecar: " + strings.Join(b.Argv, " "))
		if err := s.Docker.Do(ctx, b.Exec.Argv()); err != nil {
			return fmt.Errorf("complete the %s sidecar: %w", one.Kind, err)
		}
	}
	return nil
}

// awaitBoot waits until the boot program has prepared the container. When it
// failed, the container has ended and its log holds the reason.
func (s *Session) awaitBoot(ctx context.Context, one *sidecar) error {
	err := s.executor().AwaitBoot(ctx, one.Kind)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if reason, logErr := s.Docker.Logs(ctx, one.Run.Name); logErr == nil && reason != "" {
		return errors.New(reason)
	}
	return err
}

// Has implements execproxy.Sidecars.
func (s *sidecars) Has(kind string) bool { return s.byKind[kind] != nil }

// Ready implements execproxy.Sidecars.
func (s *sidecars) Ready(ctx context.Context, kind string) error {
	one := s.byKind[kind]
	select {
	case <-one.ready:
		return one.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Offers implements execproxy.Sidecars.
func (s *sidecars) Offers(ctx context.Context, kind, tool string) (bool, error) {
	if err := s.Ready(ctx, kind); err != nil {
		return false, err
	}
	return s.exec.Offers(ctx, kind, tool)
}
