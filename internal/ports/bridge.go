// Package ports makes localhost one place for the containers of a session: a server that listens
// on the loopback of a sidecar is reached on the same port of the loopback of the agent's
// container, and of this machine where it is published (docs/network.md, "Ports").
//
// Containers keep networks of their own. In each there is an end of a link (internal/loopback),
// started when there is a use for it. What an end says is not believed beyond its own container:
// it may open connections to ports that lead into its container, and to nothing else. Nothing
// on this machine is ever connected to.
package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

const (
	// openDelay is how long after a first call the link to its sidecar is opened: most calls
	// are over sooner, and a server is not there sooner.
	openDelay = 250 * time.Millisecond
	// linger is how long after the last call a sidecar's ports are still looked at.
	linger = 10 * time.Second
	// failPause is how long a container whose link could not be opened, or ended, is left alone
	// at first, and maxFailPause at most.
	failPause    = time.Second
	maxFailPause = time.Minute
	// answerLimit is how long a container may take to say whether somebody listens.
	answerLimit = 15 * time.Second
)

// Member is a container.
type Member struct {
	Name string
	// Agent says that ports of sidecars lead into it, and none of its own out of it but to who
	// publishes them.
	Agent bool
	// Group are the sidecars whose ports lead to each other.
	Group string
}

// Config says whose ports lead where. Members and Dial are required.
type Config struct {
	Members []Member
	// Dial starts the end in a container and connects to it. What it returns is the other end's
	// to close when that container is gone.
	Dial func(ctx context.Context, name string) (io.ReadWriteCloser, error)
	// Notice tells the user something, in one line.
	Notice func(string)
	Log    *slog.Logger
}

// Bridge leads ports of containers to others.
type Bridge struct {
	cfg     Config
	members []*member
	base    context.Context // ends with Close
	end     context.CancelFunc
	links   sync.WaitGroup // that are open, or being opened

	mu     sync.Mutex // never held while a link's hooks, or connections, are waited for
	closed bool
}

// member is a container and what is known of it, guarded by Bridge.mu.
type member struct {
	Member
	peer    *tunnel.Peer  // nil: there is no link
	opening chan struct{} // closed when a link that is being opened is there, or is not
	failed  time.Time     // when a link could not be opened, or ended
	pause   time.Duration // for which no other is opened then
	used    bool          // a call was made in it
	calls   int           // under way
	later   *time.Timer   // what is to be done about the calls

	ports    []uint16           // on which its servers listen, in order
	forwards map[uint16]*member // whose ports lead into it
	taken    []uint16           // those of them that it has a server of its own on
}

// New returns a Bridge without links.
func New(cfg Config) *Bridge {
	b := &Bridge{cfg: cfg}
	b.base, b.end = context.WithCancel(context.Background())
	for _, m := range cfg.Members {
		b.members = append(b.members, &member{Member: m, forwards: map[uint16]*member{}})
	}
	return b
}

// Close ends all links, and with them the connections, and waits for that.
func (b *Bridge) Close() {
	b.end()
	b.mu.Lock()
	b.closed = true
	for _, m := range b.members {
		m.stopTimer()
		if m.peer != nil {
			m.peer.Close()
		}
	}
	b.mu.Unlock()
	b.links.Wait()
}

func (b *Bridge) member(name string) *member {
	i := slices.IndexFunc(b.members, func(m *member) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return b.members[i]
}

// Begin says that a call is made in a sidecar, whose ports are looked at from now on until some
// time after the function that it returns was called.
func (b *Bridge) Begin(name string) (end func()) {
	m := b.member(name)
	if m == nil || m.Agent {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m.used = true
	m.calls++
	switch {
	case m.peer != nil && m.calls > 1: // it looks already
	case m.peer != nil:
		m.stopTimer()
		m.watch()
	case m.later == nil:
		b.after(m, openDelay, func() { b.open(m) })
	}
	return sync.OnceFunc(func() { b.over(m) })
}

// over is the end of a call. A link that is still to be opened is, for a server may have been
// left behind.
func (b *Bridge) over(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.calls--
	if m.calls == 0 && m.peer != nil {
		b.after(m, linger, m.watch)
	}
}

// after has f called with mu held, unless something else is to be done before; mu is held.
func (b *Bridge) after(m *member, d time.Duration, f func()) {
	m.stopTimer()
	if b.closed {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if m.later == timer && !b.closed {
			m.later = nil
			f()
		}
	})
	m.later = timer
}

func (m *member) stopTimer() {
	if m.later != nil {
		m.later.Stop()
		m.later = nil
	}
}

// watch tells a container whether to look at its ports; Bridge.mu is held.
func (m *member) watch() {
	if m.peer == nil || m.Agent {
		return
	}
	on := byte(0)
	if m.calls > 0 {
		on = 1
	}
	m.peer.Tell(execproto.PortsWatch, []byte{on})
}

// open begins to open the link to a container, unless there is one; mu is held.
func (b *Bridge) open(m *member) {
	if b.closed || m.peer != nil || m.opening != nil || time.Since(m.failed) < m.pause {
		return
	}
	m.opening = make(chan struct{})
	b.links.Go(func() { b.serve(m) })
}

// serve opens the link to a container and serves it to its end.
func (b *Bridge) serve(m *member) {
	rwc, err := b.cfg.Dial(b.base, m.Name)
	var peer *tunnel.Peer
	if err == nil {
		peer = b.peer(m, rwc)
	}
	b.mu.Lock()
	close(m.opening)
	m.opening = nil
	if err != nil {
		b.failed(m)
	} else {
		b.joined(m, peer)
	}
	closed := b.closed
	b.mu.Unlock()
	if err != nil {
		b.cfg.Log.Debug("the ports of a container cannot be reached", "container", m.Name, "err", err)
		return
	}
	if closed {
		peer.Close()
	}
	err = peer.Run()
	b.cfg.Log.Debug("a port link ended", "container", m.Name, "err", err)
	b.left(m)
}

func (b *Bridge) peer(m *member, rwc io.ReadWriteCloser) *tunnel.Peer {
	return tunnel.NewPeer(rwc, tunnel.PeerConfig{
		Host:   true,
		Limit:  execproto.MaxPortConns,
		Known:  func(name string) bool { return execproto.ParsePort(name) != 0 },
		Accept: func(name string, s *tunnel.Stream) { b.lead(m, execproto.ParsePort(name), s) },
		Heard:  string([]byte{byte(execproto.PortsListening), byte(execproto.PortsTaken)}),
		Hear:   func(t execproto.MuxType, payload []byte) error { return b.hear(m, t, payload) },
	})
}

// joined has a container whose link is there know what it has to; mu is held. Where the call for
// which the link was opened is over, its server may be there all the same, so it is looked for.
func (b *Bridge) joined(m *member, peer *tunnel.Peer) {
	m.peer, m.taken = peer, nil
	m.tellForwards()
	if !m.Agent {
		peer.Tell(execproto.PortsWatch, []byte{1})
		if m.calls == 0 {
			b.after(m, linger, m.watch)
		}
	}
	b.update()
}

// left is the end of a link.
func (b *Bridge) left(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.peer, m.ports, m.taken = nil, nil, nil
	b.failed(m)
	b.update()
}

// failed leaves a container without a link alone for a while; mu is held. It then gets another, when it
// still has a use for one; a sidecar without a call gets it by its next.
func (b *Bridge) failed(m *member) {
	m.failed = time.Now()
	m.pause = min(max(2*m.pause, failPause), maxFailPause)
	b.after(m, m.pause, func() {
		if len(m.forwards) > 0 || m.calls > 0 {
			b.open(m)
		}
	})
}

// hear takes what a container tells.
func (b *Bridge) hear(m *member, t execproto.MuxType, payload []byte) error {
	ports, err := execproto.DecodePorts(payload)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t == execproto.PortsTaken {
		b.noticeTaken(m, ports)
		return nil
	}
	if m.Agent {
		return fmt.Errorf("%w: ports of the agent's container, which nobody asked for", execproto.ErrFrame)
	}
	m.ports = ports
	b.update()
	return nil
}

// noticeTaken tells of the agent's own servers that are in the way of others.
func (b *Bridge) noticeTaken(m *member, ports []uint16) {
	for _, p := range ports {
		if owner := m.forwards[p]; owner != nil && m.Agent && !slices.Contains(m.taken, p) {
			b.cfg.Notice(fmt.Sprintf("port %d of the agent's container is in use there: localhost:%d is not the server in the %s sidecar", p, p, owner.Name))
		}
	}
	m.taken = ports
}

// update leads the ports that there are to where they belong; mu is held.
func (b *Bridge) update() {
	for _, m := range b.members {
		wanted := b.wanted(m)
		if sameForwards(m.forwards, wanted) {
			continue
		}
		m.forwards = wanted
		m.tellForwards()
		if m.Agent && m.peer == nil {
			b.open(m)
		}
	}
}

// wanted returns the ports that are to lead into a container. Of two servers on one port the one
// that was there first counts.
func (b *Bridge) wanted(m *member) map[uint16]*member {
	wanted := map[uint16]*member{}
	for p, owner := range m.forwards {
		if leads(owner, m, p) {
			wanted[p] = owner
		}
	}
	for _, owner := range b.members {
		for _, p := range owner.ports {
			if wanted[p] == nil && len(wanted) < execproto.MaxPorts && leads(owner, m, p) {
				wanted[p] = owner
			}
		}
	}
	return wanted
}

// leads reports whether the port of a container leads into another. Those of the agent's lead
// nowhere: a program in a sidecar shall not drive the agent.
func leads(from, to *member, port uint16) bool {
	_, has := slices.BinarySearch(from.ports, port)
	if !has || from == to || from.Agent {
		return false
	}
	_, own := slices.BinarySearch(to.ports, port)
	return to.Agent || from.Group == to.Group && !own
}

func sameForwards(a, b map[uint16]*member) bool {
	if len(a) != len(b) {
		return false
	}
	for p, m := range a {
		if b[p] != m {
			return false
		}
	}
	return true
}

// tellForwards has a container listen to what leads into it; Bridge.mu is held.
func (m *member) tellForwards() {
	if m.peer == nil {
		return
	}
	var ports []uint16
	for p := range m.forwards {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	m.peer.Tell(execproto.PortsForward, execproto.EncodePorts(ports))
}

// lead leads a connection that was made in a container to the server that it is for.
func (b *Bridge) lead(m *member, port uint16, s *tunnel.Stream) {
	b.mu.Lock()
	var peer *tunnel.Peer
	if owner := m.forwards[port]; owner != nil {
		peer = owner.peer
	}
	b.mu.Unlock()
	if peer == nil {
		s.Abort()
		return
	}
	server, err := peer.Open(execproto.PortName(port))
	if err != nil {
		s.Abort()
		return
	}
	tunnel.Join(s, server) // with the word about whether somebody listens
}

// ErrNobody says that nobody in the session listens on a port.
var ErrNobody = errors.New("nobody listens on the port")

// Connect connects to the server on a port, in a sidecar or else in the agent's container. Where
// there is none the error is ErrNobody.
func (b *Bridge) Connect(ctx context.Context, port uint16) (tunnel.Duplex, error) {
	for _, m := range b.candidates(port) {
		if s := b.try(ctx, m, port); s != nil {
			return s, nil
		}
	}
	return nil, ErrNobody
}

// candidates returns where a server may be, the likeliest first: in sidecars where something was
// called, and in the agent's container.
func (b *Bridge) candidates(port uint16) []*member {
	b.mu.Lock()
	defer b.mu.Unlock()
	rank := func(m *member) int {
		_, known := slices.BinarySearch(m.ports, port)
		switch {
		case known:
			return 0
		case !m.Agent:
			return 1
		}
		return 2
	}
	var list []*member
	for _, m := range b.members {
		if m.used || m.Agent {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(x, y *member) int { return rank(x) - rank(y) })
	return list
}

// try connects to a port of a container, nil where nobody listens.
func (b *Bridge) try(ctx context.Context, m *member, port uint16) *tunnel.Stream {
	peer := b.await(ctx, m)
	if peer == nil {
		return nil
	}
	s, err := peer.Open(execproto.PortName(port))
	if err != nil {
		return nil
	}
	_ = s.SetReadDeadline(time.Now().Add(answerLimit))
	status := []byte{execproto.PortRefused}
	if _, err := io.ReadFull(s, status); err != nil || status[0] != execproto.PortOpen {
		_ = s.Close()
		return nil
	}
	_ = s.SetReadDeadline(time.Time{})
	return s
}

// await returns the link to a container, which it opens if need be, or nil.
func (b *Bridge) await(ctx context.Context, m *member) *tunnel.Peer {
	b.mu.Lock()
	b.open(m)
	opening := m.opening
	b.mu.Unlock()
	if opening != nil {
		select {
		case <-opening:
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return m.peer
}
