package tunnel

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// conn is one connection at one end of a tunnel. It is a net.Conn that can end in one
// direction alone. Its fields are guarded by link.mu.
type conn struct {
	link    *link
	number  uint32
	name    string
	changed sync.Cond // what Read and Write wait for may have come

	in         ring // has been received
	mayReceive int  // bytes that the other end may still send
	owed       int  // bytes that were read and may be granted anew
	out        ring // is to be sent
	maySend    int  // bytes that the other end takes

	mine                  bool // opened by this end
	finished              bool // typeEnd came: what the other end sent is whole
	opening               bool // the other end has not been told of it
	queued                bool // in link.queue
	ending, endSent       bool
	closing, closeSent    bool
	peerEnded, peerClosed bool

	readLimit, writeLimit deadline
}

// batch returns what is to be sent now, and takes it as sent.
func (c *conn) batch(scratch []byte) batch {
	b := batch{number: c.number}
	if c.opening {
		b.open, c.opening = c.name, false
	}
	if c.owes() {
		b.credit = uint32(c.owed) //nolint:gosec // at most window
		c.mayReceive += c.owed
		c.owed = 0
	}
	b.data = scratch[:c.out.read(scratch[:min(c.maySend, len(scratch))])]
	c.maySend -= len(b.data)
	if len(b.data) > 0 {
		c.changed.Broadcast()
	}
	if c.endIsDue() {
		b.end, c.endSent = true, true
	}
	if c.closeIsDue() {
		b.close, c.closeSent = true, true
	}
	return b
}

// enqueue puts the connection into the link's queue if it has something to send.
func (c *conn) enqueue() {
	due := c.opening || c.owes() || c.out.n > 0 && c.maySend > 0 || c.endIsDue() || c.closeIsDue()
	if due && !c.queued {
		c.queued = true
		c.link.queue = append(c.link.queue, c)
		c.link.work.Signal()
	}
}

// owes reports whether the other end is to be told that it may send more. That is done for
// half a window at once.
func (c *conn) owes() bool { return c.owed >= window/2 && !c.closing && !c.peerEnded }

func (c *conn) endIsDue() bool {
	return c.ending && !c.endSent && !c.peerClosed && c.out.n == 0
}

func (c *conn) closeIsDue() bool { return c.closing && !c.closeSent && c.out.n == 0 }

func (c *conn) takeData(m execproto.MuxMessage) error {
	switch {
	case c.peerEnded:
		return malformed(m, "after the end")
	case len(m.Payload) > c.mayReceive:
		return malformed(m, "beyond the window")
	}
	c.mayReceive -= len(m.Payload)
	if !c.closing { // else nobody reads it
		c.in.write(m.Payload)
	}
	return nil
}

func (c *conn) takeCredit(m execproto.MuxMessage) error {
	n, err := m.Uint32()
	if err != nil {
		return err
	}
	if n > uint32(window-c.maySend) { //nolint:gosec // not negative
		return malformed(m, "beyond the window")
	}
	c.maySend += int(n)
	c.enqueue()
	return nil
}

// Read implements net.Conn. What came before the link broke is still there.
func (c *conn) Read(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	for len(p) > 0 {
		switch {
		case c.closing:
			return 0, net.ErrClosed
		case c.readLimit.passed():
			return 0, os.ErrDeadlineExceeded
		case c.in.n > 0:
			n := c.in.read(p)
			c.owed += n
			c.enqueue()
			return n, nil
		case c.peerEnded:
			return 0, io.EOF
		case c.link.err != nil:
			return 0, c.link.err
		}
		c.changed.Wait()
	}
	return 0, nil
}

// Write implements net.Conn. It returns when all is on its way.
func (c *conn) Write(p []byte) (int, error) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	written := 0
	for written < len(p) {
		switch {
		case c.closing, c.ending:
			return written, net.ErrClosed
		case c.writeLimit.passed():
			return written, os.ErrDeadlineExceeded
		case c.peerClosed:
			return written, syscall.EPIPE
		case c.link.err != nil:
			return written, c.link.err
		}
		if n := c.out.write(p[written:]); n > 0 {
			written += n
			c.enqueue()
			continue
		}
		c.changed.Wait()
	}
	return written, nil
}

// CloseWrite ends what the other end reads; it can still be read. Once the connection is closed
// it is too late for that.
func (c *conn) CloseWrite() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	c.ending = true
	c.enqueue()
	return nil
}

// Close implements net.Conn. It never waits: what was written is still sent, as far as the
// other end takes it.
func (c *conn) Close() error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.close()
	return nil
}

// close is Close with link.mu held.
func (c *conn) close() {
	c.closing = true
	c.in.drop()
	c.readLimit.stop()
	c.writeLimit.stop()
	c.changed.Broadcast()
	c.enqueue()
}

// gone reports whether the other end has closed the connection.
func (c *conn) gone() bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	return c.peerClosed || c.link.err != nil
}

// address is a socket of a container at the end of a tunnel. It is not told which of
// the container's processes connects.
type address string

// Network implements net.Addr.
func (a address) Network() string { return "tunnel" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return address(c.name) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return address(c.name) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.limit(t, &c.readLimit, &c.writeLimit) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.limit(t, &c.readLimit) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.limit(t, &c.writeLimit) }

func (c *conn) limit(t time.Time, limits ...*deadline) error {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	for _, d := range limits {
		d.set(t, func() {
			c.link.mu.Lock()
			defer c.link.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	c.changed.Broadcast()
	return nil
}

// deadline is a time after which something fails.
type deadline struct {
	at    time.Time // zero: never
	timer *time.Timer
}

// set sets the time, at which wake is called.
func (d *deadline) set(t time.Time, wake func()) {
	d.stop()
	d.at = t
	switch wait := time.Until(t); {
	case t.IsZero() || wait <= 0:
	case d.timer == nil:
		d.timer = time.AfterFunc(wait, wake)
	default:
		d.timer.Reset(wait)
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }
