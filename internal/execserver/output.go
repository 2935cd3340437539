//go:build linux

package execserver

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/stdpipe"
)

// buffer has room for one message, header and payload. Calls that have nothing
// to say hold none.
type buffer [front + execproto.MaxPayload]byte

// front is the room for a header, and before it what makes the payload aligned:
// the kernel then copies it about twice as fast.
const front = 4096

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// output is one of a tool's outputs, read without waiting.
type output struct {
	c    *call
	f    *os.File
	t    execproto.MuxType
	buf  *buffer // what was read; nil: nothing
	n    int
	last readResult
}

type readResult int

const (
	readData  readResult = iota
	readNone             // nothing there now
	readFull             // the window is closed
	readEnded            // end of file
)

// drainAll sends the tool's output until it ends. The channel is closed when no
// more is sent.
func (c *call) drainAll(t *tool) <-chan struct{} {
	var wg sync.WaitGroup
	for _, from := range t.outs {
		o := &output{c: c, f: from.File, t: from.t}
		wg.Add(1)
		go o.drain(wg.Done, from.File != t.tty)
	}
	drained := make(chan struct{})
	go func() {
		wg.Wait()
		close(drained)
	}()
	return drained
}

// drain sends the output until its end, or until it has been quiet for a while
// after the tool's end. Whoever still has it open then may go on writing, which
// is discarded: it would otherwise die of a SIGPIPE that it does not expect. A
// terminal is hung up instead, as all terminals are.
func (o *output) drain(over func(), discard bool) {
	defer func() { _ = o.f.Close() }()
	conn, err := o.f.SyscallConn()
	if err != nil {
		over()
		return
	}
	for o.step(conn) {
	}
	over()
	if discard && o.last != readEnded {
		o.discard(conn)
	}
}

// step reads and sends once, and reports whether there may be more.
func (o *output) step(conn syscall.RawConn) bool {
	if o.c.exited.Load() {
		_ = o.f.SetReadDeadline(time.Now().Add(stdpipe.Quiet))
	}
	err := stdpipe.Await(conn, func(fd int) bool { return o.try(fd) != readNone })
	if err != nil || o.last == readNone || o.last == readEnded {
		return false
	}
	if o.last == readFull {
		o.c.window.wait()
		return true
	}
	if !o.c.dropping.Load() {
		o.c.writeInPlace(o.t, o.buf[front-execproto.MuxHeaderLen:front+o.n])
	}
	buffers.Put(o.buf)
	return true
}

// try reads what is there, as far as it may be sent.
func (o *output) try(fd int) readResult {
	room := o.c.window.take(execproto.MaxPayload)
	if room == 0 {
		o.last = readFull
		return readFull
	}
	buf, _ := buffers.Get().(*buffer)
	n, err := stdpipe.Read(fd, buf[front:front+room])
	o.c.window.give(room - max(n, 0))
	switch {
	case n > 0:
		o.buf, o.n, o.last = buf, n, readData
		return o.last
	case errors.Is(err, unix.EAGAIN):
		o.last = readNone
	default: // a terminal says EIO when nobody has it open any more
		o.last = readEnded
	}
	buffers.Put(buf)
	return o.last
}

// discard reads until the end and forgets.
func (o *output) discard(conn syscall.RawConn) {
	_ = o.f.SetReadDeadline(time.Time{})
	_ = conn.Read(func(fd uintptr) bool {
		buf, _ := buffers.Get().(*buffer)
		defer buffers.Put(buf)
		for {
			if n, err := stdpipe.Read(int(fd), buf[:]); n <= 0 {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
}
