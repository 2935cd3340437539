//go:build linux

package loopback

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

func TestParse(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   3: 020011AC:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   4: 0100007F:1F40 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   5: 0100007F:0000 00000000:0000 0A
   6: 0100007F:zzzz 00000000:0000 0A
   7: garbage
`
	require.Equal(t, []uint16{8000, 80}, parse(strings.NewReader(table)))
	const six = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000000000000:0BB9 00000000000000000000000000000000:0000 0A
   2: 0000000000000000FFFF00000100007F:0BBA 00000000000000000000000000000000:0000 0A
   3: 000080FE000000000000000000000001:0BBB 00000000000000000000000000000000:0000 0A
`
	require.Equal(t, []uint16{3000, 3001, 3002}, parse(strings.NewReader(six)))
}

// TestWatcher: a port counts on the second look, and our own never do.
func TestWatcher(t *testing.T) {
	var found []uint16
	w := watcher{look: func() []uint16 { return slices.Clone(found) }}
	own := func(p uint16) bool { return p == 9000 }
	for _, step := range []struct{ found, want []uint16 }{
		{[]uint16{80, 9000, execproto.EgressPort}, nil},
		{[]uint16{80, 443, 9000, execproto.EgressPort}, []uint16{80}},
		{[]uint16{443, 9000}, []uint16{443}},
		{nil, nil},
	} {
		found = step.found
		require.Equal(t, step.want, w.next(own))
	}
	for p := range uint16(execproto.MaxPorts + 10) {
		found = append(found, p+1)
	}
	w.next(own)
	require.Len(t, w.next(own), execproto.MaxPorts)
}

// host is the other end of a link.
type host struct {
	t    *testing.T
	peer *tunnel.Peer

	mu    sync.Mutex
	heard map[execproto.MuxType][]uint16
	serve func(s *tunnel.Stream)
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, heard: map[execproto.MuxType][]uint16{}}
	here, there := net.Pipe()
	h.peer = tunnel.NewPeer(here, tunnel.PeerConfig{
		Host: true, Limit: execproto.MaxPortConns, Known: func(string) bool { return true },
		Accept: func(_ string, s *tunnel.Stream) { h.serve(s) },
		Heard:  string([]byte{byte(execproto.PortsListening), byte(execproto.PortsTaken)}),
		Hear: func(t execproto.MuxType, payload []byte) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			var err error
			h.heard[t], err = execproto.DecodePorts(payload)
			return err
		},
	})
	var both sync.WaitGroup
	both.Go(func() { _ = h.peer.Run() })
	both.Go(newEnd(there).run)
	t.Cleanup(func() {
		h.peer.Close()
		both.Wait()
	})
	return h
}

func (h *host) await(of execproto.MuxType, port uint16, present bool) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Contains(h.heard[of], port) == present
	}, 20*time.Second, 5*time.Millisecond)
}

// open opens a connection and returns whether somebody listens.
func (h *host) open(port uint16) (*tunnel.Stream, bool) {
	h.t.Helper()
	s, err := h.peer.Open(execproto.PortName(port))
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = s.Close() })
	status := make([]byte, 1)
	_, err = io.ReadFull(s, status)
	require.NoError(h.t, err)
	return s, status[0] == execproto.PortOpen
}

func (h *host) forward(ports ...uint16) {
	h.peer.Tell(execproto.PortsForward, execproto.EncodePorts(ports))
}

func (h *host) watch(on byte) { h.peer.Tell(execproto.PortsWatch, []byte{on}) }

func listenOn(t *testing.T, addr string) (*net.TCPListener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil && strings.HasPrefix(addr, "[") {
		t.Skip("this machine has no IPv6")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener), uint16(l.Addr().(*net.TCPAddr).Port)
}

// freePort returns a port on which nobody listens.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, port := listenOn(t, "127.0.0.1:0")
	require.NoError(t, l.Close())
	return port
}

// TestListening: servers are seen while they are looked for, wherever on the loopback they listen.
func TestListening(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		t.Run(addr, func(t *testing.T) {
			h := newHost(t)
			h.watch(1)
			l, port := listenOn(t, addr)
			h.await(execproto.PortsListening, port, true)
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = c.Write([]byte("hello"))
					_ = c.Close()
				}
			}()
			s, found := h.open(port)
			require.True(t, found)
			got, err := io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
			require.NoError(t, l.Close())
			h.await(execproto.PortsListening, port, false)
		})
	}
}

// TestDoubt: a server that has gone while nobody looked is noticed by who wants to reach it.
func TestDoubt(t *testing.T) {
	h := newHost(t)
	h.watch(1)
	l, port := listenOn(t, "127.0.0.1:0")
	h.await(execproto.PortsListening, port, true)
	h.watch(0)
	require.NoError(t, l.Close())
	require.Eventually(t, func() bool { _, found := h.open(port); return !found }, 10*time.Second, time.Millisecond)
	h.await(execproto.PortsListening, port, false)
}

// dialTCP connects to a port that leads elsewhere.
func dialTCP(t *testing.T, port uint16) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	require.Eventually(t, func() bool {
		var err error
		conn, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", execproto.PortName(port)))
		return err == nil
	}, 10*time.Second, time.Millisecond)
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// TestForward: connections to a port that leads elsewhere carry all of both directions, and their
// ends one by one; the port is no server's, and is not connected to.
func TestForward(t *testing.T) {
	h := newHost(t)
	h.serve = func(s *tunnel.Stream) {
		_, _ = s.Write([]byte{execproto.PortOpen})
		got, _ := io.ReadAll(s) // to the end that the client sends
		_, _ = s.Write(append(got, '!'))
		_ = s.CloseWrite()
		_ = s.Close()
	}
	port := freePort(t)
	h.watch(1)
	h.forward(port)
	sent := make([]byte, 3<<20)
	_, err := rand.Read(sent)
	require.NoError(t, err)
	var clients sync.WaitGroup
	for range 20 {
		c := dialTCP(t, port)
		clients.Go(func() {
			go func() {
				_, _ = c.Write(sent)
				_ = c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(append(slices.Clone(sent), '!'), got) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	clients.Wait()
	_, found := h.open(port)
	require.False(t, found, "it would come back")
	_, other := listenOn(t, "127.0.0.1:0")
	h.await(execproto.PortsListening, other, true)
	h.await(execproto.PortsListening, port, false)
	h.forward()
	require.Eventually(t, func() bool {
		_, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", execproto.PortName(port)))
		return errors.Is(err, syscall.ECONNREFUSED)
	}, 10*time.Second, time.Millisecond)
}

// TestBreaksOff: what a server sent before it broke off does not look like all of it, in either
// way that this can happen.
func TestBreaksOff(t *testing.T) {
	for name, serve := range map[string]func(*tunnel.Stream){
		"refused": func(s *tunnel.Stream) {
			_, _ = s.Write([]byte{execproto.PortRefused})
			_ = s.Close()
		},
		"half-way": func(s *tunnel.Stream) {
			_, _ = s.Write([]byte{execproto.PortOpen, 'h', 'a', 'l', 'f'})
			s.Abort()
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.serve = serve
			port := freePort(t)
			h.forward(port)
			_, err := io.ReadAll(dialTCP(t, port))
			require.ErrorIs(t, err, syscall.ECONNRESET)
		})
	}
	t.Run("in the container", func(t *testing.T) {
		h := newHost(t)
		l, port := listenOn(t, "127.0.0.1:0")
		opened := make(chan struct{}) // what breaks off before need not show as open
		go func() {
			c, err := l.AcceptTCP()
			<-opened
			if err == nil {
				_, _ = c.Write([]byte("half"))
				tunnel.TCP{TCPConn: c}.Abort()
			}
		}()
		s, found := h.open(port)
		close(opened)
		require.True(t, found)
		_, err := io.ReadAll(s)
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// TestTaken: a port that somebody has is his, and is led once he leaves it.
func TestTaken(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			h := newHost(t)
			h.serve = func(s *tunnel.Stream) { s.Abort() }
			l, port := listenOn(t, addr)
			h.forward(port)
			h.await(execproto.PortsTaken, port, true)
			require.NoError(t, l.Close())
			h.await(execproto.PortsTaken, port, false)
			dialTCP(t, port)
		})
	}
}

// TestLinkEnds: with the link the ports go.
func TestLinkEnds(t *testing.T) {
	h := newHost(t)
	h.serve = func(s *tunnel.Stream) { s.Abort() }
	port := freePort(t)
	h.forward(port)
	dialTCP(t, port)
	h.peer.Close()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", execproto.PortName(port)))
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}, 10*time.Second, time.Millisecond)
}
