package execproxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const timeoutText = "aifo-coder proxy timeout\n"

// serveStreamed runs call in version 2: both streams merged into one chunked
// body as they come, and the exit code in a trailer.
func (p *Proxy) serveStreamed(ctx context.Context, w http.ResponseWriter, c *call, call Call) *refusal {
	s := &chunks{w: w, id: c.id, fail: c.cancel}
	call.Stdout, call.Stderr = s, s
	out := p.run(ctx, c, call, nil)
	if errors.Is(out.err, errTimeout) {
		_, _ = io.WriteString(s, timeoutText) // finish sees the error
		out.err = nil
	}
	if out.err == nil {
		out.err = s.finish(out.code)
	}
	if out.err == nil {
		return nil
	}
	if s.begun {
		// The status line said 200. Without the trailer the client can tell.
		panic(http.ErrAbortHandler)
	}
	return refuseFailed(out.err)
}

// chunks writes the body of a version 2 reply, each Write as one chunk that is
// sent at once. The head is held back until the first of them, so that a call
// that could not be run is answered with a plain reply.
type chunks struct {
	w    http.ResponseWriter
	id   string
	fail context.CancelCauseFunc

	mu    sync.Mutex
	begun bool
	err   error // why a chunk could not be sent; none is sent after it
}

// Write implements io.Writer. It blocks while the client does not read.
func (s *chunks) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) == 0 || s.err != nil {
		return 0, s.err
	}
	s.begin()
	if _, s.err = s.w.Write(p); s.err == nil {
		s.err = http.NewResponseController(s.w).Flush()
	}
	if s.err != nil {
		s.fail(errGone)
		return 0, s.err
	}
	return len(p), nil
}

func (s *chunks) begin() {
	if s.begun {
		return
	}
	s.begun = true
	h := s.w.Header()
	h["Date"] = nil
	h.Set("Content-Type", contentType)
	h.Set("Trailer", execproto.HeaderExitCode)
	h.Set("Connection", "close")
	h.Set(execproto.HeaderRespID, s.id)
	s.w.WriteHeader(http.StatusOK)
}

// finish sets the trailer, unless output was lost; then it returns why.
func (s *chunks) finish(code int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.begin()
	s.w.Header().Set(execproto.HeaderExitCode, strconv.Itoa(code))
	return nil
}
