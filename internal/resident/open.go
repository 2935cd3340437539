package resident

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// slot holds the link of one kind.
type slot struct {
	opening chan struct{} // has room for one: who opens the link

	mu   sync.Mutex
	link *link // the latest, may be dead
}

// live returns the link if it is one, else nil.
func (s *slot) live() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil || s.link.isDead() {
		return nil
	}
	return s.link
}

func (s *slot) put(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l
}

func (e *Executor) slot(kind string) *slot {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.slots[kind]
	if s == nil {
		s = &slot{opening: make(chan struct{}, 1)}
		e.slots[kind] = s
	}
	return s
}

// link returns the link to the sidecar of kind, and opens it where there is
// none. Those who come meanwhile wait for the one that opens it.
func (e *Executor) link(ctx context.Context, kind string) (*link, error) {
	s := e.slot(kind)
	if l := s.live(); l != nil {
		return l, nil
	}
	select {
	case s.opening <- struct{}{}:
		defer func() { <-s.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if l := s.live(); l != nil {
		return l, nil
	}
	l, err := e.open(ctx, kind)
	if err != nil {
		return nil, err
	}
	s.put(l)
	if e.base.Err() != nil { // Close may not have seen it
		l.close()
		return nil, context.Cause(e.base)
	}
	return l, nil
}

// open opens a link and waits until its server is ready.
func (e *Executor) open(ctx context.Context, kind string) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, openLimit, fmt.Errorf("no exec server within %v", openLimit))
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(e.base, func() { end(context.Cause(e.base)) })()

	conn, err := e.cfg.Dial(ctx, kind)
	if err == nil {
		r := execproto.NewMuxReader(bufio.NewReaderSize(conn, readBuffer))
		if err = greet(ctx, conn, r); err == nil {
			return newLink(kind, conn, r, e.lost), nil
		}
		_ = conn.Close()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if gone := e.cfg.Alive(ctx, kind); gone != nil {
		return nil, gone
	}
	return nil, fmt.Errorf("start the exec server of the %s sidecar: %w", kind, err)
}

// greet waits for the first message of a server. It ends with ctx.
func greet(ctx context.Context, conn Link, r *execproto.MuxReader) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	m, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("it ended without a word")
	}
	if err == nil && (m.Type != execproto.MuxHello || m.Call != 0) {
		err = fmt.Errorf("%w: type %q of a server that was not ready", execproto.ErrFrame, byte(m.Type))
	}
	return err
}

// gone returns the error of a sidecar whose container has ended, or nil when it
// still runs after a moment: the link breaks before the engine says so.
func (e *Executor) gone(ctx context.Context, kind string) error {
	for deadline := time.Now().Add(goneTime); ; {
		if err := e.cfg.Alive(ctx, kind); err != nil && ctx.Err() == nil {
			return err
		}
		if time.Now().After(deadline) {
			return nil
		}
		select {
		case <-time.After(gonePoll):
		case <-ctx.Done():
			return nil
		}
	}
}

// lost returns what the calls of a link that broke are told.
func (e *Executor) lost(kind string, err error) error {
	if e.base.Err() != nil {
		return context.Cause(e.base)
	}
	ctx, cancel := context.WithTimeout(e.base, aliveLimit)
	defer cancel()
	if gone := e.gone(ctx, kind); gone != nil {
		return gone
	}
	if errors.Is(err, execproto.ErrFrame) {
		return fmt.Errorf("the %s sidecar's exec server was ended, the call's result is unknown: %w", kind, err)
	}
	return fmt.Errorf("the %s sidecar's exec server ended; the call's result is unknown", kind)
}
