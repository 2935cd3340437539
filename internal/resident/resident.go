// Package resident runs tool calls through exec servers that stay: one in each
// sidecar, reached over one link that carries all calls of that sidecar at once
// (docs/protocol.md, "The link to a sidecar").
//
// It guarantees that a call is sent at most once, that a slow reader of one
// call's output holds up no other call, and that a call whose link broke fails
// and never seems to have succeeded. A broken link is opened again by the next
// call. It does not know what became of the tools of a server that was lost;
// their container is what ends them.
package resident

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

const (
	// openLimit bounds the opening of a link, which includes the boot of a sidecar.
	openLimit = 90 * time.Second
	// startLimit is how long a signal waits for its call to start.
	startLimit = 10 * time.Second
	// endSlack is how much longer than its grace periods the end of a call may take.
	endSlack = 10 * time.Second
	// aliveLimit bounds the question whether a sidecar still runs.
	aliveLimit = 10 * time.Second
	// goneTime is how long a container may take from the end of its processes until a busy
	// engine knows of it, as for package dockerexec, and gonePoll how often it is asked.
	goneTime = 2 * time.Second
	gonePoll = 50 * time.Millisecond
)

// Link is a connection to an exec server. Close makes a Read that waits fail.
type Link interface{ io.ReadWriteCloser }

// FileLink is a Link over which open files can go.
type FileLink interface {
	Link
	// SendFiles writes b, and the files along with it. They stay open here, and
	// their flags as they are.
	SendFiles(b []byte, files []*os.File) error
}

// Config says how the sidecars are reached. Dial and Alive are required.
type Config struct {
	// Dial starts an exec server in the sidecar of kind and connects to it. Only
	// the opening ends with ctx.
	Dial func(ctx context.Context, kind string) (Link, error)

	// Alive returns an error when the sidecar of kind does not run any more.
	Alive func(ctx context.Context, kind string) error

	// Grace is the time between INT, TERM and KILL when a call is ended.
	Grace time.Duration
}

// Executor implements execproxy.Executor and execproxy.FileTaker.
type Executor struct {
	cfg    Config
	base   context.Context // ends with Close
	end    context.CancelCauseFunc
	probes atomic.Uint64 // makes their ids

	mu    sync.Mutex
	slots map[string]*slot
	calls map[string]*call // by exec id
	added chan struct{}    // closed when calls gets another, and replaced
}

var (
	_ execproxy.Executor  = (*Executor)(nil)
	_ execproxy.FileTaker = (*Executor)(nil)

	errClosed     = errors.New("the session is ending")
	errNotStarted = errors.New("the call did not start")
)

// New returns an Executor without links.
func New(cfg Config) *Executor {
	e := &Executor{cfg: cfg, slots: map[string]*slot{}, calls: map[string]*call{}, added: make(chan struct{})}
	e.base, e.end = context.WithCancelCause(context.Background())
	return e
}

// Open opens the link to the sidecar of kind unless it is open. When it returns
// nil, the sidecar takes calls.
func (e *Executor) Open(ctx context.Context, kind string) error {
	_, err := e.link(ctx, kind)
	return err
}

// Run implements execproxy.Executor.
func (e *Executor) Run(ctx context.Context, c execproxy.Call) (int, error) {
	defer closeFiles(c.Files)
	if err := checkNUL(c); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := newCall(c, e.cfg.Grace, cancel)
	defer run.finish()
	if err := e.register(run); err != nil {
		return 0, err
	}
	defer e.unregister(run)
	if err := e.place(ctx, run); err != nil {
		return 0, err
	}
	return run.run(ctx)
}

// place puts the call on a link. One that broke before anything of the call was
// sent is opened again.
func (e *Executor) place(ctx context.Context, c *call) error {
	for ctx.Err() == nil {
		l, err := e.link(ctx, c.spec.Kind)
		switch {
		case err != nil:
			return err
		case len(c.files) > 0 && l.files == nil:
			return fmt.Errorf("the %s sidecar cannot take the caller's files any more; the call was not made", l.kind)
		case l.add(c):
			c.link = l
			return nil
		}
	}
	return context.Cause(ctx)
}

// checkNUL keeps a word from being taken for two (execproto.Start).
func checkNUL(c execproxy.Call) error {
	for _, words := range [][]string{{c.ID, c.Kind, c.Cwd}, c.Argv, c.Env} {
		for _, w := range words {
			if strings.Contains(w, "\x00") {
				return fmt.Errorf("%q holds a NUL byte", w)
			}
		}
	}
	return nil
}

// Signal implements execproxy.Executor. A call that is over has no use for it.
func (e *Executor) Signal(ctx context.Context, _, id, signal string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, errNotStarted)
	defer cancel()
	c, err := e.find(ctx, id)
	if err != nil {
		return err
	}
	select {
	case <-c.started:
		if !c.over() {
			c.send(execproto.MuxSignal, []byte(signal))
		}
		return nil
	case <-c.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// GivesTerminals implements execproxy.TerminalGiver.
func (e *Executor) GivesTerminals() bool { return true }

// TakesFiles implements execproxy.FileTaker. A link that is not open yet takes
// none: nobody knows what it will be.
func (e *Executor) TakesFiles(kind string) bool {
	l := e.slot(kind).live()
	return l != nil && l.files != nil
}

// Offers reports whether the image of a kind has the tool.
func (e *Executor) Offers(ctx context.Context, kind, tool string) (bool, error) {
	var out bytes.Buffer
	code, err := e.Run(ctx, execproxy.Call{
		ID: fmt.Sprintf("which-%d", e.probes.Add(1)), Kind: kind, Cwd: "/",
		Argv: []string{execproto.ShimBinary, "which", tool}, Stdout: &out,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("the probe ended with exit code %d", code)
	}
	return strings.TrimSpace(out.String()) == tool, err
}

// Close ends the links, and with them the calls, and keeps others from being opened.
func (e *Executor) Close() {
	e.end(errClosed)
	e.mu.Lock()
	defer e.mu.Unlock()
	var closed sync.WaitGroup
	for _, s := range e.slots {
		if l := s.live(); l != nil {
			closed.Go(l.close)
		}
	}
	closed.Wait()
}

// register makes the call known to Signal.
func (e *Executor) register(c *call) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls[c.spec.ID] != nil {
		return fmt.Errorf("a call with the exec id %q is under way", c.spec.ID)
	}
	e.calls[c.spec.ID] = c
	close(e.added)
	e.added = make(chan struct{})
	return nil
}

func (e *Executor) unregister(c *call) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.calls, c.spec.ID)
}

// find returns the call with that id, waiting for one that is about to come.
func (e *Executor) find(ctx context.Context, id string) (*call, error) {
	for {
		e.mu.Lock()
		c, added := e.calls[id], e.added
		e.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-added:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // they are the client's: it knows what became of its writes
	}
}
