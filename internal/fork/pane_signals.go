package fork

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

// paneWatch keeps signals from ending a pane's process before it has written its
// status. While the agent runs they are the business of its session (internal/session),
// which gets them as well: every watcher in a process does. Before, they end the start,
// and afterwards the pane.
type paneWatch struct {
	ctx  context.Context
	end  context.CancelCauseFunc
	ch   chan os.Signal
	done chan struct{}

	mu      sync.Mutex
	running bool
	asked   error // the last signal while the agent ran that asked us, too, to end
}

func watchPane(ctx context.Context) *paneWatch {
	w := &paneWatch{ch: make(chan os.Signal, 8), done: make(chan struct{})}
	w.ctx, w.end = context.WithCancelCause(ctx)
	proc.Notify(w.ch, proc.Ends...)
	go w.loop()
	return w
}

func (w *paneWatch) loop() {
	for {
		select {
		case s := <-w.ch:
			w.handle(s.(syscall.Signal))
		case <-w.done:
			return
		}
	}
}

func (w *paneWatch) handle(s syscall.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cause := &session.SignalError{Signal: s}
	switch {
	case !w.running:
		w.end(cause)
	case s != syscall.SIGINT: // which is the agent's alone
		w.asked = cause
	}
}

// agentRuns says that signals are the business of the agent's session from now on.
func (w *paneWatch) agentRuns() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = true
}

// agentEnded says that they are ours again. One that asked the agent to end asked us, too.
func (w *paneWatch) agentEnded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	if w.asked != nil {
		w.end(w.asked)
	}
}

func (w *paneWatch) stop() {
	signal.Stop(w.ch)
	close(w.done)
	w.end(nil)
}
