package egress

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// conn is a connection as net/http sees it: one that is counted.
type conn struct {
	net.Conn
	conns   *conns
	element *list.Element // in conns.waiting, guarded by conns.mu
	closed  bool          // guarded by conns.mu
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request.
func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }

// connState follows net/http: after a request the connection waits again. Before the
// first it has waited since it was accepted, also with half of a head.
func connState(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		c.(*conn).wait()
	}
}

// Write implements net.Conn. A client that does not read an answer does not hold it for
// ever.
func (c *conn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.conns.idle))
	return c.Conn.Write(p)
}

// CloseWrite ends what the client reads.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

// Close implements net.Conn.
func (c *conn) Close() error {
	c.conns.remove(c)
	return c.Conn.Close()
}

// busy says that a request is under way, so that the connection stays.
func (c *conn) busy() { c.conns.setWaiting(c, false) }

// wait says that the connection may be closed for a newer one.
func (c *conn) wait() { c.conns.setWaiting(c, true) }

// closeWrite ends what the other side reads, where the connection can end one way alone.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// conns limits the connections of a container.
type conns struct {
	max  int
	idle time.Duration // limit of a write

	mu      sync.Mutex
	total   int
	waiting *list.List // *conn without a request under way, oldest first
}

func newConns(most int, idle time.Duration) *conns {
	return &conns{max: most, idle: idle, waiting: list.New()}
}

// add takes in a connection. When there are too many it closes the one that has waited
// longest, or when none waits returns nil.
func (s *conns) add(nc net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.max {
		if s.waiting.Len() == 0 {
			return nil
		}
		oldest := s.waiting.Front().Value.(*conn)
		s.forget(oldest)
		oldest.Conn.Close() // under its own goroutine, which then ends
	}
	c := &conn{Conn: nc, conns: s}
	s.total++
	c.element = s.waiting.PushBack(c)
	return c
}

// forget counts the connection no more; mu is held.
func (s *conns) forget(c *conn) {
	s.unlist(c)
	if !c.closed {
		c.closed = true
		s.total--
	}
}

func (s *conns) unlist(c *conn) {
	if c.element != nil {
		s.waiting.Remove(c.element)
		c.element = nil
	}
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(c)
}

func (s *conns) setWaiting(c *conn, waiting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlist(c)
	if waiting && !c.closed {
		c.element = s.waiting.PushBack(c)
	}
}

// limitedListener gives out connections that are counted.
type limitedListener struct {
	net.Listener
	conns *conns
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.conns.add(nc); c != nil {
			return c, nil
		}
		nc.SetWriteDeadline(time.Now().Add(lingerTimeout)) // a new socket has room for it
		_, _ = nc.Write(busyRefusal.raw())
		nc.Close()
	}
}
