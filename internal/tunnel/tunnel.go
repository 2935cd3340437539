// Package tunnel leads from unix sockets in a container to this process where the two
// are on different kernels, so that no socket of the host can be mounted: the container's
// connections all go over the standard input and output of one docker exec. Main is the
// end in the container, Host the one here (docs/protocol.md, "The tunnel").
//
// Each connection has a window in either direction, ends in one direction alone, and
// holds up no other. The end in the container is hostile to the one here: whatever breaks the rules
// ends the tunnel, and with it the container's only way out.
package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Command is the subcommand of the program in a container that is its end.
const Command = "tunnel"

// The frames are those of execproto.MuxReader; a call is a connection, whose number the
// container chooses. It is free again when both ends have sent typeClose.
const (
	typeOpen   execproto.MuxType = 'n' // container to host: a connection to the socket that the payload names
	typeData   execproto.MuxType = 'd'
	typeEnd    execproto.MuxType = 'z' // the sender sends no more data
	typeCredit execproto.MuxType = 'c' // uint32: so many more bytes may be sent
	typeClose  execproto.MuxType = 'k' // the sender sends nothing more, and reads no more
)

const (
	// MaxConns is how many connections a container may have; more wait in it.
	MaxConns = 1024
	// window is how many bytes of a connection may be under way in one direction. Each
	// end also has room for as many that wait to be sent.
	window = 64 << 10
	// readBuffer is how much is read from the link at once: a full frame and more.
	readBuffer = 2 * execproto.MaxPayload
)

// link is one end of a tunnel. Its reader never waits, so that the other end can always
// send; all that is sent goes through its one writer, in turns.
type link struct {
	rwc io.ReadWriteCloser
	// accept takes a connection that the other end opens, or returns false when nobody
	// wants it. It is called with mu held. nil: the other end may open none.
	accept func(c *conn) bool
	// known reports whether there is a socket of that name.
	known func(name string) bool
	// hear gets what is told of the link as a whole, and reports whether it was that. It is
	// called without mu. nil: nothing is.
	hear  func(m execproto.MuxMessage) (heard bool, err error)
	limit int    // of connections
	own   uint32 // is part of the numbers of the connections that are opened here
	both  bool   // both ends open connections, so that own tells whose a number is

	mu    sync.Mutex
	work  sync.Cond // the queue is not empty, or err is set
	room  sync.Cond // there are fewer connections, or err is set
	conns map[uint32]*conn
	queue []*conn // have something to send; each once
	told  []told  // is to be sent before all that; each type once
	last  uint32  // number of the latest connection, without own
	err   error   // why the link is no more

	opened, accepted int // connections of this end, and of the other
}

// told is something about the link as a whole.
type told struct {
	t       execproto.MuxType
	payload []byte
}

func newLink(rwc io.ReadWriteCloser) *link {
	l := &link{rwc: rwc, conns: map[uint32]*conn{}, limit: MaxConns}
	l.work.L, l.room.L = &l.mu, &l.mu
	return l
}

// run serves the link until it breaks or is closed, and returns why.
func (l *link) run() error {
	var writer sync.WaitGroup
	writer.Go(func() { l.fail(l.send()) })
	l.fail(l.receive())
	writer.Wait()
	return l.err
}

// errClosed is why a link is no more that was closed here.
var errClosed = fmt.Errorf("the tunnel was closed: %w", net.ErrClosed)

// fail ends the link for the reason err; only the first counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	for _, c := range l.conns {
		c.changed.Broadcast()
	}
	l.work.Broadcast()
	l.room.Broadcast()
	l.mu.Unlock()
	_ = l.rwc.Close() // frees the reader and the writer
}

// open opens a connection to the socket of that name. It waits while there are too many.
func (l *link) open(name string) (*conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.opened >= l.limit && l.err == nil {
		l.room.Wait()
	}
	if l.err != nil {
		return nil, l.err
	}
	l.last++
	for l.conns[l.number()] != nil {
		l.last++ // the numbers have wrapped around
	}
	c := l.add(l.number(), name)
	c.mine = true
	l.opened++
	c.opening = true
	c.enqueue()
	return c, nil
}

// ownBit is what tells the numbers of the two ends apart where both open connections.
const ownBit = 1 << 31

// number returns the number of the latest connection.
func (l *link) number() uint32 { return l.last&^ownBit | l.own }

// isOwn reports whether this end gave the number.
func (l *link) isOwn(number uint32) bool { return l.both && number&ownBit == l.own }

// add makes a connection; mu is held.
func (l *link) add(number uint32, name string) *conn {
	c := &conn{link: l, number: number, name: name, mayReceive: window, maySend: window}
	c.changed.L = &l.mu
	l.conns[number] = c
	return c
}

// forget removes a connection that both ends have closed; mu is held.
func (l *link) forget(c *conn) {
	if !c.closeSent || !c.peerClosed || l.conns[c.number] != c {
		return
	}
	delete(l.conns, c.number)
	if !c.mine {
		l.accepted--
		return
	}
	l.opened--
	l.room.Signal()
}

// receive takes what the other end sends.
func (l *link) receive() error {
	r := execproto.NewMuxReader(newReader(l.rwc))
	for {
		m, err := r.Read()
		heard := false
		if err == nil && l.hear != nil {
			heard, err = l.hear(m)
		}
		if err == nil && !heard {
			err = l.take(m)
		}
		if err != nil {
			return err
		}
	}
}

// take takes one frame. An error says that the other end broke the rules.
func (l *link) take(m execproto.MuxMessage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[m.Call]
	switch {
	case m.Type == typeOpen:
		return l.takeOpen(c, m)
	case c == nil || c.peerClosed:
		return malformed(m, "for no connection")
	}
	defer c.changed.Broadcast()
	switch m.Type {
	case typeData:
		return c.takeData(m)
	case typeCredit:
		return c.takeCredit(m)
	case typeEnd:
		c.peerEnded, c.finished = true, true
		return nil
	case typeClose:
		c.peerEnded, c.peerClosed = true, true
		c.out.drop()
		c.enqueue()
		l.forget(c)
		return nil
	}
	return malformed(m, "which is unknown")
}

// takeOpen takes the connection m.Call, which is new if c is nil.
func (l *link) takeOpen(c *conn, m execproto.MuxMessage) error {
	name := string(m.Payload)
	switch {
	case l.accept == nil:
		return malformed(m, "from a host")
	case c != nil:
		return malformed(m, "for a connection that there is")
	case l.isOwn(m.Call):
		return malformed(m, "with a number of this end")
	case l.accepted >= l.limit:
		return malformed(m, "beyond the number of connections")
	case !l.known(name):
		return malformed(m, "for an unknown socket")
	}
	c = l.add(m.Call, name)
	l.accepted++
	if !l.accept(c) {
		c.close()
	}
	return nil
}

func malformed(m execproto.MuxMessage, what string) error {
	return fmt.Errorf("%w: type %q %s", execproto.ErrFrame, byte(m.Type), what)
}

// tell has the other end hear payload. What it was told in this type before, and has not been
// sent, it does not hear any more.
func (l *link) tell(t execproto.MuxType, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.told, func(old told) bool { return old.t == t })
	if i >= 0 {
		l.told = slices.Delete(l.told, i, i+1)
	}
	l.told = append(l.told, told{t, payload})
	l.work.Signal()
}

// batch is what a connection sends in one turn, or what is told of the link.
type batch struct {
	told       *told
	number     uint32
	open       string // empty: nothing to open
	credit     uint32
	data       []byte
	end, close bool
}

// send sends what the connections have to send, each in turn.
func (l *link) send() error {
	buffered := newWriter(l.rwc)
	out := execproto.NewMuxWriter(buffered)
	scratch := make([]byte, window)
	for {
		b, more, err := l.next(scratch)
		if err != nil {
			return err
		}
		if err := b.write(out); err != nil {
			return err
		}
		if more {
			continue
		}
		if err := buffered.Flush(); err != nil {
			return err
		}
	}
}

// next waits for a connection that has something to send. It reports whether there is
// another behind it. Data is copied to scratch.
func (l *link) next(scratch []byte) (b batch, more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && len(l.told) == 0 && l.err == nil {
		l.work.Wait()
	}
	if l.err != nil {
		return batch{}, false, l.err
	}
	if len(l.told) > 0 {
		b.told = &l.told[0]
		l.told = l.told[1:]
		return b, len(l.told)+len(l.queue) > 0, nil
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	c.queued = false
	b = c.batch(scratch)
	l.forget(c)
	c.enqueue()
	return b, len(l.queue) > 0, nil
}

func (b batch) write(out *execproto.MuxWriter) error {
	if b.told != nil {
		return out.Write(b.told.t, 0, b.told.payload)
	}
	var errs []error
	if b.open != "" {
		errs = append(errs, out.Write(typeOpen, b.number, []byte(b.open)))
	}
	if b.credit > 0 {
		errs = append(errs, out.WriteUint32(typeCredit, b.number, b.credit))
	}
	if len(b.data) > 0 {
		errs = append(errs, out.Write(typeData, b.number, b.data))
	}
	if b.end {
		errs = append(errs, out.Write(typeEnd, b.number, nil))
	}
	if b.close {
		errs = append(errs, out.Write(typeClose, b.number, nil))
	}
	return errors.Join(errs...)
}
