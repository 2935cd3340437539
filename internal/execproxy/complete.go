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

// tell writes a line to the standard error of the call's client, and does not
// wait for one that does not read beyond the end of the call.
func (c Call) tell(ctx context.Context, text string) {
	w := c.Stderr
	if len(c.Files) > 0 {
		w = c.Files[len(c.Files)-1]
	}
	end := "\n"
	if c.Terminal != nil {
		end = "\r\n" // the client's terminal is in raw mode
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _ = io.WriteString(w, "aifo-shim: "+text+end) // a client that is gone need not know
	}()
	select {
	case <-told:
	case <-ctx.Done():
	}
}
