package egress

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpproxy"
)

// company is the HTTP proxy of a company: it wants a password and resolves names itself.
type company struct {
	*httptest.Server
	sites   map[string]string // host and port to an address of this machine
	tunnels atomic.Int32
	plain   atomic.Int32
}

func newCompany(t *testing.T, sites map[string]string) *company {
	c := &company{sites: sites}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

func (c *company) serve(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := proxyAuth(r); !ok || user != "ann" || password != "secret" {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		c.plain.Add(1)
		_, _ = io.WriteString(w, "the company's "+r.URL.String())
		return
	}
	there, err := net.Dial("tcp", c.sites[r.RequestURI])
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	c.tunnels.Add(1)
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\nX-Company: yes\r\n\r\n")
	go func() { _, _ = io.Copy(there, rw); there.Close() }()
	_, _ = io.Copy(client, there)
	client.Close()
}

func proxyAuth(r *http.Request) (user, password string, ok bool) {
	other := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	return other.BasicAuth()
}

// setting returns the host's setting as its environment has it.
func setting(t *testing.T, proxy, password string) func(*url.URL) (*url.URL, error) {
	t.Helper()
	u, err := url.Parse(proxy)
	require.NoError(t, err)
	u.User = url.UserPassword("ann", password)
	cfg := httpproxy.Config{HTTPProxy: u.String(), HTTPSProxy: u.String(), NoProxy: "direct.example"}
	return cfg.ProxyFunc()
}

func TestThroughTheHostsProxy(t *testing.T) {
	there, tlsConfig := secure(t, hello)
	addr := there.Listener.Addr().String()
	proxy := newCompany(t, map[string]string{"example.com:443": addr})
	h := start(t, Config{Policy: allow(t, "example.com", "down.example", "direct.example", "host.docker.internal:"+port(addr)), Proxy: setting(t, proxy.URL, "secret")})
	c := h.http(tlsConfig)
	require.Equal(t, "hello", get(t, c, "https://example.com/"))
	require.Equal(t, "the company's http://example.com/x?y", get(t, c, "http://example.com/x?y"))
	require.EqualValues(t, 1, proxy.tunnels.Load())
	require.EqualValues(t, 1, proxy.plain.Load())
	require.Zero(t, h.lookups, "the proxy resolves names")

	_, err := c.Get("https://down.example/")
	require.ErrorContains(t, err, "down.example:443: the HTTP proxy of this host answers 502 Bad Gateway")

	// What is on the host, and what the host reaches by itself, does not go through it.
	here := tlsConfig.Clone()
	here.ServerName = "example.com"
	require.Equal(t, "hello", get(t, h.http(here), "https://host.docker.internal:"+port(addr)))
	h.reach("198.51.100.1:80", site(t, hello).Listener.Addr().String())
	require.Equal(t, "hello", get(t, c, "http://direct.example/"))
	require.EqualValues(t, 1, proxy.tunnels.Load())
	require.EqualValues(t, 1, proxy.plain.Load())

	// The policy holds before the proxy is asked.
	resp, err := c.Get("http://evil.example/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, CodePolicy, resp.Header.Get("X-Aifo-Denied"))
	require.EqualValues(t, 1, proxy.plain.Load())
}

func TestTheHostsProxyFails(t *testing.T) {
	proxy := newCompany(t, nil)
	gone := httptest.NewServer(nil)
	gone.Close()
	silent := raw(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") })
	for _, tt := range []struct {
		proxy, password, want string
	}{
		{proxy.URL, "wrong", "the HTTP proxy of this host answers 407 Proxy Authentication Required"},
		{gone.URL, "secret", "the HTTP proxy of this host cannot be reached"},
		{"http://" + silent, "secret", "the HTTP proxy of this host does not answer as one"},
	} {
		h := start(t, Config{Policy: allow(t, "example.com"), Proxy: setting(t, tt.proxy, tt.password)})
		c := h.dial()
		c.send("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, text := c.answer()
		require.Equal(t, "502 aifo-coder: example.com:443: "+tt.want, resp.Status)
		require.NotContains(t, text, tt.password, "the password is not the container's to know")
		require.Equal(t, CodeProxy, h.recorded(1)[0].Code)
	}
	h := start(t, Config{Policy: allow(t, "example.com"), Proxy: setting(t, gone.URL, "secret")})
	resp, err := h.http(nil).Get("http://example.com/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, []any{502, CodeProxy}, []any{resp.StatusCode, resp.Header.Get("X-Aifo-Denied")})
	u := &url.URL{Scheme: "gopher", Host: "proxy.example"}
	h = start(t, Config{Policy: allow(t, "example.com"), Proxy: func(*url.URL) (*url.URL, error) { return u, nil }})
	_, err = h.http(&tls.Config{MinVersion: tls.VersionTLS12}).Get("https://example.com/")
	require.ErrorContains(t, err, `is of the kind "gopher"`)
}

// TestThroughSOCKS has a SOCKS proxy that knows one thing: where the tunnel leads.
func TestThroughSOCKS(t *testing.T) {
	there, tlsConfig := secure(t, hello)
	asked := make(chan string, 1)
	proxy := raw(t, func(c *net.TCPConn) {
		head := make([]byte, 3) // version 5, one method, none
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		_, _ = c.Write([]byte{5, 0})
		request := make([]byte, 5+len("example.com")+2)
		if _, err := io.ReadFull(c, request); err != nil {
			return
		}
		asked <- string(request[5 : len(request)-2])
		_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		up, err := net.Dial("tcp", there.Listener.Addr().String())
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(up, c); up.Close() }()
		_, _ = io.Copy(c, up)
	})
	u := &url.URL{Scheme: "socks5", Host: proxy}
	h := start(t, Config{Policy: allow(t, "example.com"), Proxy: func(*url.URL) (*url.URL, error) { return u, nil }})
	require.Equal(t, "hello", get(t, h.http(tlsConfig), "https://example.com/"))
	require.Equal(t, "example.com", <-asked)
}
