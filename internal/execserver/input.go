//go:build linux

package execserver

import (
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// input is what the tool has yet to take: at most execproto.MuxWindow bytes, in
// buffers that all but the first and the last are full.
type input struct {
	mu      sync.Mutex
	more    sync.Cond
	chunks  []chunk
	pending int  // bytes that came and were not granted anew
	ended   bool // no more will come
	closed  bool // nobody takes any
}

// chunk is the beginning of a buffer.
type chunk struct {
	buf *buffer
	end int
}

func newInput() *input {
	in := &input{}
	in.more.L = &in.mu
	return in
}

// push queues p and reports whether there was room for it. What comes for a
// tool that takes nothing is dropped.
func (in *input) push(p []byte) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || in.ended {
		return true
	}
	if in.pending+len(p) > execproto.MuxWindow {
		return false
	}
	in.pending += len(p)
	for len(p) > 0 {
		p = p[in.fill(p):]
	}
	in.more.Signal()
	return true
}

// fill copies as much of p as the last buffer takes.
func (in *input) fill(p []byte) int {
	if n := len(in.chunks); n == 0 || in.chunks[n-1].end == len(buffer{}) {
		buf, _ := buffers.Get().(*buffer)
		in.chunks = append(in.chunks, chunk{buf: buf})
	}
	last := &in.chunks[len(in.chunks)-1]
	n := copy(last.buf[last.end:], p)
	last.end += n
	return n
}

// next waits for the next buffer. It returns none when there will be no more,
// and whether that is because the input has ended.
func (in *input) next() (c chunk, ended bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.chunks) == 0 && !in.ended && !in.closed {
		in.more.Wait()
	}
	if len(in.chunks) == 0 || in.closed {
		return chunk{}, !in.closed
	}
	c = in.chunks[0]
	in.chunks = in.chunks[1:]
	return c, false
}

// granted notes that n more bytes may come.
func (in *input) granted(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pending -= n
}

// end says that no more will come.
func (in *input) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	in.more.Signal()
}

// close says that nobody will take any more.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, c := range in.chunks {
		buffers.Put(c.buf)
	}
	in.chunks = nil
	in.more.Signal()
}

// feed gives the tool its input. A tool that takes no more leaves the rest to
// us: its client must still be able to send it.
func (c *call) feed(t *tool) {
	broken := false
	for {
		chunk, ended := c.in.next()
		if ended {
			t.endInput()
		}
		if chunk.buf == nil {
			return
		}
		if !broken {
			_, err := t.in.Write(chunk.buf[:chunk.end])
			broken = err != nil
		}
		buffers.Put(chunk.buf)
		c.in.granted(chunk.end) // before the proxy can know
		c.credit(chunk.end)
	}
}
