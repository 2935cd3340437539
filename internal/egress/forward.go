package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

const (
	maxAnswerHeader = 256 << 10
	maxKept         = 64 // connections to destinations that wait for a request
	keptTimeout     = time.Minute
)

// transports returns the ways of plain HTTP: to destinations, and through the host's
// own proxy.
func (s *Server) transports() (direct, proxied *http.Transport) {
	base := http.Transport{
		DisableCompression: true, // what the client did not ask for, it does not get
		MaxIdleConns:       maxKept, IdleConnTimeout: keptTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
	direct, proxied = base.Clone(), base.Clone()
	direct.DialContext = s.dialPlain
	proxied.Proxy = func(r *http.Request) (*url.URL, error) { return s.dialer.proxy(r.URL) }
	proxied.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, &failure{CodeProxy, "the HTTP proxy of this host cannot be reached"}
		}
		return watch(c, s.limits.idle), nil
	}
	return direct, proxied
}

// dialPlain connects with a destination of plain HTTP. It decides again: what the
// transport dials is what counts.
func (s *Server) dialPlain(ctx context.Context, _, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	d := s.cfg.Policy.Decide(netpolicy.Request{Host: host, Port: port, Plain: true})
	if !d.Allowed {
		return nil, &failure{CodeAddress, d.Reason}
	}
	c, err := s.dialer.dial(ctx, place{host: d.Host, port: port, rule: d.Rule})
	if err != nil {
		return nil, err
	}
	return watch(c, s.limits.idle), nil
}

// forward carries out a request of plain HTTP.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	t, err := plainTarget(r)
	x := s.begun(t)
	defer x.over()
	if err != nil {
		ref := refuseRequest(err.Error())
		x.refuse(ref)
		ref.write(w)
		return
	}
	p, ref := s.decide(t, x)
	if ref != nil {
		x.refuse(ref)
		ref.write(w)
		return
	}
	out := &countedWriter{ResponseWriter: w, x: x}
	if r.Body != nil && r.Body != http.NoBody {
		out.body = &countedBody{ReadCloser: r.Body, n: &x.sent}
		r.Body = out.body
		// An answer may begin before the request has ended.
		_ = http.NewResponseController(w).EnableFullDuplex() // which net/http has for HTTP/1
	}
	s.reverse(t, p, x).ServeHTTP(out, r)
}

var (
	errScheme = errors.New("only http:// is forwarded; for anything else ask for a tunnel with CONNECT")
	errPort   = errors.New("the URL has no port that is one")
)

// plainTarget parses what a request of plain HTTP asks for.
func plainTarget(r *http.Request) (target, error) {
	t := target{method: r.Method, host: r.URL.Hostname(), port: 80, plain: true}
	if r.URL.Scheme != "http" {
		return t, errScheme
	}
	if port := r.URL.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return t, errPort
		}
		t.port = int(n)
	}
	return t, nil
}

// reverse passes one request on. httputil.ReverseProxy leaves out what concerns one
// connection only, such as Proxy-Authorization, and does upgrades.
func (s *Server) reverse(t target, p place, x *exchange) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		// The host is the URL's already: net/http takes no other from a proxy's request.
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery // which ReverseProxy would put right
		},
		Transport:     transportFunc(func(r *http.Request) (*http.Response, error) { return s.roundTrip(r, p) }),
		FlushInterval: -1,
		BufferPool:    buffers,
		ErrorLog:      silent,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			ref := refuseFailure(t, failureOf(err))
			x.refuse(ref)
			ref.write(w)
		},
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *Server) roundTrip(r *http.Request, p place) (*http.Response, error) {
	proxy, err := s.dialer.proxyFor("http", p)
	switch {
	case err != nil:
		return nil, err
	case proxy != nil:
		return s.proxied.RoundTrip(r)
	}
	return s.direct.RoundTrip(r)
}

// countedBody counts what the container sends.
type countedBody struct {
	io.ReadCloser
	n     *atomic.Int64
	ended atomic.Bool
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
	}
	return n, err
}

// countedWriter notes the answer that the container gets.
type countedWriter struct {
	http.ResponseWriter
	x    *exchange
	body *countedBody // nil: none
}

// Unwrap gives http.ResponseController what this writer does not do itself.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. An answer that comes before the request
// has ended is the last of its connection: what follows could be either's.
func (w *countedWriter) WriteHeader(status int) {
	if status >= http.StatusOK && w.body != nil && !w.body.ended.Load() {
		w.Header().Set("Connection", "close")
	}
	w.x.status(status)
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.x.received.Add(int64(n))
	return n, err
}

// Hijack implements http.Hijacker: after an upgrade both ways are counted.
func (w *countedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.x.status(http.StatusSwitchingProtocols)
	return &countedConn{Conn: c, x: w.x}, rw, nil
}

// countedConn is the connection of a container after an upgrade.
type countedConn struct {
	net.Conn
	x *exchange
}

// Read implements net.Conn.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.x.sent.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.x.received.Add(int64(n))
	return n, err
}

// CloseWrite ends what the container reads.
func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }
