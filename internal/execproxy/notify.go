package execproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// NotifyFunc runs a notification command and returns its exit code and output.
// An error is a NotifyDenied for a command that policy refuses, one wrapping
// context.DeadlineExceeded for one that took too long, or any other for one
// that could not be run.
type NotifyFunc func(ctx context.Context, cmd string, args []string) (code int, output []byte, err error)

// NotifyDenied is why a notification is refused; the client is told.
type NotifyDenied string

func (d NotifyDenied) Error() string { return string(d) }

// notify answers /notify.
func (p *Proxy) notify(w http.ResponseWriter, r *http.Request, req *request) *refusal {
	if ref := req.checkAccess(); ref != nil {
		return ref
	}
	if req.proto == protoBuffered {
		return refuseNotifyProto
	}
	if req.cmd == "" {
		return refuseRequest
	}
	if p.cfg.Notify == nil {
		return refuseNotify
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	c, ref := p.calls.add("", "", cancel) // counted, and ended by Shutdown, like a tool call
	if ref != nil {
		return ref
	}
	defer p.calls.remove(c)
	code, output, err := p.cfg.Notify(ctx, req.cmd, req.args)
	if err != nil {
		return refuseNotification(req.cmd, err)
	}
	plain(w, http.StatusOK, code, int64(len(output)))
	w.Write(output)
	return nil
}

func refuseNotification(cmd string, err error) *refusal {
	var denied NotifyDenied
	switch {
	case errors.As(err, &denied):
		return refused(http.StatusForbidden, denied.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, execproto.ExitTimeout, "timeout\n"}
	}
	return refused(http.StatusInternalServerError, fmt.Sprintf("host '%s' execution failed: %v", cmd, err))
}
