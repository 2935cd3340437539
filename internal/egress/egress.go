// Package egress is the way out of a container that has no network: an HTTP proxy on a
// unix socket that only this container sees. It reaches what the container's policy
// allows, by tunnels (CONNECT) and by plain HTTP, at the very addresses that it has
// checked, and writes down what was asked for (docs/network.md).
//
// Everything that comes in is hostile: what is not limited by net/http is limited here.
package egress

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/unixsock"
)

const (
	// headerTimeout is how long the head of a request may take to arrive.
	headerTimeout = 10 * time.Second
	// maxHeaderBytes bounds the head of a request.
	maxHeaderBytes = 64 << 10
	// keepTimeout is how long a connection may wait for its next request.
	keepTimeout = 2 * time.Minute
	// idleTimeout is how long a tunnel or an answer may go without a byte. A model may
	// think for minutes before it says anything.
	idleTimeout = 15 * time.Minute
	// helloTimeout is how long a client may take to begin TLS. Some open a tunnel
	// before they need it.
	helloTimeout = 30 * time.Second
	// dialTimeout bounds the way to a destination: its name and its connection.
	dialTimeout = 30 * time.Second
	// lingerTimeout is how long a client may take to read why it was refused.
	lingerTimeout = time.Second
	// maxConns is how many connections a container may have.
	maxConns = 1024
)

// Config says what a server does.
type Config struct {
	Policy netpolicy.Policy
	// Container names who asks, in messages and the log: "agent" or a toolchain kind.
	Container string
	// Record gets an entry when a request or a tunnel is over. It must not block long;
	// nil is none. Log.Record is one.
	Record func(Entry)
	// Resolve returns the addresses of a host; nil is the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Proxy returns the HTTP proxy of this host for a URL, or a nil URL for none, as
	// httpproxy.Config.ProxyFunc does; nil is none. A tunnel's URL has scheme https.
	// Through a proxy it is the proxy that resolves names.
	Proxy func(*url.URL) (*url.URL, error)
	// Local answers requests for this server itself, those without a host in their
	// request line; nil answers that there is nothing.
	Local http.Handler
}

// Server is the way out of one container.
type Server struct {
	cfg     Config
	limits  limits
	dialer  dialer
	direct  *http.Transport // for plain HTTP
	proxied *http.Transport // the same, through the host's proxy
	http    *http.Server
	conns   *conns

	ctx context.Context // of everything under way
	end context.CancelFunc

	mu       sync.Mutex
	ended    bool
	handlers sync.WaitGroup
}

// limits are the constants of above, smaller in tests.
type limits struct {
	conns               int
	idle, hello, linger time.Duration
}

// New returns a server that listens nowhere yet.
func New(cfg Config) *Server {
	if cfg.Record == nil {
		cfg.Record = func(Entry) {}
	}
	return newServer(cfg, limits{conns: maxConns, idle: idleTimeout, hello: helloTimeout, linger: lingerTimeout})
}

func newServer(cfg Config, l limits) *Server {
	s := &Server{cfg: cfg, limits: l, dialer: newDialer(cfg), conns: newConns(l.conns, l.idle)}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.direct, s.proxied = s.transports()
	s.http = &http.Server{
		Handler:                      http.HandlerFunc(s.serve),
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  keepTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a request like any other
		ErrorLog:                     silent,
		BaseContext:                  func(net.Listener) context.Context { return s.ctx },
		ConnContext:                  withConn,
		ConnState:                    connState,
	}
	return s
}

// silent drops what net/http says about broken requests, of which a container can make
// as many as it likes.
var silent = log.New(io.Discard, "", 0)

// ListenUnix listens on the socket of a container in dir, a private directory of ours
// that is mounted into this container alone. Its processes connect as the user uid of
// this host.
func ListenUnix(dir string, uid int) (net.Listener, error) {
	return unixsock.ListenFor(dir, execproto.EgressSocketName, uid)
}

// Serve serves the listener until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(&limitedListener{Listener: l, conns: s.conns})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown ends everything, tunnels as well, and waits until each has been recorded,
// or for the end of ctx, whose error it then returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.end()
	err := s.http.Close()
	s.direct.CloseIdleConnections()
	s.proxied.CloseIdleConnections()
	done := make(chan struct{})
	go func() { s.handlers.Wait(); close(done) }()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// begin counts a request that Shutdown waits for, unless it does already.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.handlers.Add(1)
	return true
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.handlers.Done()
	connOf(r.Context()).busy()
	switch {
	case r.Method == http.MethodConnect:
		s.tunnel(w, r)
	case r.URL.IsAbs() || r.URL.Host != "":
		s.forward(w, r)
	case s.cfg.Local != nil:
		s.cfg.Local.ServeHTTP(w, r)
	default:
		http.Error(w, "aifo-coder: this is the HTTP proxy of a session; there is nothing here by itself", http.StatusNotFound)
	}
}
