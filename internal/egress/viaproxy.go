package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

// throughProxy connects with addr, a host and a port, through the host's proxy. The
// user of this host has chosen the proxy, so its own address is not checked.
func throughProxy(ctx context.Context, via *url.URL, addr string) (net.Conn, error) {
	switch via.Scheme {
	case "socks5", "socks5h":
		d, err := proxy.FromURL(via, new(net.Dialer))
		if err != nil {
			return nil, &failure{CodeProxy, "the setting of this host's SOCKS proxy is wrong"}
		}
		return d.(proxy.ContextDialer).DialContext(ctx, "tcp", addr)
	case "http", "https":
		c, err := dialProxy(ctx, via)
		if err != nil {
			return nil, &failure{CodeProxy, "the HTTP proxy of this host cannot be reached"}
		}
		return connectThrough(ctx, c, via, addr)
	}
	return nil, &failure{CodeProxy, fmt.Sprintf("the proxy of this host is of the kind %q, which is not possible", jsonlog.Clean(via.Scheme, maxMethodShown))}
}

func dialProxy(ctx context.Context, via *url.URL) (net.Conn, error) {
	port := via.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[via.Scheme]
	}
	addr := net.JoinHostPort(via.Hostname(), port)
	if via.Scheme == "https" {
		return new(tls.Dialer).DialContext(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// connectThrough asks the proxy at the other end of c for a tunnel to addr. It closes c
// when there is none.
func connectThrough(ctx context.Context, c net.Conn, via *url.URL, addr string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // the connection is over then
	early, err := askTunnel(c, via, addr)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return &prefixed{Conn: c, first: early}, nil
}

// askTunnel returns what has come after the proxy's answer.
func askTunnel(c net.Conn, via *url.URL, addr string) ([]byte, error) {
	// http.Request sends what it is given; that the User-Agent is ours is for the
	// logs of whoever runs the proxy.
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{"User-Agent": {"aifo-coder"}}}
	if u := via.User; u != nil {
		password, _ := u.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := r.Write(c); err != nil {
		return nil, &failure{CodeProxy, "the HTTP proxy of this host does not take requests"}
	}
	br := bufio.NewReader(io.LimitReader(c, maxHeaderBytes))
	resp, err := http.ReadResponse(br, r)
	if err != nil {
		if isTimeout(err) {
			return nil, &failure{CodeTimeout, "the HTTP proxy of this host does not answer in time"}
		}
		return nil, &failure{CodeProxy, "the HTTP proxy of this host does not answer as one"}
	}
	resp.Body.Close() // of a CONNECT; nothing is read from it
	if resp.StatusCode != http.StatusOK {
		return nil, &failure{CodeProxy, "the HTTP proxy of this host answers " + jsonlog.Clean(resp.Status, maxHostShown)}
	}
	early, err := br.Peek(br.Buffered())
	return early, err
}

// prefixed is a connection of which something has been read before.
type prefixed struct {
	net.Conn
	first []byte
}

// Read implements net.Conn.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.first)
	p.first = p.first[n:]
	return n, nil
}

// CloseWrite ends what the other side reads.
func (p *prefixed) CloseWrite() error { return closeWrite(p.Conn) }
