//go:build linux

package shim

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// stream exchanges frames until the tool has ended, with its input and output
// among them.
func (c call) stream(conn net.Conn, r *bufio.Reader, signals *relay) int {
	w := execproto.NewFrameWriter(conn)
	credit := newCredit(execproto.InitialCredit)
	defer c.term.restore()
	signals.mu.Lock()
	signals.forward(w, c.term, c.term.resized)
	signals.mu.Unlock()
	go c.term.guard(func() { sendInput(w, c.input(signals), credit) })
	return c.receive(conn, r, signals, credit.add)
}

// input is what the tool reads. At a terminal of its own it has signals made of
// keys.
func (c call) input(signals *relay) io.Reader {
	if !c.term.keys() {
		return os.Stdin
	}
	return keyboard{signals}
}

type keyboard struct{ signals *relay }

func (k keyboard) Read(p []byte) (int, error) {
	n, err := os.Stdin.Read(p)
	k.signals.typed(p[:n])
	return n, err
}

// native gives the tool our own streams and waits until it has ended.
func (c call) native(conn net.Conn, r *bufio.Reader, signals *relay) int {
	c.term = nil // its modes are the tool's affair now
	if err := c.begin(conn, signals); err != nil {
		return c.fail(execproto.ExitLost, "cannot hand over standard input and output: %v", err)
	}
	return c.receive(conn, r, signals, func(uint32) {})
}

// begin hands over our streams. The tool may run before this is done: signals
// wait meanwhile, so that it gets them, but after the streams.
func (c call) begin(conn net.Conn, signals *relay) error {
	signals.mu.Lock()
	defer signals.mu.Unlock()
	if err := c.streams.handOver(conn); err != nil {
		return err
	}
	signals.forward(execproto.NewFrameWriter(conn), nil, func() (execproto.FrameType, []byte) {
		return execproto.FrameSignal, []byte("WINCH")
	})
	return nil
}

// receive takes the proxy's frames until the last one.
func (c call) receive(conn net.Conn, r *bufio.Reader, signals *relay, credit func(uint32)) int {
	in := incoming{buffered: r, frames: execproto.NewFrameReader(r), pipe: pipeFrom(conn)}
	told := false
	for {
		f, err := in.next()
		var failed writeError
		if err != nil && !errors.As(err, &failed) {
			return c.lost(err, told)
		}
		switch f.Type {
		case passedOn:
		case execproto.FrameStdout:
			_, err = os.Stdout.Write(f.Payload)
		case execproto.FrameStderr:
			_, err = os.Stderr.Write(f.Payload)
		case execproto.FrameCredit:
			var n uint32
			n, err = f.Uint32()
			credit(n)
		case execproto.FrameError:
			told = true
			c.fail(0, "%s", f.Payload)
		case execproto.FrameExit:
			code, err := f.Uint32()
			if err != nil {
				return c.lost(err, told)
			}
			return signals.finish(int(int32(code))) //nolint:gosec // sent as an int32
		}
		if err != nil {
			conn.Close() // the proxy ends the tool
			return c.broken(err)
		}
	}
}

// lost ends a call whose result is not known. When the proxy has told why,
// there is nothing to add.
func (c call) lost(err error, told bool) int {
	switch {
	case told:
		return execproto.ExitLost
	case errors.Is(err, execproto.ErrFrame):
		return c.fail(execproto.ExitLost, "%v from aifo-coder; the tool was ended", err)
	default:
		return c.fail(execproto.ExitLost, lostMessage)
	}
}

// broken ends a call whose output nobody can take.
func (c call) broken(err error) int {
	if errors.Is(err, syscall.EPIPE) {
		c.term.restore()
		dieOf(syscall.SIGPIPE) // as Go has it for writes to streams 1 and 2
	}
	return c.fail(execproto.ExitLost, "%v; the tool was ended", err)
}

// sendInput sends in, as far as the proxy has given credit. It reads only what
// it may send: the rest belongs to whoever reads the same input after us.
func sendInput(w *execproto.FrameWriter, in io.Reader, credit *credit) {
	buf := make([]byte, execproto.MaxPayload)
	for {
		n, err := in.Read(buf[:min(credit.wait(), len(buf))])
		if n > 0 {
			credit.take(n)
			if w.Write(execproto.FrameStdin, buf[:n]) != nil {
				return // the reading side notices as well
			}
		}
		if err != nil {
			_ = w.Write(execproto.FrameStdinEOF, nil)
			return
		}
	}
}

// credit counts how many bytes of input the proxy is ready to take.
type credit struct {
	mu   sync.Mutex
	more sync.Cond
	n    int
}

func newCredit(n int) *credit {
	c := &credit{n: n}
	c.more.L = &c.mu
	return c
}

func (c *credit) add(n uint32) {
	c.mu.Lock()
	c.n += int(n)
	c.mu.Unlock()
	c.more.Signal()
}

func (c *credit) take(n int) {
	c.mu.Lock()
	c.n -= n
	c.mu.Unlock()
}

// wait returns the credit as soon as there is some.
func (c *credit) wait() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n <= 0 {
		c.more.Wait()
	}
	return c.n
}
