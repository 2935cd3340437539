package execproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Version 1 has to hold the output until the tool's end. maxStream is for one
// stream of one call, maxBuffered for all calls together.
const (
	maxStream   = 64 << 20
	maxBuffered = 512 << 20
)

// serveBuffered runs call in version 1: all of standard output, then all of
// standard error, and the exit code in a header.
func (p *Proxy) serveBuffered(ctx context.Context, w http.ResponseWriter, c *call, call Call) *refusal {
	stdout, stderr := &buffer{budget: &p.buffers, fail: c.cancel}, &buffer{budget: &p.buffers, fail: c.cancel}
	defer stdout.free()
	defer stderr.free()
	call.Stdout, call.Stderr = stdout, stderr
	out := p.run(ctx, c, call, nil)
	// A tool may end well although its output was cut off: that is a failure.
	if err := cmp.Or(out.err, stdout.err, stderr.err); err != nil {
		return refuseFailed(err)
	}
	plain(w, http.StatusOK, out.code, int64(len(stdout.data)+len(stderr.data)))
	if _, err := w.Write(stdout.data); err == nil {
		w.Write(stderr.data)
	}
	return nil
}

// refuseFailed is the plain reply to a call that was kept from ending by
// itself. There is none to a client that is gone.
func refuseFailed(err error) *refusal {
	switch {
	case errors.Is(err, errGone):
		panic(http.ErrAbortHandler)
	case errors.Is(err, errTimeout):
		return replyTimeout
	}
	return refuseError(err)
}

// buffer holds one stream of a version 1 call. Output over the limit ends the
// call: cutting it off would be silent, and a file would let a container fill
// the host's disk.
type buffer struct {
	budget *budget
	fail   context.CancelCauseFunc
	data   []byte
	err    error
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	if b.err == nil && (len(b.data)+len(p) > maxStream || !b.budget.take(int64(len(p)))) {
		b.err = fmt.Errorf("more than %d MiB of output for protocol 1; use protocol 2", maxStream>>20)
		b.fail(b.err)
	}
	if b.err != nil {
		return 0, b.err
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

func (b *buffer) free() { b.budget.give(int64(len(b.data))) }
