package resident

import (
	"fmt"
	"os"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// readBuffer is how much is read from a link at once: a full message and more.
const readBuffer = 2 * execproto.MaxPayload

// link is one open link and the calls on it. Its reader never writes and never
// waits for a call, so that the server can always send.
type link struct {
	kind  string
	conn  Link
	files FileLink // conn, if files can go over it, else nil
	out   *execproto.MuxWriter
	lost  func(kind string, err error) error
	done  chan struct{} // closed when the reader has ended

	mu    sync.Mutex
	dead  bool
	calls map[uint32]*call
	last  uint32 // number of the latest call
}

// newLink returns a link whose server said that it is ready.
func newLink(kind string, conn Link, r *execproto.MuxReader, lost func(string, error) error) *link {
	l := &link{
		kind: kind, conn: conn, out: execproto.NewMuxWriter(conn), lost: lost,
		done: make(chan struct{}), calls: map[uint32]*call{},
	}
	l.files, _ = conn.(FileLink)
	go l.receive(r)
	return l
}

func (l *link) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

// add gives the call a number. It returns false when the link is dead.
func (l *link) add(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false
	}
	for l.last++; l.last == 0 || l.calls[l.last] != nil; l.last++ {
		continue // 0 is no call; the numbers have wrapped around
	}
	c.number = l.last
	l.calls[c.number] = c
	return true
}

func (l *link) find(number uint32) *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[number]
}

func (l *link) remove(number uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, number)
}

// start sends the call. Whoever breaks the link meanwhile also ends the call.
func (l *link) start(c *call, files []*os.File) {
	err := l.out.Write(execproto.MuxStart, c.number, c.spec.Encode())
	if err == nil && len(files) > 0 {
		err = l.out.WriteWith(execproto.MuxGo, c.number, []byte{execproto.MuxFiles}, func(b []byte) error {
			return l.files.SendFiles(b, files)
		})
	} else if err == nil {
		err = l.out.Write(execproto.MuxGo, c.number, []byte{0})
	}
	l.check(err)
}

// send sends one message of a call.
func (l *link) send(t execproto.MuxType, number uint32, payload []byte) {
	l.check(l.out.Write(t, number, payload))
}

// check breaks a link that could not be written to: half a message may be on its way.
func (l *link) check(err error) {
	if err != nil {
		go func() { _ = l.conn.Close() }() // takes its time where a program has to end
	}
}

// close ends the link and waits until its calls know.
func (l *link) close() {
	_ = l.conn.Close()
	<-l.done
}

// receive takes the server's messages until the link ends, and then ends the
// calls on it.
func (l *link) receive(r *execproto.MuxReader) {
	defer close(l.done)
	err := l.receiveAll(r)
	l.mu.Lock()
	l.dead = true // no call comes from now on
	calls := l.calls
	l.mu.Unlock()
	if len(calls) > 0 {
		err = l.lost(l.kind, err)
	}
	for _, c := range calls {
		c.setEnd(outcome{err: err})
	}
	_ = l.conn.Close()
}

func (l *link) receiveAll(r *execproto.MuxReader) error {
	for {
		m, err := r.Read()
		if err == nil {
			err = l.take(m)
		}
		if err != nil {
			return err
		}
	}
}

func (l *link) take(m execproto.MuxMessage) error {
	c := l.find(m.Call)
	if c == nil && m.Type == execproto.MuxCredit {
		return nil // its call ended while it was on its way
	}
	if c == nil {
		return fmt.Errorf("%w: type %q for no call", execproto.ErrFrame, byte(m.Type))
	}
	switch m.Type {
	case execproto.MuxStdout, execproto.MuxStderr:
		return c.receive(m.Type, m.Payload)
	case execproto.MuxCredit:
		return c.receiveCredit(m)
	case execproto.MuxExit, execproto.MuxFailed:
		out, err := outcomeOf(m)
		if err == nil {
			l.remove(m.Call)
			c.setEnd(out)
		}
		return err
	}
	return fmt.Errorf("%w: type %q from a server", execproto.ErrFrame, byte(m.Type))
}
