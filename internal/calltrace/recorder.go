package calltrace

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/redact"
)

const (
	// queueSize is how many records may wait to be written.
	queueSize = 1024
	// underWay is how long a call runs before it is written down as one that does: most
	// calls are over by then.
	underWay = 500 * time.Millisecond
)

// Sink takes records, one at a time. It may take its time.
type Sink interface {
	// Record takes a record of a call that has ended, or that runs.
	Record(r Record)
	// Missed says that so many records found no room, once and before the end.
	Missed(n int64)
}

// Config says what a Recorder keeps.
type Config struct {
	Session string
	NoArgs  bool     // arguments are not kept
	Secrets []string // that must not be in what is kept
	Sinks   []Sink
}

// Recorder hands what happens to calls to its sinks, without making them wait.
type Recorder struct {
	cfg      Config
	underWay time.Duration

	mu      sync.RWMutex // guards closed and the closing of queue
	closed  bool
	queue   chan Record
	missed  atomic.Int64
	drained chan struct{}
}

// NewRecorder returns a Recorder, which must be closed.
func NewRecorder(cfg Config) *Recorder {
	cfg.Secrets = redact.Known(cfg.Secrets)
	r := &Recorder{cfg: cfg, underWay: underWay, queue: make(chan Record, queueSize), drained: make(chan struct{})}
	go r.drain()
	return r
}

// drain hands the records to the sinks, in an order in which a call begins before it ends.
func (r *Recorder) drain() {
	defer close(r.drained)
	for rec := range r.queue {
		r.finish(&rec)
		for _, s := range r.cfg.Sinks {
			s.Record(rec)
		}
	}
	if n := r.missed.Load(); n > 0 {
		for _, s := range r.cfg.Sinks {
			s.Missed(n)
		}
	}
}

// finish does what a call need not wait for.
func (r *Recorder) finish(rec *Record) {
	if rec.Args != nil {
		rec.Args = redact.Args(rec.Args, r.cfg.Secrets)
	}
	rec.Tool, rec.Cwd, rec.Reason = redact.Text(rec.Tool, r.cfg.Secrets), redact.Text(rec.Cwd, r.cfg.Secrets), redact.Text(rec.Reason, r.cfg.Secrets)
	left := maxArgBytes
	for i, a := range rec.Args {
		short := jsonlog.Clean(a, left)
		rec.ArgsCut = rec.ArgsCut || len(a) > left
		rec.Args[i] = short
		left = max(left-len(short), 0)
	}
	*rec = rec.clean()
}

// Observe is execproxy.Config's Observe.
func (r *Recorder) Observe(o execproxy.Observed) func(execproxy.Ended) {
	begun := r.begin(o)
	var running *time.Timer
	if o.ID != "" {
		running = time.AfterFunc(r.underWay, func() {
			late := r.withArgs(begun, o.Argv)
			late.State = Running
			late.DurationMS = milliseconds(time.Since(o.Began))
			r.put(late)
		})
	}
	return func(e execproxy.Ended) {
		if running != nil {
			running.Stop() // one that is just being written is of use to nobody, and does no harm
		}
		r.put(end(r.withArgs(begun, o.Argv), e))
	}
}

func (r *Recorder) begin(o execproxy.Observed) Record {
	return Record{
		Time: o.Began.Round(0).UTC(), Session: r.cfg.Session, ID: o.ID, Tool: cut(o.Argv[0], maxText),
		Kind: o.Kind, Cwd: cut(o.Cwd, maxText), Protocol: o.Proto,
	}
}

// withArgs adds the arguments, of which nothing is kept that is not written: a queue full
// of argument lists of two megabytes would be a way to take the host's memory.
func (r *Recorder) withArgs(rec Record, argv []string) Record {
	if r.cfg.NoArgs {
		return rec
	}
	rec.Args = make([]string, 0, min(len(argv)-1, maxArgs))
	left := 2 * maxArgBytes // the rest goes when the secrets are out: half a one would not be found
	for _, a := range argv[1:] {
		if len(rec.Args) == maxArgs || left == 0 {
			rec.ArgsCut = true
			break
		}
		rec.ArgsCut = rec.ArgsCut || len(a) > left
		a = cut(a, left)
		left -= len(a)
		rec.Args = append(rec.Args, a)
	}
	return rec
}

// cut returns at most most bytes of s, in memory of their own.
func cut(s string, most int) string { return strings.Clone(s[:min(len(s), most)]) }

func end(rec Record, e execproxy.Ended) Record {
	rec.DurationMS, rec.WaitMS = milliseconds(e.Duration), milliseconds(e.Waited)
	rec.StdinBytes, rec.StdoutBytes, rec.StderrBytes = e.Stdin, e.Stdout, e.Stderr
	rec.ExitCode, rec.Streams = &e.Code, string(e.Streams)
	rec.State, rec.Code, rec.Reason = Ended, string(e.Cause), cut(e.Message, 2*maxText)
	switch e.Cause {
	case "":
		rec.Signal = signals[e.Code-128]
	case execproxy.CauseRefused:
		rec.State = Refused
	default:
		rec.State = Failed
	}
	return rec
}

// signals are those of Linux that end programs.
var signals = map[int]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1", 11: "SEGV", 12: "USR2",
	13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ", 31: "SYS",
}

// milliseconds returns d in milliseconds, to the microsecond.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// put hands a record on if there is room for it.
func (r *Recorder) put(rec Record) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return
	}
	select {
	case r.queue <- rec:
	default:
		r.missed.Add(1)
	}
}

// Close waits until everything that was put is with the sinks. What comes later is dropped.
func (r *Recorder) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.queue)
	}
	r.mu.Unlock()
	<-r.drained
}
