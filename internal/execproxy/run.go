package execproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/redact"
)

// drainTime is how long a call whose context ended may still write to a client
// that does not read, before the connection is given up.
const drainTime = 5 * time.Second

// outcome is how a call ended. With err the tool did not end by itself: err wraps
// errTimeout, errGone or errShutdown, or is what went wrong.
type outcome struct {
	code int
	err  error
}

// failed is the outcome of a call that err kept from ending by itself.
func failed(err error) outcome {
	var s signalled
	switch {
	case errors.As(err, &s):
		return outcome{code: s.code()}
	case errors.Is(err, errTimeout):
		return outcome{code: execproto.ExitTimeout, err: err}
	}
	return outcome{code: execproto.ExitRefused, err: err}
}

// run waits for the sidecar of c and runs the call in it. waiting, if not nil, is
// called when the wait begins and what it returns when the wait is over.
func (p *Proxy) run(ctx context.Context, c *call, call Call, waiting func() (over func())) (out outcome) {
	start := time.Now()
	defer func() {
		c.seen.end(out)
		p.logCall(call, out, time.Since(start))
	}()
	err := p.awaitSidecar(ctx, c, waiting)
	if err == nil {
		err = p.complete(ctx, call)
	}
	if err == nil {
		err = c.begin(ctx)
	}
	if err != nil {
		closeFiles(call.Files) // no executor will
		return failed(err)
	}
	return p.execute(ctx, c, call)
}

func (p *Proxy) awaitSidecar(ctx context.Context, c *call, waiting func() func()) error {
	if waiting != nil {
		defer waiting()()
	}
	began := time.Now()
	defer func() { c.seen.wait(time.Since(began)) }()
	err := p.cfg.Sidecars.Ready(ctx, c.kind)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("wait for the %s sidecar: %w", c.kind, err)
	}
	return nil
}

// execute runs the call within the time limit. A tool that ended by itself
// keeps its exit code, even if the limit was reached in the same moment.
func (p *Proxy) execute(ctx context.Context, c *call, call Call) outcome {
	if p.cfg.MaxRuntime > 0 {
		defer time.AfterFunc(p.cfg.MaxRuntime, func() { c.cancel(timeLimit(p.cfg.MaxRuntime)) }).Stop()
	}
	if p.cfg.Begin != nil {
		defer p.cfg.Begin(call.Kind)()
	}
	code, err := p.cfg.Executor.Run(ctx, c.seen.count(call))
	if err == nil {
		return outcome{code: code}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return failed(err)
}

// logCall writes the one line of a call. The arguments are only for debugging
// and never with the secrets that we can tell.
func (p *Proxy) logCall(call Call, out outcome, d time.Duration) {
	attrs := []any{"tool", call.Argv[0], "kind", call.Kind, "cwd", call.Cwd, "exec_id", call.ID, "code", out.code, "duration", d}
	if out.err != nil {
		attrs = append(attrs, "err", out.err)
	}
	p.log.Info("tool call", attrs...)
	if p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.log.Debug("tool call arguments", "exec_id", call.ID, "args", redact.Args(call.Argv[1:], nil))
	}
}
