//go:build linux

package execserver

import (
	"bufio"
	"fmt"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// maxStart is the length of the longest Start that a call may have: what the
// proxy lets an argument list and variables have, a NUL for each, and the rest.
const maxStart = execproto.MaxArgsTotal + execproto.MaxArgs + execproto.MaxPathLen + 64<<10

const (
	// lostGrace is the grace period of calls that are ended because the link
	// is lost: nobody is left who could have asked for another one.
	lostGrace = 500 * time.Millisecond
	// lostLimit is how long we wait for them; killing has a limit of its own.
	lostLimit = 15 * time.Second
)

// server is the state that the calls of one link share.
type server struct {
	link  link
	w     *execproto.MuxWriter
	table toolrun.Table

	mu     sync.Mutex
	calls  map[uint32]*call
	ending bool           // the link is lost, or we were asked to end
	live   sync.WaitGroup // the calls that have begun
}

// serve takes messages until the link ends or stop is closed, and then ends all
// calls. It returns why the link ended, nil after stop.
func serve(l link, stop <-chan struct{}) error {
	s := &server{link: l, w: execproto.NewMuxWriter(l), calls: map[uint32]*call{}}
	lost := make(chan error, 1)
	go func() { lost <- s.receive() }()
	var err error
	select {
	case err = <-lost:
	case <-stop:
	}
	s.endAll()
	return err
}

func (s *server) receive() error {
	// A goroutine of its own, for a proxy that does not read yet.
	go func() { _ = s.w.Write(execproto.MuxHello, 0, nil) }()
	r := execproto.NewMuxReader(bufio.NewReaderSize(s.link, execproto.MaxPayload))
	for {
		m, err := r.Read()
		if err != nil {
			return err
		}
		if err := s.take(m); err != nil {
			return err
		}
	}
}

// take acts on one message, without waiting for anything. Messages for a call
// that is over are late, not wrong.
func (s *server) take(m execproto.MuxMessage) error {
	switch m.Type {
	case execproto.MuxStart:
		s.announced(m.Call).add(m.Payload)
		return nil
	case execproto.MuxGo:
		return s.begin(m)
	}
	c := s.call(m.Call)
	if c == nil {
		return nil
	}
	switch m.Type {
	case execproto.MuxStdin:
		c.input(m.Payload)
	case execproto.MuxStdinEOF:
		c.in.end()
	case execproto.MuxSignal:
		c.signal(string(m.Payload))
	case execproto.MuxResize:
		rows, cols, err := execproto.DecodeSize(m.Payload)
		c.resize(rows, cols)
		return err
	case execproto.MuxCredit:
		n, err := m.Uint32()
		c.window.give(int(n))
		return err
	case execproto.MuxEnd:
		s.end(c)
	default:
		return fmt.Errorf("%w: unknown type %q", execproto.ErrFrame, byte(m.Type))
	}
	return nil
}

func (s *server) call(id uint32) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[id]
}

// announced returns the call of that number, a new one if there is none.
func (s *server) announced(id uint32) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[id]
	if c == nil {
		c = newCall(s, id)
		s.calls[id] = c
	}
	return c
}

// begin starts a call. Descriptors are taken in any case, or the next call
// would get them.
func (s *server) begin(m execproto.MuxMessage) error {
	var files []int
	if len(m.Payload) != 1 || m.Payload[0] != 0 && m.Payload[0] != 3 {
		return fmt.Errorf("%w: a call that comes with %d descriptors", execproto.ErrFrame, m.Payload)
	}
	if m.Payload[0] == 3 {
		if files = s.link.files(3); files == nil {
			return fmt.Errorf("%w: the descriptors of a call are missing", execproto.ErrFrame)
		}
	}
	c := s.call(m.Call)
	if c == nil || !s.join(c) { // the call was ended before, or everything is
		closeAll(files)
		return nil
	}
	go c.run(files)
	return nil
}

// join counts the call among those to wait for.
func (s *server) join(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending || c.begun {
		return false
	}
	c.begun = true
	s.live.Add(1)
	return true
}

// end ends a call, one without a MuxGo at once.
func (s *server) end(c *call) {
	s.mu.Lock()
	begun := c.begun
	s.mu.Unlock()
	if !begun {
		c.withdrawn()
		return
	}
	c.end()
}

// forget frees the number of a call. It comes before the call's last message,
// after which the proxy may use the number again.
func (s *server) forget(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.id] == c {
		delete(s.calls, c.id)
	}
}

// endAll ends all calls and waits for that. The link goes first, which tells the
// proxy, and frees those who write to one that does not read.
func (s *server) endAll() {
	s.mu.Lock()
	s.ending = true
	_ = s.link.Close()
	for _, c := range s.calls {
		c.drop()
		c.endWithin(lostGrace)
	}
	s.mu.Unlock()
	over := make(chan struct{})
	go func() {
		s.live.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(lostLimit):
	}
}
