package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// sidecars are the session's sidecars while they start and run.
type sidecars struct {
	exec    executor
	byKind  map[string]*sidecar
	started sync.WaitGroup // of the starts
}

type sidecar struct {
	plan.Sidecar
	wanted  event         // a call waits for it
	ready   chan struct{} // closed when the rest is final
	err     error
	begun   bool // there may be a container
	created bool // there is one, and it is ours
}

// every reports whether is holds for every sidecar. It is to be asked when all
// starts have ended.
func (s *sidecars) every(is func(*sidecar) bool) bool {
	for _, one := range s.byKind {
		if !is(one) {
			return false
		}
	}
	return true
}

var _ execproxy.Sidecars = (*sidecars)(nil)

// startSidecars has all sidecars start at once, when the agent has, and returns
// without waiting for them. One that fails fails the session.
func (s *Session) startSidecars(w *signalWatch, e executor) *sidecars {
	sc := &sidecars{exec: e, byKind: map[string]*sidecar{}}
	for _, p := range s.Plan.Sidecars {
		one := &sidecar{Sidecar: p, wanted: newEvent(), ready: make(chan struct{})}
		sc.byKind[p.Kind] = one
		sc.started.Go(func() {
			defer close(one.ready)
			if one.err = s.startInTurn(w.starting, sc, one); one.err != nil {
				w.fail(one.err)
			}
		})
	}
	s.onCleanup(func(ctx context.Context) error {
		sc.started.Wait()
		return s.removeSidecars(ctx, sc)
	})
	return sc
}

// errEnded keeps what has not started yet from starting, and a start that still
// runs from going on.
var errEnded = errors.New("the session has ended")

// startInTurn starts a sidecar when the start of the session is over or a call
// waits for it, or not at all when the session is over first.
func (s *Session) startInTurn(ctx context.Context, sc *sidecars, one *sidecar) error {
	select {
	case <-s.started.done:
	case <-one.wanted.done:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	one.begun = true
	end := s.exported.Phase("start " + one.Kind + " sidecar")
	err := s.startSidecar(ctx, sc.exec, one)
	end(err)
	return err
}

// removeSidecars removes the containers and ends the links to them, which takes
// a docker command each, at the same time. Where all containers were created
// they are removed by name; otherwise a name may be somebody else's, and our own
// are found by their labels.
func (s *Session) removeSidecars(ctx context.Context, sc *sidecars) error {
	var links sync.WaitGroup
	links.Go(func() { closeExecutor(sc.exec) })
	defer links.Wait()
	switch {
	case sc.every(func(one *sidecar) bool { return !one.begun }):
		return nil
	case sc.every(func(one *sidecar) bool { return one.created }) && s.Docker.Do(ctx, s.Plan.RemoveSidecars()) == nil:
		return nil
	}
	return s.removeContainers(ctx, "")
}

func (s *Session) startSidecar(ctx context.Context, e executor, one *sidecar) error {
	bounded, cancel := s.bounded()
	defer cancel()
	if err := s.Docker.With(s.withMounts(one.Secrets, one.Run)).Do(bounded, one.Run.Argv()); err != nil {
		return fmt.Errorf("start the %s sidecar from %s: %w", one.Kind, one.Image, err)
	}
	one.created = true
	s.startTunnel(ctx, one.Kind)
	if err := s.awaitReady(ctx, e, one); err != nil {
		return fmt.Errorf("start the %s sidecar from %s: %w", one.Kind, one.Image, err)
	}
	for _, b := range one.Bootstrap {
		s.noticeBehindAgent("completing the " + one.Kind + " sidecar: " + strings.Join(b.Argv, " "))
		if err := s.Docker.Do(ctx, b.Exec.Argv()); err != nil {
			return fmt.Errorf("complete the %s sidecar: %w", one.Kind, err)
		}
	}
	return nil
}

// noticeBehindAgent is Notice while the agent runs: on a terminal it would write
// into the agent's screen. Whoever calls a tool there is told to wait.
func (s *Session) noticeBehindAgent(text string) {
	if s.Plan.Agent == nil || !s.Facts.Interactive() {
		s.Notice(text)
	}
}

// awaitReady waits until the boot program has prepared the container and calls
// can be made. When the boot failed, the container has ended and its log holds
// the reason.
func (s *Session) awaitReady(ctx context.Context, e executor, one *sidecar) error {
	err := e.Open(ctx, one.Kind)
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
	one.wanted.happen()
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
