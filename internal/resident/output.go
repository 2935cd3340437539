package resident

import (
	"context"
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// grantEvery is how much output is passed on before the server may send as much
// again: a part of the window, so that it need not wait while it is being told.
const grantEvery = execproto.MuxWindow / 4

// output is what a tool wrote, in order: its bytes, and to which stream how many
// of them belong.
type output struct {
	data  []byte
	parts []part
}

type part struct {
	stream execproto.MuxType
	size   int32
}

func (o *output) add(stream execproto.MuxType, p []byte) {
	o.data = append(o.data, p...)
	if n := len(o.parts); n > 0 && o.parts[n-1].stream == stream {
		o.parts[n-1].size += int32(len(p)) //nolint:gosec // at most MuxWindow
		return
	}
	o.parts = append(o.parts, part{stream, int32(len(p))}) //nolint:gosec // at most MaxPayload
}

// receive takes output that came over the link. The window bounds it.
func (c *call) receive(stream execproto.MuxType, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unacked+len(p) > execproto.MuxWindow {
		return fmt.Errorf("%w: more output than was granted", execproto.ErrFrame)
	}
	c.unacked += len(p)
	c.out.add(stream, p)
	c.changed.Broadcast()
	return nil
}

// next waits for output and returns all there is, or how the call ended when
// everything was passed on. The buffers of used are used again.
func (c *call) next(used output) (output, *outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out.parts) == 0 && c.ended == nil {
		c.changed.Wait()
	}
	if c.dropped || len(c.out.parts) == 0 {
		return output{}, c.ended
	}
	got := c.out
	c.out = output{used.data[:0], used.parts[:0]}
	return got, nil
}

// deliver passes on the output until the call has ended, and returns its exit
// code. A tool that ended by itself keeps its code if nothing of its output was
// lost, even when ctx ended since.
func (c *call) deliver(ctx context.Context) (int, error) {
	end, lost := c.carry(ctx)
	c.mu.Lock()
	ending := c.ending
	c.mu.Unlock()
	if ctx.Err() != nil && (ending || lost || end.err != nil) {
		return 0, context.Cause(ctx)
	}
	return end.code, end.err
}

// carry passes on the output, and returns how the call ended and whether some
// of it could not be passed on.
func (c *call) carry(ctx context.Context) (end *outcome, lost bool) {
	if c.pipes != nil {
		return c.pipes.carry(c, ctx.Done())
	}
	w := writer{call: c}
	var out output
	for {
		if out, end = c.next(out); end != nil {
			return end, w.lost
		}
		w.write(out)
	}
}

// writer passes on the output of a call.
type writer struct {
	call *call
	lost bool // some could not be written
	owed int  // bytes passed on that the server has no credit for yet
}

func (w *writer) write(out output) {
	for _, p := range out.parts {
		data := out.data[:p.size]
		out.data = out.data[p.size:]
		for len(data) > 0 {
			n := min(len(data), execproto.MaxPayload)
			w.pass(p.stream, data[:n])
			data = data[n:]
		}
	}
}

// pass writes to one stream. Output that nobody takes ends the call; until that
// has happened it is dropped, lest the tool be stuck in a write.
func (w *writer) pass(stream execproto.MuxType, p []byte) {
	if dst := w.call.stream[stream]; dst != nil && !w.lost {
		if _, err := dst.Write(p); err != nil {
			w.lost = true
			w.call.fail(outputError(err))
		}
	}
	if w.owed += len(p); w.owed >= grantEvery {
		w.call.grant(w.owed)
		w.owed = 0
	}
}

// grant lets the server send n more bytes of output.
func (c *call) grant(n int) {
	c.mu.Lock()
	c.unacked -= n
	over := c.ended != nil
	c.mu.Unlock()
	if !over {
		l := c.link
		l.check(l.out.WriteUint32(execproto.MuxCredit, c.number, uint32(n))) //nolint:gosec // at most MuxWindow
	}
}
