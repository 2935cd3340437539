package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

// untilSignal returns a context that ends with the first signal, a *session.SignalError being its cause, and
// a function that gives signals their usual meaning back. A second signal has that at once. The others are signals
// that end the context as well and go on to have no other effect: a command whose reader has gone, as head does,
// gets SIGPIPE with each line, and has to remove what it began.
func untilSignal(ctx context.Context, others ...os.Signal) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	asked, also := make(chan os.Signal, 1), make(chan os.Signal, 1)
	proc.Notify(asked, proc.Ends...)
	proc.Notify(also, others...)
	go func() {
		defer signal.Stop(asked)
		select {
		case s := <-asked:
			end(&session.SignalError{Signal: s.(syscall.Signal)})
		case s := <-also:
			end(&session.SignalError{Signal: s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(asked)
		signal.Stop(also)
		end(nil)
	}
}
