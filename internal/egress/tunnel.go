package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// tlsPort is the port on which a tunnel must be one of TLS for its own name.
const tlsPort = 443

// tunnel carries out a CONNECT.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request) {
	t, err := connectTarget(r.RequestURI)
	x := s.begun(t)
	var upstream net.Conn
	var ref *refusal
	if err != nil {
		ref = refuseRequest(err.Error())
	} else {
		upstream, ref = s.open(r.Context(), t, x)
	}
	if ref != nil {
		x.refuse(ref)
		x.over()
		s.dismiss(w, connOf(r.Context()), ref.raw())
		return
	}
	defer x.over()
	defer upstream.Close()
	s.join(w, upstream, x)
}

var errNoTarget = errors.New("CONNECT takes a host and a port")

// connectTarget parses what a CONNECT asks for.
func connectTarget(uri string) (target, error) {
	t := target{method: http.MethodConnect, host: uri}
	host, port, err := net.SplitHostPort(uri)
	if err != nil {
		return t, errNoTarget
	}
	t.host = host
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return t, errNoTarget
	}
	t.port = int(n)
	return t, nil
}

// open connects with what is asked for, when it is allowed.
func (s *Server) open(ctx context.Context, t target, x *exchange) (net.Conn, *refusal) {
	p, ref := s.decide(t, x)
	if ref != nil {
		return nil, ref
	}
	c, err := s.dialer.tunnel(ctx, p)
	if err != nil {
		return nil, refuseFailure(t, failureOf(err))
	}
	return c, nil
}

// decide returns the place of the target, when it is allowed.
func (s *Server) decide(t target, x *exchange) (place, *refusal) {
	d := s.cfg.Policy.Decide(netpolicy.Request{Host: t.host, Port: t.port, Plain: t.plain})
	if !d.Allowed {
		return place{}, s.refusePolicy(t, d)
	}
	x.allow(d)
	return place{host: d.Host, port: t.port, rule: d.Rule}, nil
}

// hijack takes the connection from net/http, with what the client has sent ahead.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	early, err := rw.Peek(rw.Reader.Buffered())
	return &prefixed{Conn: c, first: early}, err
}

// dismiss sends a last answer. It reads on for a moment, because a connection that is
// closed with something unread may lose the answer; a newer connection may have its place.
func (s *Server) dismiss(w http.ResponseWriter, c *conn, answer []byte) {
	client, err := hijack(w)
	if err != nil { // a client that is gone
		return
	}
	defer client.Close()
	c.wait()
	client.SetDeadline(time.Now().Add(s.limits.linger)) //nolint:errcheck // a closed connection needs none
	if _, err := client.Write(answer); err != nil {
		return
	}
	if err := closeWrite(client); err == nil {
		_, _ = io.CopyN(io.Discard, client, maxHeaderBytes)
	}
}

// join says to the client that the tunnel stands, and copies both ways.
func (s *Server) join(w http.ResponseWriter, upstream net.Conn, x *exchange) {
	client, err := hijack(w)
	if err != nil { // a client that is gone
		return
	}
	defer client.Close()
	stop := context.AfterFunc(s.ctx, func() { client.Close(); upstream.Close() })
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	x.status(http.StatusOK)
	p := &pipe{client: client, upstream: upstream}
	p.activity = newActivity(s.limits.idle, client, upstream)
	if err := s.begin443(p, x); err != nil {
		return
	}
	err = p.run()
	x.count(p.sent.Load(), p.received.Load())
	if isTimeout(err) && s.ctx.Err() == nil {
		x.fail(&failure{CodeIdle, "nothing went through it for " + s.limits.idle.String()})
	}
}

// begin443 wants of a tunnel to the port of HTTPS that it is one of TLS for its name,
// and not for another one that the same servers have.
func (s *Server) begin443(p *pipe, x *exchange) error {
	if x.entry.Port != tlsPort || s.cfg.Policy.Mode != netpolicy.Allowlist {
		return nil
	}
	p.client.SetReadDeadline(time.Now().Add(s.limits.hello))
	name, read, err := readHello(p.client)
	f := judgeHello(x.host, name, len(read), err)
	if f == nil {
		p.client.SetReadDeadline(time.Now().Add(s.limits.idle))
		p.sent.Store(int64(len(read)))
		_, err := p.upstream.Write(read)
		return err
	}
	x.count(int64(len(read)), 0)
	if f.code == CodeTLS {
		x.fail(f)
	}
	if err == nil {
		_, _ = p.client.Write(unrecognizedName)
	}
	return f
}

// judgeHello says what is wrong with the beginning of a tunnel to host, if anything. A
// client that has said nothing has done nothing wrong.
func judgeHello(host, serverName string, read int, err error) *failure {
	switch {
	case err != nil && read == 0:
		return &failure{CodeIdle, "nothing was sent"}
	case err != nil:
		return &failure{CodeTLS, "what is sent to port 443 is not TLS"}
	case serverName == "" && !isAddr(host): // a server of many has a default, and goes by what is in TLS
		return &failure{CodeTLS, "TLS is begun for no name, where " + host + " is allowed"}
	case serverName != "" && !strings.EqualFold(serverName, host):
		return &failure{CodeTLS, "TLS is begun for another name: " + jsonlog.Clean(serverName, maxHostShown)}
	}
	return nil
}

// isAddr reports whether a host is an address, which TLS has no name for.
func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
