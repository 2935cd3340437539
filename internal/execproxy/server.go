package execproxy

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// headerTimeout is how long the head of a request may take to arrive.
	headerTimeout = 10 * time.Second
	// maxHeaderBytes leaves room for more than MaxHeaderLines lines, so that it
	// is their number that is refused first.
	maxHeaderBytes = 128 << 10
	// maxPending is how many connections without the token there may be, and
	// maxPendingFrom how many from one address. One more closes the oldest, of that
	// address if it has too many, so that nobody can keep the others out by opening
	// connections and saying nothing.
	maxPending     = 1024
	maxPendingFrom = 256
	// maxConns is how many connections there may be in all.
	maxConns = 4096
)

func newServer(p *Proxy) *http.Server {
	s := &http.Server{
		Handler:                      p,
		ReadHeaderTimeout:            headerTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a request like any other
		ErrorLog:                     slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	s.SetKeepAlivesEnabled(false)
	return s
}

var errSurplus = errors.New("more was sent than the request")

type connKey struct{}

// connOf returns the connection of a request, or nil when the handler is not
// served by Serve.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// conn is a connection as net/http sees it. It adds two things that net/http
// does not offer: replies to unreadable requests in the form that docs/protocol.md
// gives them, and the knowledge whether more was sent than the request.
type conn struct {
	net.Conn
	conns   *conns
	from    string        // the client's address without its port
	element *list.Element // in conns.pending, guarded by conns.mu
	closed  bool          // guarded by conns.mu

	entered  atomic.Bool // the handler has the request
	sealed   atomic.Bool // nothing more may come from the client
	answered bool        // a reply of net/http itself was replaced; of the connection's goroutine

	head headScanner  // of the goroutine that reads
	read atomic.Int64 // bytes read so far
	body atomic.Int64 // where the body begins; 0: not yet known
}

// enter notes that replies are now the handler's.
func (c *conn) enter() {
	if c != nil {
		c.entered.Store(true)
	}
}

// admit takes the connection out of those that may be closed for newer ones.
func (c *conn) admit() {
	if c != nil {
		c.conns.admit(c)
	}
}

// seal makes a client that goes on sending after its request count as gone:
// net/http sees a client go only while it has nothing to read from it.
func (c *conn) seal() {
	if c != nil {
		c.sealed.Store(true)
	}
}

// surplus reports whether bytes after the body arrived together with it. Those
// mean that Content-Length is wrong, and with it what we took for the request.
func (c *conn) surplus(contentLength int64) bool {
	return c != nil && contentLength >= 0 && c.read.Load() > c.body.Load()+contentLength
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.body.Load() == 0 {
		if i := c.head.end(p[:n]); i >= 0 {
			c.body.Store(c.read.Load() + int64(i))
		}
	}
	c.read.Add(int64(n))
	if n > 0 && c.sealed.Load() {
		return 0, errSurplus
	}
	return n, err
}

// Write implements net.Conn. What net/http writes before the handler was called
// is its own refusal of the request, which lacks the exit code.
func (c *conn) Write(p []byte) (int, error) {
	if c.entered.Load() {
		return c.Conn.Write(p)
	}
	if c.answered {
		return len(p), nil
	}
	c.answered = true
	ref := refuseRequest
	if bytes.HasPrefix(p, []byte("HTTP/1.1 431 ")) {
		ref = refuseHeaders
	}
	if _, err := c.Conn.Write(ref.raw()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.conns.remove(c)
	return c.Conn.Close()
}

// inner returns the connection below c.
func inner(c net.Conn) net.Conn {
	if outer, ok := c.(*conn); ok {
		return outer.Conn
	}
	return c
}

// unixConn returns the unix socket below c, or nil when it is none.
func unixConn(c net.Conn) *net.UnixConn {
	u, _ := inner(c).(*net.UnixConn)
	return u
}

// CloseWrite lets net/http, and version 3, end a reply without a reset that
// could overtake it.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// headScanner finds the empty line at the end of a request's head.
type headScanner struct{ newline bool }

// end returns how many bytes of p belong to the head, or -1 when all do and it
// goes on.
func (s *headScanner) end(p []byte) int {
	for i, b := range p {
		switch {
		case b == '\n' && s.newline:
			return i + 1
		case b == '\n':
			s.newline = true
		case b != '\r':
			s.newline = false
		}
	}
	return -1
}

// conns limits the connections.
type conns struct {
	mu      sync.Mutex
	total   int
	pending *list.List     // *conn without the token, oldest first
	from    map[string]int // how many of them are from an address
}

func newConns() *conns { return &conns{pending: list.New(), from: map[string]int{}} }

// add takes in a new connection, or returns nil when there are too many.
func (s *conns) add(nc net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= maxConns {
		return nil
	}
	c := &conn{Conn: nc, conns: s, from: addressOf(nc.RemoteAddr().String())}
	s.total++
	c.element = s.pending.PushBack(c)
	s.from[c.from]++
	switch {
	case s.from[c.from] > maxPendingFrom:
		s.closeOldest(c.from)
	case s.pending.Len() > maxPending:
		s.closeOldest("")
	}
	return c
}

// closeOldest closes the oldest connection from an address, or of all, under its own
// goroutine, which then ends.
func (s *conns) closeOldest(from string) {
	for e := s.pending.Front(); e != nil; e = e.Next() {
		oldest := e.Value.(*conn)
		if from == "" || oldest.from == from {
			s.unlist(oldest)
			oldest.Conn.Close()
			return
		}
	}
}

// addressOf returns an address without its port; that of a unix socket's client, which
// has none, is the same for all.
func addressOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func (s *conns) admit(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlist(c)
}

func (s *conns) unlist(c *conn) {
	if c.element == nil {
		return
	}
	s.pending.Remove(c.element)
	c.element = nil
	if s.from[c.from]--; s.from[c.from] == 0 {
		delete(s.from, c.from)
	}
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlist(c)
	if !c.closed {
		c.closed = true
		s.total--
	}
}

// closePending closes the connections without the token.
func (s *conns) closePending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.pending.Len() > 0 {
		s.closeOldest("")
	}
}

// guardedListener gives out connections that are counted and guarded.
type guardedListener struct {
	net.Listener
	conns *conns
}

// Accept implements net.Listener.
func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.conns.add(nc); c != nil {
			return c, nil
		}
		nc.Close()
	}
}
