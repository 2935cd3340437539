package execproxy

import (
	"fmt"
	"io"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// inbox holds the input that a version 3 client sent and the tool has not read
// yet. The client's credit bounds it, so receiving never waits.
type inbox struct {
	grant func(n uint32) error // sends FrameCredit

	mu      sync.Mutex
	arrived sync.Cond
	buf     []byte
	credit  int // bytes the client may still send
	read    int // bytes read but not granted again yet
	eof     bool
	err     error // set by close
}

func newInbox(grant func(uint32) error) *inbox {
	b := &inbox{grant: grant, credit: execproto.InitialCredit}
	b.arrived.L = &b.mu
	return b
}

// receive takes the payload of a FrameStdin. What comes after close is dropped:
// the client cannot know yet.
func (b *inbox) receive(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil
	}
	if b.eof {
		return fmt.Errorf("%w: input after its end", execproto.ErrFrame)
	}
	if len(p) > b.credit {
		return fmt.Errorf("%w: %d bytes of input with a credit of %d", execproto.ErrFrame, len(p), b.credit)
	}
	b.credit -= len(p)
	b.buf = append(b.buf, p...)
	b.arrived.Broadcast()
	return nil
}

// receiveEOF takes a FrameStdinEOF.
func (b *inbox) receiveEOF(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) > 0 || b.eof && b.err == nil {
		return fmt.Errorf("%w: end of input", execproto.ErrFrame)
	}
	b.eof = true
	b.arrived.Broadcast()
	return nil
}

// close makes reads fail with err.
func (b *inbox) close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.buf = nil
	b.arrived.Broadcast()
}

// Read implements io.Reader. The credit for what was read is sent before Read
// returns, but not while holding the lock: the client may be slow.
func (b *inbox) Read(p []byte) (int, error) {
	n, credit, err := b.next(p)
	if credit > 0 {
		if gerr := b.grant(credit); gerr != nil && err == nil {
			err = gerr
		}
	}
	return n, err
}

// next waits for input and returns how much was copied to p and how much
// credit to send. Credit is sent for a full payload at a time: a client is
// never left without, since InitialCredit is several of those.
func (b *inbox) next(p []byte) (n int, credit uint32, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.buf) == 0 && b.err == nil && !b.eof && len(p) > 0 {
		b.arrived.Wait()
	}
	switch {
	case b.err != nil:
		return 0, 0, b.err
	case len(b.buf) == 0 && b.eof:
		return 0, 0, io.EOF
	}
	n = copy(p, b.buf)
	b.buf = b.buf[:copy(b.buf, b.buf[n:])]
	b.read += n
	if b.read >= execproto.MaxPayload && !b.eof {
		b.credit += b.read
		credit, b.read = uint32(b.read), 0 //nolint:gosec // at most InitialCredit
	}
	return n, credit, nil
}
