//go:build linux

package shim

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// incoming are the frames from the proxy.
type incoming struct {
	buffered *bufio.Reader // of the connection
	frames   *execproto.FrameReader
	pipe     *outputPipe // nil: standard output is none
}

const (
	// passedOn is the type of a frame that needs nothing more done.
	passedOn execproto.FrameType = 0
	// headBuffer is how much is read at once where a frame's head is expected.
	headBuffer = 16 << 10
)

// writeError says that standard output could not be written to.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// next returns the next frame. A large piece of standard output goes from the
// connection into a pipe without being copied.
func (in incoming) next() (execproto.Frame, error) {
	t, n, err := in.frames.Next()
	if err != nil {
		return execproto.Frame{}, err
	}
	if in.pipe != nil && t == execproto.FrameStdout && n > 2*headBuffer {
		return execproto.Frame{Type: passedOn}, in.passOn(n)
	}
	payload, err := in.frames.Payload(n)
	return execproto.Frame{Type: t, Payload: payload}, err
}

// passOn passes on n bytes of standard output: first what was read already.
func (in incoming) passOn(n int) error {
	head, err := in.buffered.Peek(min(n, in.buffered.Buffered()))
	if err != nil {
		return err
	}
	if _, err := os.Stdout.Write(head); err != nil {
		return writeError{err}
	}
	_, _ = in.buffered.Discard(len(head)) // it is there
	return in.pipe.take(n - len(head))
}

// outputPipe is standard output where it is a pipe, and the connection from which
// it is filled.
type outputPipe struct {
	conn  syscall.RawConn
	large bool // it has the size for large pieces
}

const stdout = 1 // File.Fd would make it blocking, for others as well

// pipeFrom returns nil when standard output is no pipe.
func pipeFrom(conn net.Conn) *outputPipe {
	info, err := os.Stdout.Stat()
	c, ok := conn.(syscall.Conn)
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 || !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return &outputPipe{conn: raw}
}

// take moves n bytes from the connection into the pipe, which is enlarged for
// large pieces: whoever reads it and we then wake less often.
func (p *outputPipe) take(n int) error {
	if n >= execproto.MaxOutput/4 && !p.large {
		p.large = true
		_, _ = unix.FcntlInt(stdout, unix.F_SETPIPE_SZ, execproto.MaxOutput) // a matter of speed only
	}
	for n > 0 {
		m, err := p.move(n)
		if err != nil {
			return err
		}
		n -= m
	}
	return nil
}

// move waits for the connection and moves up to n bytes.
func (p *outputPipe) move(n int) (moved int, err error) {
	readErr := p.conn.Read(func(fd uintptr) (done bool) {
		moved, done, err = splice(int(fd), n)
		return done
	})
	switch {
	case readErr != nil:
		return 0, readErr
	case errors.Is(err, unix.ECONNRESET):
		return 0, err
	case err != nil:
		return 0, writeError{err}
	case moved == 0:
		return 0, io.ErrUnexpectedEOF
	}
	return moved, nil
}

// splice moves up to n bytes from a connection that never blocks to standard
// output, and reports whether there were any, their end, or an error. It waits for
// a full pipe, also for one that others made non-blocking.
func splice(conn, n int) (moved int, done bool, err error) {
	for {
		m, err := unix.Splice(conn, nil, stdout, nil, n, unix.SPLICE_F_MOVE)
		switch {
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EAGAIN):
			return int(m), true, err
		case writable(0):
			return 0, false, nil // it was the connection
		default:
			writable(-1)
		}
	}
}

// writable waits up to timeout milliseconds, -1 for ever, until standard output
// takes more or nobody reads it.
func writable(timeout int) bool {
	fds := []unix.PollFd{{Fd: stdout, Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, timeout)
	return err == nil && n > 0
}
