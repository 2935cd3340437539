package execproxy

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Request is a tool call that comes by no version of the protocol: this process makes it, for
// somebody whom it has let in.
type Request struct {
	Kind  string        // the toolchain, or an alias; empty: by the tool's name
	Argv  []string      // Argv[0] is the tool, by its name or a path
	Cwd   string        // at or below /workspace
	Limit time.Duration // ends a call that takes longer, as Config's MaxRuntime does; 0: only that

	Stdin          io.Reader // nil: none
	Stdout, Stderr io.Writer // may block; not nil
}

// RefusedError says that a call was not made, since a check did not let it through.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// refuseCwd is the reason for a directory that no tool may run in.
const refuseCwd = "the directory is not /workspace or below it, or has . or .. in it"

// Run makes a call with the checks of /exec, and returns its exit code. An error is a
// *RefusedError, or says why the tool did not end by itself; the code is then that of the protocol.
func (p *Proxy) Run(ctx context.Context, r Request) (int, error) {
	req, reason := r.check(p.cfg.Workspace)
	if reason != "" {
		return p.refuseDirect(req, "", refused(0, reason))
	}
	kind, ref := p.admitDirect(ctx, req)
	if ref != nil {
		return p.refuseDirect(req, kind, ref)
	}
	began := time.Now()
	asked := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(asked, func() { cancel(errGone) })()
	c, ref := p.calls.add("", kind, cancel)
	if ref != nil {
		return p.refuseDirect(req, kind, ref)
	}
	defer p.calls.remove(c)
	return p.runDirect(ctx, c, req, r, began)
}

// runDirect runs a call that is registered.
func (p *Proxy) runDirect(ctx context.Context, c *call, req *request, r Request, began time.Time) (int, error) {
	call := Call{
		ID: c.id, Kind: c.kind, Argv: append([]string{req.program()}, req.args...), Cwd: req.cwd, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr,
	}
	c.seen = p.observe(Observed{ID: c.id, Kind: c.kind, Argv: call.Argv, Cwd: call.Cwd, Began: began})
	if r.Limit > 0 {
		defer time.AfterFunc(r.Limit, func() { c.cancel(timeLimit(r.Limit)) }).Stop()
	}
	out := p.run(ctx, c, call, nil)
	return out.code, out.err
}

// admitDirect chooses the kind.
func (p *Proxy) admitDirect(ctx context.Context, req *request) (string, *refusal) {
	if req.kind == "" && len(p.cfg.Candidates(req.tool)) == 0 {
		return "", refused(0, fmt.Sprintf("%q is no tool of a toolchain that is known; name the toolchain that shall run it", req.tool))
	}
	return p.kindFor(ctx, req)
}

func (p *Proxy) refuseDirect(req *request, kind string, ref *refusal) (int, error) {
	p.observeRefusal(req, kind, ref)
	return execproto.ExitRefused, &RefusedError{Reason: strings.TrimSpace(ref.body)}
}

// check makes a request of r that is within the limits of the protocol, or says why
// there is none.
func (r Request) check(workspace string) (req *request, reason string) {
	req = &request{authorized: true, proto: protoFrames, kind: strings.ToLower(r.Kind), workspace: workspace, cwd: workspace}
	if len(r.Argv) == 0 || r.Argv[0] == "" {
		return req, "no tool was named"
	}
	req.tool = path.Base(r.Argv[0])
	ok := true
	if strings.Contains(r.Argv[0], "/") {
		ok = req.setPath(r.Argv[0])
	}
	for _, a := range r.Argv[1:] {
		ok = ok && req.set(execproto.KeyArg, a)
	}
	req.proto = "" // of the trace: it has come by none
	if !ok || len(req.tool) > req.maxTool() || strings.Contains(req.tool, "\x00") {
		return req, "the arguments are too long, or have a NUL"
	}
	cwd, ok := cleanCwd(r.Cwd, workspace)
	if !ok {
		return req, refuseCwd
	}
	req.cwd = cwd
	return req, ""
}
