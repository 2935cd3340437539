package tunnel

import (
	"io"
	"net"
	"sync"
)

// Host is the end of a tunnel in this process: a listener for each of the container's
// sockets.
type Host struct {
	listeners map[string]*listener

	mu     sync.Mutex
	link   *link         // nil before Serve
	served chan struct{} // closed when Serve has ended
	closed bool
}

// NewHost returns the end for the sockets of these names, to which nobody can connect
// before Serve.
func NewHost(names ...string) *Host {
	h := &Host{listeners: map[string]*listener{}}
	for _, name := range names {
		l := &listener{name: name}
		l.changed.L = &l.mu
		h.listeners[name] = l
	}
	return h
}

// Listener returns the listener of a socket, which must be one of the tunnel's. It
// accepts until it is closed, or the tunnel is no more, whose error it then returns. Its
// connections can end in one direction alone, by CloseWrite.
func (h *Host) Listener(name string) net.Listener { return h.listeners[name] }

// Serve carries the connections over rwc, the other side of which is Main, until that
// breaks or Close is called. It closes rwc and returns why it ended. A tunnel
// is served once: nobody can connect any more afterwards.
func (h *Host) Serve(rwc io.ReadWriteCloser) error {
	l := newLink(rwc)
	l.known = func(name string) bool { return h.listeners[name] != nil }
	l.accept = func(c *conn) bool { return h.listeners[c.name].add(c) }
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		_ = rwc.Close()
		return errClosed
	}
	h.link, h.served = l, make(chan struct{})
	h.mu.Unlock()
	defer close(h.served)
	err := l.run()
	for _, one := range h.listeners {
		one.end(err)
	}
	return err
}

// Close ends the tunnel and waits until Serve has ended.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	l := h.link
	h.mu.Unlock()
	for _, one := range h.listeners {
		one.end(errClosed)
	}
	if l != nil {
		l.fail(errClosed)
		<-h.served
	}
}

// listener is the net.Listener of one socket.
type listener struct {
	name string

	mu      sync.Mutex
	changed sync.Cond
	waiting []*conn // at most MaxConns
	err     error   // why there are no more
}

// add takes a connection, or returns false when there are to be no more.
func (l *listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return false
	}
	l.waiting = append(l.waiting, c)
	l.changed.Signal()
	return true
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == 0 && l.err == nil {
		l.changed.Wait()
	}
	if l.err != nil {
		return nil, l.err
	}
	c := l.waiting[0]
	l.waiting = l.waiting[1:]
	return c, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.end(net.ErrClosed)
	return nil
}

// end lets nobody connect any more, for the reason err; only the first counts. A connection
// calls add with its link locked, so that it is not closed with the listener locked.
func (l *listener) end(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	waiting := l.waiting
	l.waiting = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	for _, c := range waiting {
		_ = c.Close()
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return address(l.name) }
