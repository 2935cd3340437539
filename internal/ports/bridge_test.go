//go:build linux

package ports

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

// container is the end of a link as a container has it, in which every port that serves is set
// for answers with its text.
type container struct {
	t    *testing.T
	peer *tunnel.Peer

	mu       sync.Mutex
	serves   map[uint16]string
	forwards []uint16
	watched  bool
}

func (c *container) hear(t execproto.MuxType, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t == execproto.PortsWatch {
		c.watched = payload[0] == 1
		return nil
	}
	var err error
	c.forwards, err = execproto.DecodePorts(payload)
	return err
}

func (c *container) accept(name string, s *tunnel.Stream) {
	c.mu.Lock()
	text, found := c.serves[execproto.ParsePort(name)]
	c.mu.Unlock()
	if !found {
		_, _ = s.Write([]byte{execproto.PortRefused})
		_ = s.Close()
		return
	}
	_, _ = s.Write(append([]byte{execproto.PortOpen}, text...))
	_ = s.CloseWrite()
	_, _ = io.Copy(io.Discard, s)
	_ = s.Close()
}

// listens says that the container listens on these ports.
func (c *container) listens(text string, ports ...uint16) {
	c.mu.Lock()
	c.serves = map[uint16]string{}
	for _, p := range ports {
		c.serves[p] = text
	}
	c.mu.Unlock()
	c.peer.Tell(execproto.PortsListening, execproto.EncodePorts(ports))
}

func (c *container) led() []uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.forwards)
}

// awaitLed waits until these ports, and no others, lead into the container.
func (c *container) awaitLed(want ...uint16) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return slices.Equal(c.led(), want) }, 10*time.Second, time.Millisecond, "%v lead into it", want)
}

// get connects to a port that leads into the container, and returns what comes.
func (c *container) get(port uint16) (string, error) {
	s, err := c.peer.Open(execproto.PortName(port))
	require.NoError(c.t, err)
	defer s.Close()
	_ = s.CloseWrite()
	got, err := io.ReadAll(s)
	if err != nil || len(got) == 0 {
		return "", err
	}
	if got[0] != execproto.PortOpen {
		return "", syscall.ECONNREFUSED
	}
	return string(got[1:]), nil
}

// world is a bridge with the ends of its containers.
type world struct {
	*Bridge
	t          *testing.T
	notices    chan string
	containers chan *container

	mu     sync.Mutex
	dialed map[string]*container
	absent map[string]bool
}

func newWorld(t *testing.T, members ...Member) *world {
	t.Helper()
	w := &world{t: t, notices: make(chan string, 100), dialed: map[string]*container{}, absent: map[string]bool{}}
	w.Bridge = New(Config{Members: members, Dial: w.dial, Notice: func(s string) { w.notices <- s }, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(w.Close)
	return w
}

func (w *world) dial(_ context.Context, name string) (io.ReadWriteCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.absent[name] {
		return nil, io.ErrUnexpectedEOF
	}
	here, there := net.Pipe()
	c := &container{t: w.t}
	c.peer = tunnel.NewPeer(there, tunnel.PeerConfig{
		Limit: execproto.MaxPortConns, Known: func(string) bool { return true }, Accept: c.accept,
		Heard: string([]byte{byte(execproto.PortsForward), byte(execproto.PortsWatch)}), Hear: c.hear,
	})
	go func() { _ = c.peer.Run() }()
	w.dialed[name] = c
	return here, nil
}

// end returns the end in a container, when there is one.
func (w *world) container(name string) *container {
	w.t.Helper()
	var c *container
	require.Eventually(w.t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		c = w.dialed[name]
		return c != nil
	}, 10*time.Second, time.Millisecond, "the link to %s is opened", name)
	return c
}

// called returns the end in a sidecar in which a call is under way.
func (w *world) called(name string) *container {
	w.t.Helper()
	w.t.Cleanup(w.Begin(name))
	return w.container(name)
}

var (
	agent  = Member{Name: "agent", Agent: true, Group: "open"}
	node   = Member{Name: "node", Group: "open"}
	python = Member{Name: "python", Group: "open"}
	rust   = Member{Name: "rust", Group: "none"}
)

// TestPortsLead: a sidecar's ports lead into the agent's container and into sidecars of the same
// policy, and go when their server does.
func TestPortsLead(t *testing.T) {
	w := newWorld(t, agent, node, python, rust)
	n, p, r := w.called("node"), w.called("python"), w.called("rust")
	n.listens("node", 3000, 8000)
	a := w.container("agent")
	a.awaitLed(3000, 8000)
	p.awaitLed(3000, 8000)
	r.awaitLed()
	for _, c := range []*container{a, p} {
		got, err := c.get(3000)
		require.NoError(t, err)
		require.Equal(t, "node", got)
	}
	n.listens("node", 8000)
	a.awaitLed(8000)
	p.awaitLed(8000)
	_, err := a.get(3000)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestNothingElseIsReached: an end reaches what leads into its container, and no other port.
func TestNothingElseIsReached(t *testing.T) {
	w := newWorld(t, agent, node, rust)
	n, r := w.called("node"), w.called("rust")
	n.listens("node", 3000)
	n.mu.Lock()
	n.serves[9229] = "listens, and has not been told of"
	n.mu.Unlock()
	a := w.container("agent")
	a.awaitLed(3000)
	a.mu.Lock()
	a.serves = map[uint16]string{3000: "agent", 4096: "agent"}
	a.mu.Unlock()
	for name, c := range map[string]*container{"agent": a, "node": n, "rust": r} {
		for _, port := range []uint16{1, 22, 4096, 9229, 19128} {
			_, err := c.get(port)
			require.ErrorIs(t, err, syscall.ECONNRESET, "%s reaches %d", name, port)
		}
	}
	_, err := r.get(3000)
	require.ErrorIs(t, err, syscall.ECONNRESET, "a closed sidecar reaches an open one")
	_, err = n.get(3000)
	require.ErrorIs(t, err, syscall.ECONNRESET, "a sidecar reaches itself")
}

// TestAgentIsNotBelieved: the agent's container offers no ports.
func TestAgentIsNotBelieved(t *testing.T) {
	w := newWorld(t, agent, node, python)
	n, p := w.called("node"), w.called("python")
	n.listens("node", 3000)
	a := w.container("agent")
	a.awaitLed(3000)
	a.peer.Tell(execproto.PortsListening, execproto.EncodePorts([]uint16{4096}))
	require.Eventually(t, func() bool { _, err := a.peer.Open("3000"); return err != nil }, 10*time.Second, time.Millisecond,
		"the link on which it offers some is ended")
	p.awaitLed(3000)
	require.NotContains(t, n.led(), uint16(4096))
}

// TestFirstServerCounts: of two servers on a port the first counts, until it ends.
func TestFirstServerCounts(t *testing.T) {
	w := newWorld(t, agent, node, python)
	n, p := w.called("node"), w.called("python")
	p.listens("python", 8000)
	a := w.container("agent")
	a.awaitLed(8000)
	n.listens("node", 3000, 8000) // node comes first in the order of members
	a.awaitLed(3000, 8000)
	got, err := a.get(8000)
	require.NoError(t, err)
	require.Equal(t, "python", got)
	p.awaitLed(3000)
	p.listens("python")
	require.Eventually(t, func() bool { got, _ := a.get(8000); return got == "node" }, 10*time.Second, time.Millisecond)
}

// TestTaken: the user is told, once, of a port that is the agent's own.
func TestTaken(t *testing.T) {
	w := newWorld(t, agent, node)
	w.called("node").listens("node", 8000)
	a := w.container("agent")
	a.awaitLed(8000)
	a.peer.Tell(execproto.PortsTaken, execproto.EncodePorts([]uint16{8000}))
	require.Contains(t, <-w.notices, "port 8000 of the agent's container is in use there: localhost:8000 is not the server in the node sidecar")
	a.peer.Tell(execproto.PortsTaken, execproto.EncodePorts([]uint16{8000}))
	w.called("node").listens("node", 8000, 8001)
	a.awaitLed(8000, 8001)
	require.Empty(t, w.notices)
}

// TestManyPorts: no more than the limit lead into a container, whatever several have.
func TestManyPorts(t *testing.T) {
	w := newWorld(t, agent, node, python)
	all := make([]uint16, execproto.MaxPorts)
	for i := range all {
		all[i] = uint16(1000 + i)
	}
	w.called("node").listens("node", all...)
	w.called("python").listens("python", 1, 2, 3)
	w.container("agent").awaitLed(all...)
	require.Never(t, func() bool { return len(w.container("agent").led()) != execproto.MaxPorts }, 200*time.Millisecond, 10*time.Millisecond)
}

// TestWatch: ports are looked at while calls run, by a link that comes with the first.
func TestWatch(t *testing.T) {
	w := newWorld(t, agent, node)
	require.Empty(t, w.dialed)
	end := w.Begin("node")
	n := w.container("node")
	watched := func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.watched }
	require.Eventually(t, watched, 10*time.Second, time.Millisecond)
	end()
	w.mu.Lock()
	require.Nil(t, w.dialed["agent"], "nothing leads there")
	w.mu.Unlock()
	require.True(t, watched(), "a server may have been left behind")
}

// TestConnect: a published port leads to a sidecar, or else to the agent's own server.
func TestConnect(t *testing.T) {
	w := newWorld(t, agent, node, python)
	read := func(port uint16) string {
		c, err := w.Connect(t.Context(), port)
		if err != nil {
			require.ErrorIs(t, err, ErrNobody)
			return "nobody"
		}
		_ = c.CloseWrite()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		return string(got)
	}
	require.Equal(t, "nobody", read(3000))
	a := w.container("agent") // has been asked
	w.mu.Lock()
	require.Len(t, w.dialed, 1, "in a sidecar without a call nobody can listen")
	w.mu.Unlock()
	a.mu.Lock()
	a.serves = map[uint16]string{3000: "agent", 4000: "agent"}
	a.mu.Unlock()
	n := w.called("node")
	n.mu.Lock()
	n.serves = map[uint16]string{3000: "node"} // and it has not been seen yet
	n.mu.Unlock()
	require.Equal(t, "node", read(3000))
	require.Equal(t, "agent", read(4000))
	require.Equal(t, "nobody", read(5000))
}

// TestLinkEnds: what a container had goes with its link, and comes with the next.
func TestLinkEnds(t *testing.T) {
	w := newWorld(t, agent, node)
	end := w.Begin("node")
	n := w.container("node")
	n.listens("node", 3000)
	a := w.container("agent")
	a.awaitLed(3000)
	end()
	w.mu.Lock()
	delete(w.dialed, "node")
	w.mu.Unlock()
	n.peer.Close()
	a.awaitLed()
	_, err := a.get(3000)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	var again *container
	require.Eventually(t, func() bool {
		w.Begin("node")()
		w.mu.Lock()
		defer w.mu.Unlock()
		again = w.dialed["node"]
		return again != nil
	}, 20*time.Second, 50*time.Millisecond, "another link is opened")
	again.listens("node", 3001)
	a.awaitLed(3001)
}

// TestLinkEndsWhileACallLasts: the call may be a server that runs for hours, and gets another link.
func TestLinkEndsWhileACallLasts(t *testing.T) {
	w := newWorld(t, agent, node)
	defer w.Begin("node")()
	n := w.container("node")
	n.listens("node", 3000)
	a := w.container("agent")
	a.awaitLed(3000)
	w.mu.Lock()
	delete(w.dialed, "node")
	w.mu.Unlock()
	n.peer.Close()
	w.container("node").listens("node", 3001)
	a.awaitLed(3001)
}

// TestAbsentContainer: a container that cannot be reached keeps nobody waiting.
func TestAbsentContainer(t *testing.T) {
	w := newWorld(t, agent)
	w.absent["agent"] = true
	for range 3 {
		_, err := w.Connect(t.Context(), 3000)
		require.ErrorIs(t, err, ErrNobody)
	}
}

// TestCloseEndsAll: after Close nothing is opened, and nothing runs.
func TestCloseEndsAll(t *testing.T) {
	w := newWorld(t, agent, node)
	w.called("node").listens("node", 3000)
	w.container("agent").awaitLed(3000)
	w.Close()
	w.mu.Lock()
	clear(w.dialed)
	w.mu.Unlock()
	w.Begin("node")()
	_, err := w.Connect(t.Context(), 3000)
	require.ErrorIs(t, err, ErrNobody)
	require.Empty(t, w.dialed)
}

// FuzzHostile: nothing that a container sends breaks the bridge.
func FuzzHostile(f *testing.F) {
	f.Add([]byte("p\x00\x00\x00\x00\x00\x00\x00\x02\x0b\xb8"), false)
	f.Add([]byte("t\x00\x00\x00\x00\x00\x00\x00\x02\x0b\xb8n\x00\x00\x00\x01\x00\x00\x00\x043000"), true)
	f.Fuzz(func(t *testing.T, in []byte, isAgent bool) {
		b := New(Config{Members: []Member{agent, node}, Notice: func(string) {}, Log: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, string) (io.ReadWriteCloser, error) { return nil, io.EOF }})
		m := b.members[1]
		if isAgent {
			m = b.members[0]
		}
		here, there := net.Pipe()
		peer := b.peer(m, here)
		b.mu.Lock()
		b.joined(m, peer)
		b.mu.Unlock()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		go func() {
			_, _ = there.Write(in)
			_ = there.Close()
		}()
		require.Error(t, peer.Run())
		b.left(m)
		b.Close()
		require.Empty(t, b.members[0].forwards)
	})
}

// TestBeginInAgent: the agent's own calls are none of a sidecar.
func TestBeginInAgent(t *testing.T) {
	w := newWorld(t, agent, node)
	w.Begin("agent")()
	w.called("node")
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NotContains(t, w.dialed, "agent")
}
