package execproxy

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Observed is what is known of a tool call when it begins.
type Observed struct {
	ID    string // exec id; empty for a call that was refused
	Kind  string // empty where none was chosen
	Argv  []string
	Cwd   string
	Proto string // version of the protocol; empty for a call that came by none
	Began time.Time
}

// Streams are what a tool had as its standard streams.
type Streams string

// The kinds of streams.
const (
	StreamsFiles    Streams = "files"    // the client's own
	StreamsTerminal Streams = "terminal" // one of its own
	StreamsPipes    Streams = "pipes"    // whose bytes pass through the proxy
)

// Cause says in a word why a call did not end by itself.
type Cause string

// The causes.
const (
	CauseRefused Cause = "refused" // a check did not let it through
	CauseTimeout Cause = "timeout" // the time limit
	CauseGone    Cause = "gone"    // the client went away
	CauseEnding  Cause = "ending"  // the session ends
	CauseFailed  Cause = "failed"  // outside the tool: its sidecar, or the way to it
)

// Ended is how a tool call ended.
type Ended struct {
	Duration time.Duration
	Waited   time.Duration // of Duration, for the sidecar to start
	Code     int           // exit code, as the client gets it
	Cause    Cause         // empty: the tool ended by itself
	Message  string        // the cause for people
	Streams  Streams       // empty: no tool was started

	// Bytes that went to the tool and came from it; nil: unknown. Where both outputs
	// are one, all is in Stdout.
	Stdin, Stdout, Stderr *int64
}

// observation is what is told of one call. A nil one is told to nobody.
type observation struct {
	ended func(Ended)
	began time.Time
	once  sync.Once

	waited  time.Duration
	streams Streams
	merged  bool // both outputs are one
	counts  struct{ in, out, err atomic.Int64 }
}

// observe tells of a call that begins.
func (p *Proxy) observe(o Observed) *observation {
	if p.cfg.Observe == nil {
		return nil
	}
	return &observation{ended: p.cfg.Observe(o), began: o.Began}
}

// observeRefusal tells of a request of the agent that a check did not let through. Of
// requests without the token, and of those that are none for a tool, nothing is told.
func (p *Proxy) observeRefusal(req *request, kind string, ref *refusal) {
	if p.cfg.Observe == nil || !req.authorized || req.tool == "" {
		return
	}
	began := time.Now()
	o := p.observe(Observed{Kind: kind, Argv: append([]string{req.program()}, req.args...), Cwd: req.cwd, Proto: req.proto, Began: began})
	o.tell(Ended{Code: ref.exit, Cause: CauseRefused, Message: strings.TrimSpace(ref.body)})
}

// wait notes how long the call waited for its sidecar.
func (o *observation) wait(d time.Duration) {
	if o != nil {
		o.waited += d
	}
}

// count has the bytes of a call counted that pass through the proxy.
func (o *observation) count(c Call) Call {
	if o == nil {
		return c
	}
	switch {
	case len(c.Files) > 0:
		o.streams = StreamsFiles
		return c
	case c.Terminal != nil:
		o.streams = StreamsTerminal
	default:
		o.streams = StreamsPipes
	}
	if c.Stdin != nil {
		c.Stdin = countedReader{c.Stdin, &o.counts.in}
	}
	o.merged = c.Stdout == c.Stderr
	c.Stdout = &countedWriter{c.Stdout, &o.counts.out}
	if o.merged {
		c.Stderr = c.Stdout // an executor may make one pipe of them, which keeps the order
		return c
	}
	c.Stderr = &countedWriter{c.Stderr, &o.counts.err}
	return c
}

// end tells how the call ended; what comes first counts.
func (o *observation) end(out outcome) {
	if o == nil {
		return
	}
	e := Ended{Duration: time.Since(o.began), Waited: o.waited, Code: out.code, Streams: o.streams}
	if out.err != nil {
		e.Cause, e.Message = causeOf(out.err), out.err.Error()
	}
	if o.streams == StreamsTerminal || o.streams == StreamsPipes {
		in, stdout, stderr := o.counts.in.Load(), o.counts.out.Load(), o.counts.err.Load()
		e.Stdin, e.Stdout = &in, &stdout
		if !o.merged {
			e.Stderr = &stderr
		}
	}
	o.tell(e)
}

func (o *observation) tell(e Ended) {
	if o.ended != nil {
		o.once.Do(func() { o.ended(e) })
	}
}

func causeOf(err error) Cause {
	switch {
	case errors.Is(err, errTimeout):
		return CauseTimeout
	case errors.Is(err, errGone):
		return CauseGone
	case errors.Is(err, errShutdown):
		return CauseEnding
	}
	return CauseFailed
}

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n *atomic.Int64
}

// Read implements io.Reader.
func (c countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// countedWriter counts what is written.
type countedWriter struct {
	w io.Writer
	n *atomic.Int64
}

// Write implements io.Writer.
func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}
