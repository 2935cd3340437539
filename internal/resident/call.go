package resident

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

// errStuck ends a call whose tool outlived all that can be done to it.
var errStuck = errors.New("the tool did not end")

// outcome is how a call ended: with a code, or not by itself.
type outcome struct {
	code int
	err  error
}

func outcomeOf(m execproto.MuxMessage) (outcome, error) {
	if m.Type == execproto.MuxFailed {
		return outcome{err: errors.New(string(m.Payload))}, nil
	}
	code, err := m.Uint32()
	return outcome{code: int(int32(code))}, err //nolint:gosec // sent as an int32
}

// call is one call under way. Three parties work on it: the reader of its link,
// which must never wait; the goroutine of Run, which writes the output; and one
// that reads the input.
type call struct {
	spec   execproto.Start
	stdin  io.Reader
	stream map[execproto.MuxType]io.Writer
	files  []*os.File // that go along with the call
	pipes  *pipes     // nil: the streams are the files of the client, or go over the link
	term   *execproxy.Terminal
	grace  time.Duration
	fail   context.CancelCauseFunc // ends the call

	link    *link
	number  uint32
	started chan struct{} // closed when the call was sent
	done    chan struct{} // closed when Run returns

	mu       sync.Mutex
	changed  sync.Cond
	out      output
	unacked  int // bytes of output that came and are not granted again yet
	credit   int // bytes of input that may still be sent
	ended    *outcome
	ending   bool // MuxEnd was sent before the call ended
	dropped  bool // nobody wants the output any more
	finished bool // Run returns
}

func newCall(c execproxy.Call, grace time.Duration, fail context.CancelCauseFunc) *call {
	run := &call{
		spec: execproto.Start{
			ID: c.ID, Kind: c.Kind, Cwd: c.Cwd, Argv: c.Argv, Env: c.Env, Stdin: c.Stdin != nil,
			GraceMS: uint32(grace.Milliseconds()), //nolint:gosec // seconds
		},
		stdin: c.Stdin, files: c.Files, term: c.Terminal, grace: grace, fail: fail,
		stream:  map[execproto.MuxType]io.Writer{execproto.MuxStdout: c.Stdout, execproto.MuxStderr: c.Stderr},
		started: make(chan struct{}), done: make(chan struct{}), credit: execproto.MuxWindow,
	}
	if t := c.Terminal; t != nil {
		run.spec.TTY, run.spec.Rows, run.spec.Cols = t.Streams, t.Size.Rows, t.Size.Cols
	}
	run.changed.L = &run.mu
	return run
}

// finish releases the goroutines of the call.
func (c *call) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	c.changed.Broadcast()
	close(c.done)
}

// run runs the call on its link and returns its exit code.
func (c *call) run(ctx context.Context) (int, error) {
	if c.link.files != nil && len(c.files) == 0 && c.term == nil {
		var err error
		if c.pipes, err = c.openPipes(); err != nil {
			c.link.remove(c.number)
			return 0, fmt.Errorf("make the tool's streams: %w", err)
		}
	}
	c.link.start(c, c.files)
	close(c.started)
	closeFiles(c.files) // the tool's end must be seen by who reads its output
	c.begin()
	defer context.AfterFunc(ctx, c.interrupt)()
	return c.deliver(ctx)
}

// begin begins to carry what goes to the tool.
func (c *call) begin() {
	switch {
	case c.pipes != nil:
		c.pipes.begin(c)
	case c.stdin != nil:
		go c.feed()
	}
	if c.term != nil {
		go c.resize()
	}
}

// send sends a message of a call that was started.
func (c *call) send(t execproto.MuxType, payload []byte) { c.link.send(t, c.number, payload) }

// interrupt has the server end the tool, and stops waiting for one that no
// signal ends.
func (c *call) interrupt() {
	c.mu.Lock()
	c.ending = c.ended == nil
	ending := c.ending
	c.mu.Unlock()
	if !ending {
		return
	}
	defer time.AfterFunc(3*c.grace+endSlack, c.abandon).Stop()
	c.send(execproto.MuxEnd, nil)
	<-c.done
}

// abandon lets Run return although the tool runs. The call keeps its number, and
// without credit its tool sends no more than the window.
func (c *call) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	c.end(outcome{err: errStuck})
}

// setEnd says how the call ended; what came first counts.
func (c *call) setEnd(out outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(out)
}

func (c *call) end(out outcome) {
	if c.ended == nil {
		c.ended = &out
	}
	c.changed.Broadcast()
}

// receiveCredit takes the server's leave to send more input.
func (c *call) receiveCredit(m execproto.MuxMessage) error {
	n, err := m.Uint32()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(c.credit)+int64(n) > execproto.MuxWindow {
		return fmt.Errorf("%w: credit of %d for what was not sent", execproto.ErrFrame, n)
	}
	c.credit += int(n)
	c.changed.Broadcast()
	return nil
}

// firstRead is the size of the first buffer for input: most calls have little or none.
const firstRead = 4 << 10

// feed sends the input. It reads only what it may send, and ends when Run has
// returned and the read with it.
func (c *call) feed() {
	buf := make([]byte, firstRead)
	for {
		room := c.awaitCredit()
		if room == 0 {
			return
		}
		n, err := c.stdin.Read(buf[:min(room, len(buf))])
		if !c.sendInput(buf[:n], err) {
			return
		}
		buf = grown(buf, n)
	}
}

// grown returns the buffer for the next read, after one that read n bytes.
func grown(buf []byte, n int) []byte {
	if n < len(buf) || n == execproto.MaxPayload {
		return buf
	}
	return make([]byte, min(4*n, execproto.MaxPayload))
}

// awaitEnd waits until it is known how the call ended.
func (c *call) awaitEnd() *outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.ended == nil {
		c.changed.Wait()
	}
	return c.ended
}

// awaitCredit returns how many bytes may be sent, 0 when the call is over.
func (c *call) awaitCredit() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.credit == 0 && c.ended == nil && !c.finished {
		c.changed.Wait()
	}
	if c.ended != nil || c.finished {
		return 0
	}
	return c.credit
}

func (c *call) takeCredit(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.credit -= n
}

// over reports whether the server has done with the call, or we have.
func (c *call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended != nil || c.finished
}

// sendInput sends what a read of the input returned and reports whether there
// is more to come. An input that broke off must not look like one that ended.
func (c *call) sendInput(p []byte, err error) (more bool) {
	if c.over() {
		return false
	}
	if len(p) > 0 {
		c.takeCredit(len(p))
		c.send(execproto.MuxStdin, p)
	}
	switch {
	case errors.Is(err, io.EOF):
		c.send(execproto.MuxStdinEOF, nil)
	case err != nil:
		c.fail(inputError(err))
	}
	return err == nil
}

func inputError(err error) error  { return fmt.Errorf("read the tool's input: %w", err) }
func outputError(err error) error { return fmt.Errorf("pass on the tool's output: %w", err) }

// resize passes on the size of the caller's terminal.
func (c *call) resize() {
	for {
		select {
		case s := <-c.term.Resized:
			c.send(execproto.MuxResize, execproto.EncodeSize(s.Rows, s.Cols))
		case <-c.done:
			return
		}
	}
}
