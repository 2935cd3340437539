package tunnel

import (
	"errors"
	"io"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Peer is one end of a link on which both ends open connections, each named by a word, and
// tell each other what concerns the link as a whole. The rules are those of a tunnel.
type Peer struct{ link *link }

// PeerConfig says what a Peer does. Known and Accept are required.
type PeerConfig struct {
	// Host is set at the end in this process and not at the one in the container.
	Host bool
	// Limit is how many connections each end may open; further ones wait.
	Limit int
	// Known reports whether the other end may open a connection of that name. One that
	// does so with another ends the link.
	Known func(name string) bool
	// Accept gets what the other end opens, in a goroutine of its own, and closes it.
	Accept func(name string, s *Stream)
	// Heard are the types of what the other end may tell, and Hear gets it. It must not
	// wait, and its error ends the link. The payload is valid until it returns.
	Heard string
	Hear  func(t execproto.MuxType, payload []byte) error
}

// NewPeer returns the end of a link over rwc. Nothing happens before Run.
func NewPeer(rwc io.ReadWriteCloser, cfg PeerConfig) *Peer {
	l := newLink(rwc)
	l.both, l.limit, l.known = true, cfg.Limit, cfg.Known
	if cfg.Host {
		l.own = ownBit
	}
	l.accept = func(c *conn) bool {
		go cfg.Accept(c.name, &Stream{c})
		return true
	}
	l.hear = func(m execproto.MuxMessage) (bool, error) {
		for _, t := range []byte(cfg.Heard) {
			if m.Type == execproto.MuxType(t) && m.Call == 0 {
				return true, cfg.Hear(m.Type, m.Payload)
			}
		}
		return false, nil
	}
	return &Peer{link: l}
}

// Run serves the link until it breaks or is closed, and returns why. It closes rwc.
func (p *Peer) Run() error { return p.link.run() }

// Close ends the link, and with it what is under way.
func (p *Peer) Close() { p.link.fail(errClosed) }

// Open opens a connection of that name. It waits while there are too many, and fails when
// the link is no more.
func (p *Peer) Open(name string) (*Stream, error) {
	c, err := p.link.open(name)
	if err != nil {
		return nil, err
	}
	return &Stream{c}, nil
}

// Tell has the other end hear payload, soon, unless something newer of this type is told before.
func (p *Peer) Tell(t execproto.MuxType, payload []byte) { p.link.tell(t, payload) }

// Stream is one connection. It is a net.Conn which tells an end from a breaking off.
type Stream struct{ *conn }

// Read implements net.Conn. It returns io.EOF only when the other end has said that this was all,
// and syscall.ECONNRESET when it closed the connection, or the link broke, without having said so.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.conn.Read(p)
	if errors.Is(err, io.EOF) && !s.whole() {
		return n, syscall.ECONNRESET
	}
	return n, err
}

func (s *Stream) whole() bool {
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	return s.finished
}

// Abort closes the connection so that the other end sees it break off.
func (s *Stream) Abort() { _ = s.Close() }
