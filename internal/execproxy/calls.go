package execproxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Why a call's context ended.
var (
	errTimeout  = errors.New("time limit") // always wrapped, see timeLimit
	errGone     = errors.New("client is gone")
	errShutdown = errors.New("the session is ending")
)

// timeLimit is why a call ended that took longer than d; the client reads it.
func timeLimit(d time.Duration) error {
	return fmt.Errorf("tool call ended after its %w of %v", errTimeout, d)
}

// signalled is why a call ended that got a signal before its tool was started.
type signalled struct{ name string }

func (s signalled) Error() string { return "SIG" + s.name + " before the tool was started" }

// code is the exit code a shell reports for a program ended by the signal.
func (s signalled) code() int {
	sig, _ := execproto.ParseSignal(s.name)
	return 128 + int(sig)
}

// call is one call under way.
type call struct {
	id, kind string
	cancel   context.CancelCauseFunc
	seen     *observation
	held     *Held // what its request takes; its handler's

	mu      sync.Mutex
	running bool // Executor.Run was called
}

// begin marks the call as running unless ctx ended before.
func (c *call) begin(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.running = true
	return nil
}

// cancelWaiting ends a call whose tool was not started yet, unless the signal is
// one that ends no program, and reports whether the tool was not started.
func (c *call) cancelWaiting(signal string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.running && execproto.Ends(signal) {
		c.cancel(signalled{signal})
	}
	return !c.running
}

// deliver sends a signal to the tool of c, or ends the wait for its sidecar.
func (p *Proxy) deliver(ctx context.Context, c *call, signal string) error {
	if c.cancelWaiting(signal) {
		return nil
	}
	if err := p.cfg.Executor.Signal(ctx, c.kind, c.id, signal); err != nil {
		return fmt.Errorf("send SIG%s: %w", signal, err)
	}
	return nil
}

// calls is the registry of calls under way.
type calls struct {
	mu     sync.Mutex
	max    int
	closed bool
	byID   map[string]*call
	idle   chan struct{} // closed when closed is set and byID is empty
}

func newCalls(limit int) *calls {
	return &calls{max: limit, byID: map[string]*call{}, idle: make(chan struct{})}
}

// add registers a call, with a fresh id when the client chose none.
func (s *calls) add(id, kind string, cancel context.CancelCauseFunc) (*call, *refusal) {
	if id == "" {
		id = newExecID()
	}
	if !execproto.ValidExecID(id) {
		return nil, refuseRequest
	}
	c := &call{id: id, kind: kind, cancel: cancel}
	if ref := s.insert(c); ref != nil {
		return nil, ref
	}
	return c, nil
}

func (s *calls) insert(c *call) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return refuseEnding
	case s.byID[c.id] != nil:
		return refuseIDInUse
	case len(s.byID) >= s.max:
		return refuseBusy
	}
	s.byID[c.id] = c
	return nil
}

// remove takes c out; a second time does nothing.
func (s *calls) remove(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[c.id] != c {
		return
	}
	delete(s.byID, c.id)
	if s.closed && len(s.byID) == 0 {
		close(s.idle)
	}
}

// find returns the tool call with that id, or nil. Notifications are calls of no
// kind and take no signals.
func (s *calls) find(id string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byID[id]; c != nil && c.kind != "" {
		return c
	}
	return nil
}

// close refuses further calls and ends those under way.
func (s *calls) close(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if len(s.byID) == 0 {
		close(s.idle)
	}
	for _, c := range s.byID {
		c.cancel(cause)
	}
}

// wait waits, after close, for the last call.
func (s *calls) wait(ctx context.Context) error {
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end tool calls: %w", context.Cause(ctx))
	}
}

func newExecID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
