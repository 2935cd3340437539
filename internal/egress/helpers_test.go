package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// public stands for a server on the internet; the tests' internet leads to this machine.
var public = netip.MustParseAddr("198.51.100.1")

// harness is a server on a socket, with an internet of its own.
type harness struct {
	t      *testing.T
	server *Server
	socket string

	mu        sync.Mutex
	entries   []Entry
	connected []netip.AddrPort          // what the server connected with
	internet  map[netip.AddrPort]string // where that is
	lookups   int
}

// start starts a server. What cfg leaves out is the internet's: every name has the
// address public.
func start(t testing.TB, cfg Config, change ...func(*limits)) *harness {
	t.Helper()
	h := &harness{internet: map[netip.AddrPort]string{}}
	h.t, _ = t.(*testing.T)
	if cfg.Container == "" {
		cfg.Container = "rust"
	}
	cfg.Record = func(e Entry) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.entries = append(h.entries, e)
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{public}, nil }
	}
	resolve := cfg.Resolve
	cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		h.mu.Lock()
		h.lookups++
		h.mu.Unlock()
		return resolve(ctx, host)
	}
	l := limits{conns: maxConns, idle: time.Minute, hello: time.Minute, linger: 5 * time.Second}
	for _, f := range change {
		f(&l)
	}
	h.server = newServer(cfg, l)
	direct := h.server.dialer.connect
	h.server.dialer.connect = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
		h.mu.Lock()
		h.connected = append(h.connected, a)
		there, ok := h.internet[a]
		h.mu.Unlock()
		switch {
		case ok && there == "":
			<-ctx.Done() // nobody answers
			return nil, ctx.Err()
		case ok:
			a = netip.MustParseAddrPort(there)
		case !a.Addr().IsLoopback():
			return nil, fmt.Errorf("the test has no %v", a)
		}
		return direct(ctx, a)
	}
	h.listen(t)
	return h
}

func (h *harness) listen(t testing.TB) {
	dir, err := os.MkdirTemp("", "aifo") //nolint:usetesting // a short path, which a socket needs
	require.NoError(t, err)
	l, err := ListenUnix(dir, os.Geteuid())
	require.NoError(t, err)
	h.socket = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, h.server.Shutdown(ctx))
		require.NoError(t, <-done)
		require.NoError(t, os.RemoveAll(dir))
	})
}

// reach makes addr on the internet lead to a server of the test.
func (h *harness) reach(addr string, there string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.internet[netip.MustParseAddrPort(addr)] = there
}

// recorded waits for n entries and returns them.
func (h *harness) recorded(n int) []Entry {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.entries) >= n
	}, patience, time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Len(h.t, h.entries, n)
	return append([]Entry(nil), h.entries...)
}

// dial connects as the container does.
func (h *harness) dial() *client {
	h.t.Helper()
	c, err := net.Dial("unix", h.socket)
	require.NoError(h.t, err)
	require.NoError(h.t, c.SetDeadline(time.Now().Add(patience)))
	h.t.Cleanup(func() { c.Close() })
	return &client{Conn: c, r: bufio.NewReader(c), t: h.t}
}

// client is one connection of the container.
type client struct {
	net.Conn
	r *bufio.Reader
	t *testing.T
}

func (c *client) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.Conn, format, args...)
	require.NoError(c.t, err)
}

// answer reads a response whose body it reads, too.
func (c *client) answer() (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	require.NoError(c.t, resp.Body.Close())
	return resp, string(body)
}

// connect asks for a tunnel and wants it to stand.
func (c *client) connect(addr string) {
	c.t.Helper()
	c.send("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", addr, addr)
	resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodConnect})
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, resp.StatusCode, resp.Status)
}

// http returns a client that uses the server as its proxy.
func (h *harness) http(tlsConfig *tls.Config) *http.Client {
	tr := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: "egress"}),
		TLSClientConfig: tlsConfig,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.socket)
		},
	}
	if h.t != nil {
		h.t.Cleanup(tr.CloseIdleConnections)
	}
	return &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get returns the body of a URL that must answer 200.
func get(t testing.TB, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	return string(body)
}

func allow(t testing.TB, list ...string) netpolicy.Policy {
	t.Helper()
	p := netpolicy.Policy{Mode: netpolicy.Allowlist}
	for _, s := range list {
		rules, err := netpolicy.Parse(s, "--allow-host")
		require.NoError(t, err)
		p.Rules = append(p.Rules, rules...)
	}
	return p
}

// site is a server on the internet that says what it was asked.
func site(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// secure is the same with TLS, as example.com.
func secure(t testing.TB, handler http.HandlerFunc) (*httptest.Server, *tls.Config) {
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = silent
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// port returns the port of an address of this machine.
func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// raw is a server on this machine for one connection.
func raw(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				require.ErrorIs(t, err, net.ErrClosed)
				return
			}
			wg.Go(func() { defer c.Close(); serve(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

var errNoHost = &net.DNSError{Err: "no such host", Name: "secret-name", Server: "10.9.8.7:53", IsNotFound: true}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) }
