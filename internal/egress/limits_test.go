package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waitFor waits until so many connections are counted, and so many of them wait.
func (h *harness) waitFor(total, waiting int) {
	h.t.Helper()
	s := h.server.conns
	require.Eventually(h.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.total == total && s.waiting.Len() == waiting
	}, patience, time.Millisecond)
}

// TestConnections: one connection too many closes the one that has waited longest, and
// no other; when none waits it is refused.
func TestConnections(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	web := site(t, hello)
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+port(there), "host.docker.internal:"+port(web.URL))}, func(l *limits) { l.conns = 3 })
	tunnel := h.dial()
	tunnel.connect("host.docker.internal:" + port(there))
	kept := h.dial()
	kept.send("GET http://host.docker.internal:%s/ HTTP/1.1\r\nHost: x\r\n\r\n", port(web.URL))
	_, text := kept.answer()
	require.Equal(t, "hello", text)
	h.waitFor(2, 1)
	half := h.dial()
	half.send("GET http://host.docker.inter")
	h.waitFor(3, 2)

	one := h.dial()
	_, err := kept.r.ReadByte()
	require.ErrorIs(t, err, io.EOF, "it has waited longest")
	one.connect("host.docker.internal:" + port(there))
	two := h.dial()
	_, err = half.r.ReadByte()
	require.Error(t, err)
	two.connect("host.docker.internal:" + port(there))
	h.waitFor(3, 0)

	three := h.dial()
	resp, text := three.answer()
	require.Equal(t, "503 aifo-coder: too many connections", resp.Status)
	require.Contains(t, text, "more are not possible")
	for _, c := range []*client{tunnel, one, two} { // which all live
		c.send("x")
		_, err := c.r.ReadByte()
		require.NoError(t, err)
	}
	tunnel.Close()
	h.waitFor(2, 0)
	h.dial().connect("host.docker.internal:" + port(there))
}

// TestFloods opens many connections that say half of something, and asks much at once.
// Neither keeps others out, nor memory.
func TestFloods(t *testing.T) {
	web := site(t, hello)
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+port(web.URL))}, func(l *limits) { l.conns = 100 })
	var held []net.Conn
	for range 3000 {
		c, err := net.Dial("unix", h.socket)
		require.NoError(t, err)
		_, _ = io.WriteString(c, "CONNECT x")
		if held = append(held, c); len(held) > 300 {
			held[0].Close()
			held = held[1:]
		}
	}
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	c := h.dial()
	c.send("GET http://host.docker.internal:%s/ HTTP/1.1\r\nHost: x\r\n\r\n", port(web.URL))
	_, text := c.answer()
	require.Equal(t, "hello", text)
	h.server.conns.mu.Lock()
	require.LessOrEqual(t, h.server.conns.total, 100)
	h.server.conns.mu.Unlock()
	require.Less(t, runtime.NumGoroutine(), 1000)

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			c := h.http(nil)
			for range 50 {
				resp, err := c.Get("http://evil.example/")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusForbidden {
					t.Error(resp.Status)
				}
			}
		})
	}
	wg.Wait()
}

func TestHeaderIsBounded(t *testing.T) {
	h := start(t, Config{Policy: allow(t, "example.org")})
	c := h.dial()
	go func() {
		_, _ = io.WriteString(c.Conn, "GET http://example.org/ HTTP/1.1\r\nHost: x\r\n")
		for i := range 10000 {
			if _, err := fmt.Fprintf(c.Conn, "X-%d: %0100d\r\n", i, i); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
	require.Empty(t, h.entries)
}

// The benchmarks compare a tunnel, and a request, with what they cost without us.

func benchTunnel(b *testing.B, dial func() net.Conn) {
	c := dial()
	defer c.Close()
	block := make([]byte, 256<<10)
	b.SetBytes(int64(len(block)))
	b.ResetTimer()
	done := make(chan error, 1)
	go func() {
		for range b.N {
			if _, err := c.Write(block); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	got := make([]byte, len(block))
	for range b.N {
		if _, err := io.ReadFull(c, got); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// echoServer returns the address of a server that sends back what it gets.
func echoServer(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func BenchmarkTunnelDirect(b *testing.B) {
	there := echoServer(b)
	benchTunnel(b, func() net.Conn {
		c, err := net.Dial("tcp", there)
		require.NoError(b, err)
		return c
	})
}

func BenchmarkTunnel(b *testing.B) {
	there := echoServer(b)
	h := start(b, Config{Policy: allow(b, "host.docker.internal:"+port(there))})
	benchTunnel(b, func() net.Conn {
		c, err := net.Dial("unix", h.socket)
		require.NoError(b, err)
		_, err = fmt.Fprintf(c, "CONNECT host.docker.internal:%s HTTP/1.1\r\nHost: x\r\n\r\n", port(there))
		require.NoError(b, err)
		answer := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
		_, err = io.ReadFull(c, answer)
		require.NoError(b, err)
		return c
	})
}

func benchRequest(b *testing.B, c *http.Client, url string) {
	get(b, c, url) // the connections stand
	b.ResetTimer()
	for range b.N {
		get(b, c, url)
	}
}

func BenchmarkRequestDirect(b *testing.B) {
	benchRequest(b, http.DefaultClient, site(b, hello).URL)
}

func BenchmarkRequest(b *testing.B) {
	there := site(b, hello)
	h := start(b, Config{Policy: allow(b, "host.docker.internal:"+port(there.URL))})
	benchRequest(b, h.http(nil), "http://host.docker.internal:"+port(there.URL))
}

// BenchmarkTLS opens a tunnel with TLS in it for each request.
func BenchmarkTLS(b *testing.B) {
	there, tlsConfig := secure(b, hello)
	for _, through := range []bool{false, true} {
		b.Run(map[bool]string{false: "direct", true: "tunnel"}[through], func(b *testing.B) {
			c, url := there.Client(), there.URL
			if through {
				h := start(b, Config{Policy: allow(b, "example.com"), Resolve: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{public}, nil }})
				h.reach("198.51.100.1:443", there.Listener.Addr().String())
				c, url = h.http(tlsConfig), "https://example.com/"
			}
			c.Transport.(*http.Transport).DisableKeepAlives = true
			benchRequest(b, c, url)
		})
	}
}
