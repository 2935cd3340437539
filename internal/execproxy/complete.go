package execproxy

import (
	"context"
	"io"
)

// complete lets the session get what the call asks for and the sidecar lacks.
func (p *Proxy) complete(ctx context.Context, call Call) error {
	if p.cfg.Complete == nil {
		return nil
	}
	err := p.cfg.Complete(ctx, call, func(text string) { call.tell(ctx, text) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// tell writes a line to the standard error of the call's client. What is written to a connection ends with
// drainTime; at a file of the client's, which has no deadline, tell waits until the end of the call at most.
func (c Call) tell(ctx context.Context, text string) {
	line := "aifo-shim: " + text + "\n"
	if c.Terminal != nil {
		line = "aifo-shim: " + text + "\r\n" // the client's terminal is in raw mode
	}
	// A client that is gone need not know.
	if len(c.Files) == 0 {
		_, _ = io.WriteString(c.Stderr, line)
		return
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _ = io.WriteString(c.Files[len(c.Files)-1], line)
	}()
	select {
	case <-told:
	case <-ctx.Done():
	}
}
