//go:build linux

package loopback

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/accept"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

const (
	// lookPause is the time between two looks at the listening ports.
	lookPause = 100 * time.Millisecond
	// retryPause is how long a port that is taken is left to who has it.
	retryPause = time.Second
	// dialLimit is how long a server may take to take a connection.
	dialLimit = 10 * time.Second
)

// loopbacks are the addresses on which is listened, and connected to, the first that answers first.
var loopbacks = []string{"127.0.0.1", "::1"}

// end is the end of one link. Its loop alone listens and looks; what it is told, and what connections
// find, it gets through its fields.
type end struct {
	peer    *tunnel.Peer
	watcher watcher
	changed chan struct{} // has room for one: there is something for the loop to do
	ended   chan struct{} // closed when the link is no more

	mu       sync.Mutex
	wanted   []uint16 // to be listened to for others
	watching bool
	doubted  bool // a server was not where it was thought to be

	forwards map[uint16][]net.Listener // of the loop; guarded for others, see owns
	told     []uint16                  // what the host was told that is listened to
	taken    []uint16                  // and what it was told that is taken
}

func newEnd(link io.ReadWriteCloser) *end {
	e := &end{
		watcher: watcher{look: listeners}, changed: make(chan struct{}, 1), ended: make(chan struct{}),
		forwards: map[uint16][]net.Listener{},
	}
	e.peer = tunnel.NewPeer(link, tunnel.PeerConfig{
		Limit:  execproto.MaxPortConns,
		Known:  func(name string) bool { return execproto.ParsePort(name) != 0 },
		Accept: func(name string, s *tunnel.Stream) { e.connect(execproto.ParsePort(name), s) },
		Heard:  string([]byte{byte(execproto.PortsForward), byte(execproto.PortsWatch)}),
		Hear:   e.hear,
	})
	return e
}

// run serves until the link ends.
func (e *end) run() {
	var loop sync.WaitGroup
	loop.Go(e.loop)
	_ = e.peer.Run() // however it ended, nobody is left to be told
	close(e.ended)
	loop.Wait()
}

// hear takes what the host tells.
func (e *end) hear(t execproto.MuxType, payload []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t == execproto.PortsWatch {
		e.watching = len(payload) == 1 && payload[0] == 1
		e.poke()
		return nil
	}
	ports, err := execproto.DecodePorts(payload)
	e.wanted = ports
	e.poke()
	return err
}

func (e *end) poke() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

func (e *end) loop() {
	defer e.forward(nil)
	for {
		e.mu.Lock()
		wanted, watching, doubted := e.wanted, e.watching, e.doubted
		e.doubted = false
		e.mu.Unlock()
		e.forward(wanted)
		if watching || doubted {
			e.report()
		}
		var again <-chan time.Time
		switch {
		case watching:
			again = time.After(lookPause)
		case len(e.taken) > 0:
			again = time.After(retryPause)
		}
		select {
		case <-e.changed:
		case <-again:
		case <-e.ended:
			return
		}
	}
}

// report looks at the listening ports, and tells what has changed.
func (e *end) report() {
	ports := e.watcher.next(e.owns)
	if !slices.Equal(ports, e.told) {
		e.told = ports
		e.peer.Tell(execproto.PortsListening, execproto.EncodePorts(ports))
	}
}

// forward listens to these ports and no others, and tells which are taken.
func (e *end) forward(wanted []uint16) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for port, list := range e.forwards {
		if !slices.Contains(wanted, port) {
			closeAll(list)
			delete(e.forwards, port)
		}
	}
	var taken []uint16
	for _, port := range wanted {
		if e.forwards[port] != nil {
			continue
		}
		list, err := listen(port)
		if err != nil {
			taken = append(taken, port)
			continue
		}
		e.forwards[port] = list
		for _, l := range list {
			go e.accept(l, port)
		}
	}
	if !slices.Equal(taken, e.taken) {
		e.taken = taken
		e.peer.Tell(execproto.PortsTaken, execproto.EncodePorts(taken))
	}
}

// owns reports whether the port is led from elsewhere.
func (e *end) owns(port uint16) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.forwards[port] != nil
}

// listen listens to a port of the loopback, by each version of IP that the container has. It
// does so by all or none: a port half of which is somebody else's is his.
func listen(port uint16) ([]net.Listener, error) {
	var list []net.Listener
	for _, host := range loopbacks {
		l, err := net.Listen("tcp", net.JoinHostPort(host, execproto.PortName(port)))
		if err != nil && host != loopbacks[0] && absent(err) {
			continue
		}
		if err != nil {
			closeAll(list)
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		_ = l.Close()
	}
}

// accept leads the connections to a port to whose it is.
func (e *end) accept(l net.Listener, port uint16) {
	for {
		client, err := accept.Next(l)
		if err != nil {
			return
		}
		go e.lead(tunnel.TCP{TCPConn: client.(*net.TCPConn)}, port)
	}
}

// lead leads one connection to whose port it is. One that cannot be led is reset, as one that
// nobody takes.
func (e *end) lead(client tunnel.TCP, port uint16) {
	s, err := e.peer.Open(execproto.PortName(port))
	if err != nil {
		client.Abort()
		return
	}
	status := []byte{execproto.PortRefused}
	if _, err := io.ReadFull(s, status); err != nil || status[0] != execproto.PortOpen {
		s.Abort()
		client.Abort()
		return
	}
	tunnel.Join(client, s)
}

// connect connects the stream with who listens to the port, which is no port that is led from
// elsewhere: it would come back.
func (e *end) connect(port uint16, s *tunnel.Stream) {
	server, err := e.dial(port)
	if err != nil {
		_, _ = s.Write([]byte{execproto.PortRefused})
		_ = s.Close()
		e.doubt()
		return
	}
	if _, err := s.Write([]byte{execproto.PortOpen}); err != nil {
		server.Abort()
		s.Abort()
		return
	}
	tunnel.Join(s, server)
}

func (e *end) dial(port uint16) (tunnel.TCP, error) {
	if e.owns(port) {
		return tunnel.TCP{}, net.ErrClosed
	}
	var errs []error
	for _, host := range loopbacks {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(host, execproto.PortName(port)), dialLimit)
		if err == nil {
			return tunnel.TCP{TCPConn: c.(*net.TCPConn)}, nil
		}
		errs = append(errs, err)
	}
	return tunnel.TCP{}, errors.Join(errs...)
}

// doubt has the ports looked at again.
func (e *end) doubt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubted = true
	e.poke()
}
