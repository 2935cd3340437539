package session

import (
	"regexp"
	"sync"
)

// heldMessages keeps what the docker command itself says while the agent has the
// terminal, where it would only disturb; the agent's own output is not among it, since
// a terminal has one stream. The beginning is kept.
type heldMessages struct {
	mu   sync.Mutex
	text []byte
}

// maxHeld is more than docker has to say.
const maxHeld = 64 << 10

// Write implements io.Writer.
func (h *heldMessages) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, p[:min(len(p), maxHeld-len(h.text))]...)
	return len(p), nil
}

// String returns the messages.
func (h *heldMessages) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.text)
}

// stoppedRE is what engines say when a container's first process ended while it was
// being started.
var stoppedRE = regexp.MustCompile(`cannot start a (stopped process|container that has stopped)|cannot start an already running container|container process is already dead`)

// interrupted reports whether the user pressed Ctrl-C while the container started:
// docker has the terminal by then, so the key went to the container, and ended it.
func (h *heldMessages) interrupted() bool { return stoppedRE.MatchString(h.String()) }
