package execproxy

import (
	"net/http"
	"sync/atomic"
)

// maxHeld bounds what is held in memory of what clients with the token have sent, in bytes: heads and bodies as
// they arrive, arguments as long as their call is under way, and messages of the Model Context Protocol. It is a
// part of a machine's memory that can be spared, and has room for nearly 1000 calls, each with all that a usual command
// line holds (128 KiB), or for 50 with the longest arguments that a system takes.
const maxHeld = 256 << 20

// TooMuchHeld is why a request is refused that the budget has no room for.
const TooMuchHeld = "the arguments and input of the calls under way take too much memory; try again when some have ended"

const (
	// argWeight is what an argument or variable takes beside its bytes: its string in a
	// slice that grows, and in the copy of that slice that is the call's.
	argWeight = 48
	// copies is how often the bytes of arguments are there, since an executor sends them on.
	copies = 2
)

// budget limits the memory of several holders together, in bytes. Nobody waits for it: who
// waited while he holds a part could wait for himself.
type budget struct {
	max  int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.max {
		return true
	}
	b.give(n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// Held is what one request has of the budget of the session. It is for one goroutine at a time.
type Held struct {
	budget *budget
	n      int64
}

// Hold returns a Held of nothing.
func (p *Proxy) Hold() *Held { return &Held{budget: &p.held} }

// Set says that n bytes are held now, and reports whether there is room for them; if not, what
// was held before still counts.
func (h *Held) Set(n int64) bool {
	if n > h.n && !h.budget.take(n-h.n) {
		return false
	}
	if n < h.n {
		h.budget.give(h.n - n)
	}
	h.n = n
	return true
}

// Free says that nothing is held any more.
func (h *Held) Free() { h.Set(0) }

// headWeight is how much memory the head of r takes, in bytes: what was read, and the
// strings and maps that were made of it.
func headWeight(r *http.Request) int64 {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		n += len(name) + argWeight
		for _, v := range values {
			n += len(v) + argWeight
		}
	}
	return copies * int64(n)
}

// weight is how much memory the request takes once its body is decoded, in bytes.
func (req *request) weight() int64 {
	words := len(req.tool) + len(req.cmd) + len(req.kind) + len(req.path) + len(req.cwd) + len(req.sigID) + len(req.sigName)
	return copies*int64(words+req.argBytes) + argWeight*int64(len(req.args)+len(req.env))
}
