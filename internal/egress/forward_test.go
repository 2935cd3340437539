package egress

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// asked is what a site saw of a request.
type asked struct {
	Method, Host, URI, Body string
	Header                  http.Header
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(w).Encode(asked{r.Method, r.Host, r.RequestURI, string(body), r.Header})
}

func TestForward(t *testing.T) {
	there := site(t, echo)
	h := start(t, Config{Policy: allow(t, "example.org")})
	h.reach("198.51.100.1:80", there.Listener.Addr().String())
	c := h.dial()
	body := "a=1;b=%zz"
	for i := range 3 { // on one connection
		c.send("POST http://ann:secret@Example.org/path?q=1;2%%zz HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n%s", len(body), body)
		resp, text := c.answer()
		require.Equal(t, 200, resp.StatusCode, text)
		var got asked
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, asked{
			Method: "POST", Host: "Example.org", URI: "/path?q=1;2%zz", Body: body,
			Header: http.Header{"Content-Length": {"9"}, "X-End": {"2"}},
		}, got)
		e := h.recorded(i + 1)[i]
		require.EqualValues(t, len(body), e.Sent)
		require.EqualValues(t, len(text), e.Received)
		e.Time, e.Received, e.Sent, e.DurationMS = time.Time{}, 0, 0, 0
		require.Equal(t, Entry{Container: "rust", Method: "POST", Host: "example.org", Port: 80, Allowed: true, Rule: "--allow-host example.org", Status: 200}, e)
	}
	require.Len(t, h.connected, 1, "the connection is used again")
}

func TestForwardRefused(t *testing.T) {
	policy := allow(t, "example.org", "loopback.example", "host.docker.internal:1", "absent.example")
	for _, tt := range []struct {
		url, code, body string
		status          int
	}{
		{"http://evil.example/", CodePolicy, "does not allow rust to reach evil.example:80: it is not in the allowlist; the user can allow it with --allow-host rust=evil.example ", 403},
		{"http://evil.example:8080/", CodePolicy, "--allow-host rust=evil.example:8080 ", 403},
		{"http://example.org:443/", CodePolicy, "it is allowed only on port 80", 403},
		{"http://loopback.example/", CodeAddress, "its address 127.0.0.1 is a loopback address", 403},
		{"http://host.docker.internal:1/", CodeConnect, "connection refused", 502},
		{"http://absent.example/", CodeDNS, "there is no host of that name", 502},
		{"http://127.0.0.1/", CodePolicy, "it is not in the allowlist (aifo", 403},
		{"http://2130706433/", CodePolicy, "in its usual form", 403},
		{"http:///path", CodePolicy, "there is no host", 403},
		{"https://example.org/", CodeRequest, "only http:// is forwarded", 400},
		{"ftp://example.org/", CodeRequest, "only http:// is forwarded", 400},
		{"http://example.org:0/", CodeRequest, "no port", 400},
		{"http://example.org:99999/", CodeRequest, "no port", 400},
	} {
		t.Run(tt.url, func(t *testing.T) {
			h := start(t, Config{Policy: policy, Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
				if host == "absent.example" {
					return nil, errNoHost
				}
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}})
			c := h.dial()
			for i := range 2 { // and the connection goes on
				c.send("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", tt.url)
				resp, text := c.answer()
				require.Equal(t, tt.status, resp.StatusCode)
				require.Equal(t, tt.code, resp.Header.Get("X-Aifo-Denied"))
				require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
				require.Contains(t, text, tt.body)
				e := h.recorded(i + 1)[i]
				require.Equal(t, []any{tt.code, tt.status, "GET"}, []any{e.Code, e.Status, e.Method})
			}
		})
	}
}

// TestForwardStreams wants each part of an answer as soon as it is there, and the same
// of a request.
func TestForwardStreams(t *testing.T) {
	next := make(chan string)
	there := site(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		in := bufio.NewReader(r.Body)
		line, _ := in.ReadString('\n')
		next <- line
		w.Header().Set("Trailer", "X-Last")
		for part := range next {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.Copy(io.Discard, in)
		w.Header().Set("X-Last", "yes")
	})
	h := start(t, Config{Policy: allow(t, "example.org")})
	h.reach("198.51.100.1:80", there.Listener.Addr().String())
	c := h.dial()
	c.send("POST http://example.org/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n1\r\n\n\r\n")
	require.Equal(t, "begin\n", <-next)
	next <- "one"
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	for _, part := range []string{"one", "two", "three"} {
		got := make([]byte, len(part))
		_, err := io.ReadFull(resp.Body, got)
		require.NoError(t, err)
		require.Equal(t, part, string(got))
		if part != "three" {
			next <- map[string]string{"one": "two", "two": "three"}[part]
		}
	}
	close(next)
	c.send("0\r\n\r\n")
	require.True(t, resp.Close, "it begins before the request ends")
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, "yes", resp.Trailer.Get("X-Last"))
	require.EqualValues(t, 11, h.recorded(1)[0].Received)
}

// TestForwardEarlyAnswer: a site refuses an upload of which it has read nothing.
func TestForwardEarlyAnswer(t *testing.T) {
	there := site(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	h := start(t, Config{Policy: allow(t, "example.org")})
	h.reach("198.51.100.1:80", there.Listener.Addr().String())
	c := h.dial()
	c.send("POST http://example.org/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhello")
	resp, _ := c.answer()
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	require.True(t, resp.Close)
	require.Equal(t, http.StatusRequestEntityTooLarge, h.recorded(1)[0].Status)
}

func TestForwardRedirect(t *testing.T) {
	there := site(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://evil.example/", http.StatusFound)
	})
	h := start(t, Config{Policy: allow(t, "example.org")})
	h.reach("198.51.100.1:80", there.Listener.Addr().String())
	resp, err := h.http(nil).Get("http://example.org/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, "http://evil.example/", resp.Header.Get("Location"))
	require.Len(t, h.connected, 1, "it is the client's to follow, and to be refused")
}

// TestForwardUpgrade is a WebSocket without its frames.
func TestForwardUpgrade(t *testing.T) {
	there := site(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(c, strings.ToUpper(line))
		_, _ = rw.ReadByte()
	})
	h := start(t, Config{Policy: allow(t, "example.org")})
	h.reach("198.51.100.1:80", there.Listener.Addr().String())
	c := h.dial()
	c.send("GET http://example.org/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	c.send("hello\n")
	line, err := c.r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HELLO\n", line)
	c.Close()
	e := h.recorded(1)[0]
	require.Equal(t, []any{101, int64(6)}, []any{e.Status, e.Sent})
	require.GreaterOrEqual(t, e.Received, int64(6))
}

// TestForwardAddressIsChecked: each connection is made with an address that is checked,
// also when the name has had another before.
func TestForwardAddressIsChecked(t *testing.T) {
	there := site(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "hello")
	})
	addr := public
	h := start(t, Config{Policy: allow(t, "example.org"), Resolve: func(context.Context, string) ([]netip.Addr, error) {
		defer func() { addr = netip.MustParseAddr("127.0.0.1") }()
		return []netip.Addr{addr}, nil
	}})
	h.reach("198.51.100.1:80", there.Listener.Addr().String())
	c := h.http(nil)
	require.Equal(t, "hello", get(t, c, "http://example.org/"))
	resp, err := c.Get("http://example.org/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, CodeAddress, resp.Header.Get("X-Aifo-Denied"))
}

// TestForwardIdle: an answer that stops ends.
func TestForwardIdle(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		_, _ = io.Copy(io.Discard, c)
	})
	h := start(t, Config{Policy: allow(t, "example.org")}, func(l *limits) { l.idle = 200 * time.Millisecond })
	h.reach("198.51.100.1:80", there)
	c := h.dial()
	c.send("GET http://example.org/ HTTP/1.1\r\nHost: x\r\n\r\n")
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(got), "hello"), string(got))
	require.Equal(t, 200, h.recorded(1)[0].Status)
}

func TestLocal(t *testing.T) {
	h := start(t, Config{Policy: netpolicy.Policy{Mode: netpolicy.None}})
	c := h.dial()
	c.send("GET /broker/openai/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	resp, text := c.answer()
	require.Equal(t, 404, resp.StatusCode)
	require.Contains(t, text, "this is the HTTP proxy of a session")

	h = start(t, Config{Policy: netpolicy.Policy{Mode: netpolicy.None}, Local: http.HandlerFunc(echo)})
	c = h.dial()
	for _, uri := range []string{"/broker/openai/v1/models?x=1", "//evil.example/path", "/"} {
		c.send("GET %s HTTP/1.1\r\nHost: 127.0.0.1:19128\r\n\r\n", uri)
		resp, text = c.answer()
		require.Equal(t, 200, resp.StatusCode)
		var got asked
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, uri, got.URI)
	}
	c.send("OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:19128\r\n\r\n")
	resp, _ = c.answer()
	require.Equal(t, 200, resp.StatusCode)
	require.Empty(t, h.entries)
}
