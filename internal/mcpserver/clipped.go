package mcpserver

import (
	"fmt"
	"strings"
	"sync"
)

// headSize and tailSize are how much is kept of an output, of its beginning and of its
// end, in bytes. It goes into a model's context, where more does harm.
const (
	headSize = 16 << 10
	tailSize = 48 << 10
)

// clipped keeps the beginning and the end of what is written to it.
type clipped struct {
	mu    sync.Mutex
	head  []byte
	tail  []byte // at most twice tailSize
	total int64
}

// Write implements io.Writer.
func (c *clipped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	c.total += int64(n)
	room := min(headSize-len(c.head), len(p))
	c.head = append(c.head, p[:room]...)
	p = p[room:]
	if len(p) > tailSize {
		p = p[len(p)-tailSize:]
	}
	c.tail = append(c.tail, p...)
	if len(c.tail) > 2*tailSize {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-tailSize:]...)
	}
	return n, nil
}

// size returns how many bytes were written.
func (c *clipped) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// cut reports whether some of it is not kept.
func (c *clipped) cut() bool { return c.size() > headSize+tailSize }

// String returns what is kept as text, with a line in place of what is not.
func (c *clipped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total <= headSize+tailSize {
		return text(append(append([]byte(nil), c.head...), c.tail...))
	}
	tail := c.tail[max(len(c.tail)-tailSize, 0):]
	return text(c.head) + fmt.Sprintf("\n[... %d bytes left out ...]\n", c.total-int64(len(c.head)+len(tail))) + text(tail)
}

// text returns bytes of any encoding as what JSON can carry.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }
