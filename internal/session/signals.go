package session

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// stopGrace is how long an agent may take to end after a signal that asks it
// to. Interactive shells ignore SIGTERM, so somebody has to insist.
const stopGrace = 3 * time.Second

// SignalError says that a signal ended the session.
type SignalError struct{ Signal syscall.Signal }

func (e *SignalError) Error() string { return "ended by signal: " + e.Signal.String() }

// Code returns the exit code of a program that the signal ended.
func (e *SignalError) Code() int { return 128 + int(e.Signal) }

// unlessSignalled turns the error of a signal into an exit code: whoever sent it knows.
func unlessSignalled(code int, err error) (int, error) {
	var sig *SignalError
	if errors.As(err, &sig) {
		return sig.Code(), nil
	}
	return code, err
}

// signalWatch decides what a signal to us means. Before the agent runs it ends
// the start. Afterwards it is handed on; a second one, or the grace period
// after one that asks to end, ends the session by force.
type signalWatch struct {
	ch       chan os.Signal
	done     chan struct{}
	starting context.Context // ends with the first signal before the agent runs
	abort    context.CancelCauseFunc
	patience context.Context // ends with the second
	insist   context.CancelCauseFunc

	mu      sync.Mutex
	forward chan os.Signal          // nil before the agent runs
	end     context.CancelCauseFunc // ends the running session
	seen    int
	came    *SignalError // the first
}

func watchSignals(ctx context.Context) *signalWatch {
	w := &signalWatch{ch: make(chan os.Signal, 8), done: make(chan struct{})}
	w.starting, w.abort = context.WithCancelCause(ctx)
	w.patience, w.insist = context.WithCancelCause(ctx)
	proc.Notify(w.ch, proc.Ends...)
	go w.loop()
	return w
}

// stop gives signals their usual meaning back.
func (w *signalWatch) stop() {
	signal.Stop(w.ch)
	close(w.done)
	w.abort(nil)
	w.insist(nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.end != nil {
		w.end(nil)
	}
}

func (w *signalWatch) loop() {
	for {
		select {
		case s := <-w.ch:
			w.handle(s)
		case <-w.done:
			return
		}
	}
}

func (w *signalWatch) handle(s os.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	cause := &SignalError{Signal: s.(syscall.Signal)}
	if w.came == nil {
		w.came = cause
	}
	if w.seen > 1 {
		w.insist(cause)
	}
	switch {
	case w.forward == nil:
		w.abort(cause)
		return
	case w.seen > 1:
		w.end(cause)
		return
	}
	select {
	case w.forward <- s:
	default: // nobody listens any more
	}
	if s != syscall.SIGINT {
		time.AfterFunc(stopGrace, func() { w.end(cause) })
	}
}

// run says that the agent runs from now on. The context ends when the session
// must; signals for the agent come on the channel.
func (w *signalWatch) run(ctx context.Context) (context.Context, <-chan os.Signal) {
	ctx, end := context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forward, w.end = make(chan os.Signal, 8), end
	if err := context.Cause(w.starting); err != nil {
		end(err) // the signal came in between
	}
	return ctx, w.forward
}

// fail ends the session, starting or running, for the reason err.
func (w *signalWatch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abort(err)
	if w.end != nil {
		w.end(err)
	}
}

// result returns the exit code of the session, given what running the agent returned.
func (w *signalWatch) result(running context.Context, code int, err error) (int, error) {
	cause := context.Cause(running)
	var sig *SignalError
	switch {
	case errors.As(cause, &sig):
		return sig.Code(), err
	case cause != nil:
		return 0, cause
	case err == nil && code == dockerFailed && w.first() != nil:
		// The signal came while docker started the container, and made that fail.
		return w.first().Code(), nil
	}
	return code, err
}

// first returns the first signal that came, or nil.
func (w *signalWatch) first() *SignalError {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came
}
