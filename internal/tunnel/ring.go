package tunnel

import (
	"bufio"
	"io"
	"sync"
)

// ring holds up to window bytes. An empty one takes no memory: most connections wait.
type ring struct {
	buf      *[window]byte // nil when empty
	start, n int
}

var rings = sync.Pool{New: func() any { return new([window]byte) }}

// write adds what fits of p, and returns how much that was.
func (r *ring) write(p []byte) int {
	p = p[:min(len(p), window-r.n)]
	if len(p) == 0 {
		return 0
	}
	if r.buf == nil {
		r.buf = rings.Get().(*[window]byte)
	}
	n := copy(r.buf[(r.start+r.n)%window:], p)
	copy(r.buf[:], p[n:])
	r.n += len(p)
	return len(p)
}

// read takes what fits into p, and returns how much that was.
func (r *ring) read(p []byte) int {
	p = p[:min(len(p), r.n)]
	if len(p) == 0 {
		return 0
	}
	n := copy(p, r.buf[r.start:])
	copy(p[n:], r.buf[:])
	r.start = (r.start + len(p)) % window
	r.n -= len(p)
	if r.n == 0 {
		r.drop()
	}
	return len(p)
}

// drop empties it.
func (r *ring) drop() {
	if r.buf != nil {
		rings.Put(r.buf)
	}
	*r = ring{}
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, readBuffer) }

func newWriter(w io.Writer) *bufio.Writer { return bufio.NewWriterSize(w, readBuffer) }
