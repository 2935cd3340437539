//go:build linux

package execserver

import (
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// window counts how many bytes of output the proxy is ready to take. The two
// outputs of a call share it, and neither keeps any of it while it has nothing
// to send.
type window struct {
	mu   sync.Mutex
	more sync.Cond
	n    int
	free bool // without a limit
}

func newWindow(n int) *window {
	w := &window{n: n}
	w.more.L = &w.mu
	return w
}

// take returns how many bytes may be sent, at most limit, and counts them as sent.
func (w *window) take(limit int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.free {
		return limit
	}
	n := max(0, min(w.n, limit))
	w.n -= n
	return n
}

// give adds to the window. More than all of it is never under way.
func (w *window) give(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n = min(w.n+n, execproto.MuxWindow)
	w.more.Broadcast()
}

// wait waits until something may be sent.
func (w *window) wait() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.n <= 0 && !w.free {
		w.more.Wait()
	}
}

// open takes the limit away.
func (w *window) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = true
	w.more.Broadcast()
}
