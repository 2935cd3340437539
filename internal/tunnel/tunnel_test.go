//go:build unix

package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// pipes is one side of a pair of pipes.
type pipes struct{ in, out *os.File }

func (p pipes) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p pipes) Close() error                { return errors.Join(p.in.Close(), p.out.Close()) }

// pipePair returns two sides of a link, as a docker exec has them.
func pipePair(t testing.TB) (host, container pipes) {
	t.Helper()
	var err error
	container.in, host.out, err = os.Pipe()
	require.NoError(t, err)
	host.in, container.out, err = os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = host.Close()
		_ = container.Close()
	})
	return host, container
}

// tunnel is a whole one, whose container is a directory.
type tunnel struct {
	*Host
	dir       string
	container pipes
	served    chan error // what Serve returned
}

func start(t testing.TB, names ...string) *tunnel {
	t.Helper()
	dir, err := os.MkdirTemp("", "tunnel") //nolint:usetesting // its names are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	host, container := pipePair(t)
	tt := &tunnel{Host: NewHost(names...), dir: dir, container: container, served: make(chan error, 1)}
	go func() { tt.served <- tt.Serve(host) }()
	carried := make(chan error, 1)
	go func() { carried <- carry(container, dir, names) }()
	t.Cleanup(func() {
		tt.Close()
		_ = container.Close()
		<-carried
	})
	return tt
}

// dial connects in the container.
func (tt *tunnel) dial(t testing.TB, name string) *net.UnixConn {
	t.Helper()
	var c net.Conn
	require.Eventually(t, func() bool {
		var err error
		c, err = net.Dial("unix", filepath.Join(tt.dir, name))
		return err == nil
	}, time.Minute, time.Millisecond)
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UnixConn)
}

// pair returns both ends of a new connection.
func (tt *tunnel) pair(t testing.TB, name string) (inside *net.UnixConn, here *conn) {
	t.Helper()
	inside = tt.dial(t, name)
	c, err := tt.Listener(name).Accept()
	require.NoError(t, err)
	return inside, c.(*conn)
}

// links returns how many connections the end here has.
func (tt *tunnel) links() int {
	tt.link.mu.Lock()
	defer tt.link.mu.Unlock()
	return len(tt.link.conns)
}

func (tt *tunnel) requireNone(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool { return tt.links() == 0 }, time.Minute, time.Millisecond)
}

// TestBothWays: each direction arrives whole, and its end while the other goes on, from
// either side.
func TestBothWays(t *testing.T) {
	tt := start(t, "a.sock", "b.sock")
	sent := make([]byte, 3<<20)
	_, err := rand.Read(sent)
	require.NoError(t, err)
	echo := func(c interface {
		net.Conn
		CloseWrite() error
	}) {
		got, _ := io.ReadAll(c) // to the end that the other sends
		_, _ = c.Write(append(got, '!'))
		_ = c.Close()
	}
	ask := func(c interface {
		net.Conn
		CloseWrite() error
	}) {
		_, err = c.Write(sent)
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.True(t, bytes.Equal(append(sent, '!'), got))
		require.NoError(t, c.Close())
	}
	inside, here := tt.pair(t, "b.sock")
	go echo(here)
	ask(inside)
	inside, here = tt.pair(t, "a.sock")
	go echo(inside)
	ask(here)
	tt.requireNone(t)
}

// TestSlowReader: one that does not read holds up its own writer, and nobody else.
func TestSlowReader(t *testing.T) {
	tt := start(t, "s")
	inside, here := tt.pair(t, "s")
	require.NoError(t, here.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	n, err := io.Copy(here, zeros{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, n, int64(2<<20), "more is not held")
	require.NoError(t, inside.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	_, err = io.Copy(inside, zeros{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	other, there := tt.pair(t, "s")
	_, err = other.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(there, make([]byte, 1))
	require.NoError(t, err)

	got, err := io.CopyN(io.Discard, inside, n) // what was taken arrives
	require.NoError(t, err)
	require.Equal(t, n, got)
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestGone: who writes to an end that is closed learns of it, and what was written before
// the close arrives.
func TestGone(t *testing.T) {
	tt := start(t, "s")
	inside, here := tt.pair(t, "s")
	_, err := here.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, here.Close())
	got, err := io.ReadAll(inside)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	for err == nil {
		_, err = inside.Write(make([]byte, 64<<10))
	}

	inside, here = tt.pair(t, "s")
	_, err = inside.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, inside.Close())
	got, err = io.ReadAll(here)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	for err == nil {
		_, err = here.Write(make([]byte, 64<<10))
	}
	require.ErrorIs(t, err, syscall.EPIPE)
	require.NoError(t, here.Close())
	tt.requireNone(t)
}

// TestDeadlines: a deadline that has passed, or passes, ends a wait; a later one lets it go on.
func TestDeadlines(t *testing.T) {
	tt := start(t, "s")
	inside, here := tt.pair(t, "s")
	read := make(chan error, 1)
	go func() {
		_, err := here.Read(make([]byte, 1))
		read <- err
	}()
	require.NoError(t, here.SetReadDeadline(time.Unix(1, 0))) // as net/http does
	require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
	require.NoError(t, here.SetDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := here.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, here.SetDeadline(time.Time{}))
	_, err = inside.Write([]byte("x"))
	require.NoError(t, err)
	_, err = here.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, here.Close())
	_, err = here.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = here.Write(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, here.SetDeadline(time.Time{}), net.ErrClosed)
}

// TestManyAtOnce: more connections than a tunnel has at once wait, and come through, to
// a server of net/http.
func TestManyAtOnce(t *testing.T) {
	tt := start(t, "s")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	go func() { _ = server.Serve(tt.Listener("s")) }()
	defer server.Close()
	_ = tt.dial(t, "s")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(tt.dir, "s"))
	}}
	client := &http.Client{Transport: transport}
	text := strings.Repeat("text", 50<<10)
	var clients sync.WaitGroup
	for range MaxConns + 50 {
		clients.Go(func() {
			reply, err := client.Post("http://x/", "", strings.NewReader(text))
			if err != nil {
				t.Error(err)
				return
			}
			defer reply.Body.Close()
			if got, err := io.ReadAll(reply.Body); err != nil || string(got) != text {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	clients.Wait()
}

// TestLimitOfConnections: one more than there may be is carried when another has ended.
func TestLimitOfConnections(t *testing.T) {
	tt := start(t, "s")
	var here *conn
	for range MaxConns {
		_, here = tt.pair(t, "s")
	}
	last := tt.dial(t, "s")
	_, err := last.Write([]byte("last"))
	require.NoError(t, err)
	require.Equal(t, MaxConns, tt.links())
	require.NoError(t, here.Close())
	c, err := tt.Listener("s").Accept()
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "last", string(got))
}

// TestBroken: when the end in the container is no more, connections and listeners fail, and what had
// arrived is still read; nobody connects in the container.
func TestBroken(t *testing.T) {
	tt := start(t, "s", "other")
	inside, here := tt.pair(t, "s")
	_, err := inside.Write([]byte("x"))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		here.link.mu.Lock()
		defer here.link.mu.Unlock()
		return here.in.n == 1
	}, time.Minute, time.Millisecond)
	accepted := make(chan error, 1)
	go func() {
		_, err := tt.Listener("other").Accept()
		accepted <- err
	}()
	_ = tt.container.Close() // the other end closes it, too
	require.ErrorIs(t, <-tt.served, io.EOF)
	require.Error(t, <-accepted)
	_, err = tt.Listener("s").Accept()
	require.Error(t, err)
	_, err = here.Read(make([]byte, 1))
	require.NoError(t, err)
	_, err = here.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = here.Write(make([]byte, 1))
	require.Error(t, err)
	got, _ := io.ReadAll(inside)
	require.Empty(t, got)
	require.Eventually(t, func() bool {
		_, err := net.Dial("unix", filepath.Join(tt.dir, "s"))
		return errors.Is(err, syscall.ECONNREFUSED)
	}, time.Minute, time.Millisecond, "and knows at once")
}

// TestStuck: a container that reads nothing holds up neither Close of a connection nor of
// the tunnel.
func TestStuck(t *testing.T) {
	host, container := pipePair(t)
	h := NewHost("s")
	served := make(chan error, 1)
	go func() { served <- h.Serve(host) }()
	out := execproto.NewMuxWriter(container)
	for i := range uint32(4) {
		require.NoError(t, out.Write(typeOpen, i+1, []byte("s")))
		c, err := h.Listener("s").Accept()
		require.NoError(t, err)
		_, err = c.Write(make([]byte, window))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	h.Close()
	require.ErrorIs(t, <-served, net.ErrClosed)
}

// TestCloseBeforeServe: a session may end before the container runs.
func TestCloseBeforeServe(t *testing.T) {
	h := NewHost("s")
	h.Close()
	_, err := h.Listener("s").Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	host, container := pipePair(t)
	require.ErrorIs(t, h.Serve(host), net.ErrClosed)
	_, err = container.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// TestClosedListener: connections to a socket that nobody listens for any more are closed.
func TestClosedListener(t *testing.T) {
	tt := start(t, "s", "other")
	require.NoError(t, tt.Listener("s").Close())
	got, err := io.ReadAll(tt.dial(t, "s"))
	require.NoError(t, err)
	require.Empty(t, got)
	tt.pair(t, "other")
}

// TestHostile: whoever breaks the rules ends the tunnel.
func TestHostile(t *testing.T) {
	open := frame(typeOpen, 1, "s")
	var tooMany strings.Builder
	for i := range uint32(MaxConns + 1) {
		tooMany.WriteString(frame(typeOpen, i, "s"))
	}
	for name, in := range map[string]string{
		"an unknown socket":             frame(typeOpen, 1, "/etc/passwd"),
		"no name":                       frame(typeOpen, 1, ""),
		"twice the same":                open + open,
		"too many":                      tooMany.String(),
		"data for nothing":              frame(typeData, 7, "x"),
		"an unknown type":               open + frame('?', 1, "x"),
		"data after the end":            open + frame(typeEnd, 1, "") + frame(typeData, 1, "x"),
		"data after the close":          open + frame(typeClose, 1, "") + frame(typeData, 1, "x"),
		"close twice":                   open + frame(typeClose, 1, "") + frame(typeClose, 1, ""),
		"more than the window":          open + frame(typeData, 1, strings.Repeat("x", window)) + frame(typeData, 1, "x"),
		"more credit than there can be": open + frame(typeCredit, 1, "\x00\x00\x00\x01"),
		"credit without a number":       open + frame(typeCredit, 1, ""),
		"a huge payload":                "d\x00\x00\x00\x01\xff\xff\xff\xff",
	} {
		host, container := pipePair(t)
		h := NewHost("s")
		go func() { _, _ = io.Copy(io.Discard, container.in) }()
		go func() { _, _ = io.WriteString(container.out, in) }()
		require.ErrorIs(t, h.Serve(host), execproto.ErrFrame, name)
	}
}

// TestHostOpensNothing: the end in the container lets the other open no connection.
func TestHostOpensNothing(t *testing.T) {
	host, container := pipePair(t)
	go func() { _, _ = io.WriteString(host.out, frame(typeOpen, 1, "s")) }()
	require.ErrorIs(t, carry(container, t.TempDir(), nil), execproto.ErrFrame)
}

// FuzzHost: nothing that a container sends breaks this end, or makes it hold more than
// it may.
func FuzzHost(f *testing.F) {
	f.Add([]byte(frame(typeOpen, 1, "s") + frame(typeData, 1, "x") + frame(typeEnd, 1, "") + frame(typeClose, 1, "")))
	f.Add([]byte(frame(typeOpen, 1, "s") + frame(typeData, 1, strings.Repeat("x", window)) + frame(typeCredit, 1, "\x00\x00\x00\x00")))
	f.Fuzz(func(t *testing.T, in []byte) {
		h := NewHost("s")
		var users sync.WaitGroup
		users.Go(func() {
			for {
				c, err := h.Listener("s").Accept()
				if err != nil {
					return
				}
				users.Go(func() {
					_, _ = io.Copy(c, c)
					_ = c.Close()
				})
			}
		})
		err := h.Serve(&script{Reader: bytes.NewReader(in)})
		require.Error(t, err)
		users.Wait()
		for _, c := range h.link.conns {
			require.LessOrEqual(t, c.mayReceive+c.in.n+c.owed, window)
			require.LessOrEqual(t, c.maySend, window)
		}
	})
}

// script is a link over which comes what is given, and all is taken.
type script struct{ io.Reader }

func (*script) Write(p []byte) (int, error) { return len(p), nil }
func (*script) Close() error                { return nil }

// TestClosedHoldsNothing: what a container sends to an end that is closed is dropped.
func TestClosedHoldsNothing(t *testing.T) {
	host, container := pipePair(t)
	h := NewHost("s")
	go func() { _ = h.Serve(host) }()
	t.Cleanup(h.Close)
	go func() { _, _ = io.Copy(io.Discard, container.in) }()
	out := execproto.NewMuxWriter(container)
	require.NoError(t, out.Write(typeOpen, 1, []byte("s")))
	nc, err := h.Listener("s").Accept()
	require.NoError(t, err)
	c := nc.(*conn)
	require.NoError(t, c.Close())
	require.NoError(t, out.Write(typeData, 1, make([]byte, window)))
	require.Eventually(t, func() bool {
		c.link.mu.Lock()
		defer c.link.mu.Unlock()
		return c.mayReceive == 0
	}, time.Minute, time.Millisecond)
	require.True(t, c.in.buf == nil)
}
