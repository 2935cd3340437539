package execproxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// DefaultMaxCalls is how many calls may be under way at once when Config does
// not say.
const DefaultMaxCalls = 1024

// Call is one tool call that passed every check.
type Call struct {
	ID   string   // exec id
	Kind string   // toolchain kind, e.g. "rust"
	Argv []string // Argv[0] is the tool
	Cwd  string   // cleaned absolute path at or below the workspace
	Env  []string // NAME=value, of the caller, already limited to what may pass

	// Files are the client's own standard input, output and error, where they
	// could be handed over; the executor owns them and closes them. The tool uses
	// them directly, and the streams below are nil. Others use the same open
	// files, so nobody may change their flags.
	Files []*os.File

	// Terminal is set when the tool shall have a terminal of its own. Its keys are
	// Stdin, if that is among its streams, and its output is Stdout, or Stderr if
	// Stdout is not among them.
	Terminal *Terminal

	// Stdin is the tool's input; nil means none (/dev/null). A Read may block
	// after the tool ended and is released only when Run returns, so Run must
	// not wait for it.
	Stdin io.Reader

	// Stdout and Stderr take the tool's output and block while the client is
	// slow. They may be one writer, and may be used from two goroutines.
	Stdout, Stderr io.Writer
}

// Terminal says which streams are to be one, and the size of the client's
// terminal, now and as it changes. Resized is never closed.
type Terminal struct {
	Streams execproto.TTY
	Size    Size
	Resized <-chan Size
}

// Size is the size of a terminal in characters.
type Size struct{ Rows, Cols uint16 }

// FileTaker is an Executor that can give a tool the client's own files.
type FileTaker interface {
	// TakesFiles reports whether calls of kind may have Files. It may become true
	// when the sidecar is ready.
	TakesFiles(kind string) bool
}

// TerminalGiver is an Executor that can give a tool a terminal of its own.
type TerminalGiver interface {
	// GivesTerminals reports whether calls may have a Terminal.
	GivesTerminals() bool
}

// Executor runs the calls.
type Executor interface {
	// Run runs the call to its end and returns its exit code, once everything
	// the tool wrote was passed on. When ctx ends, Run ends the tool's whole
	// process group and returns ctx's cause. Any other error means that the
	// call could not be run.
	Run(ctx context.Context, c Call) (int, error)

	// Signal sends a signal (wire name, "INT") to the tool's process group. It
	// may be called as soon as Run was; a tool that has not started yet must
	// get the signal when it has.
	Signal(ctx context.Context, kind, execID, signal string) error
}

// Sidecars is what the session offers.
type Sidecars interface {
	// Has reports whether kind is part of this session.
	Has(kind string) bool

	// Ready waits until the sidecar of kind can run commands.
	Ready(ctx context.Context, kind string) error

	// Offers reports whether the image of kind has the tool. The proxy asks
	// once for each pair and remembers the answer.
	Offers(ctx context.Context, kind, tool string) (bool, error)
}

// Config says what a Proxy serves. Token, Executor, Sidecars and Candidates are
// required.
type Config struct {
	// Token is what clients must present. With an empty one nobody is let in.
	Token string

	Executor Executor
	Sidecars Sidecars

	// Candidates returns the kinds that may serve a tool, in order of
	// preference, or none for a tool that is not on any list.
	Candidates func(tool string) []string

	// Toolchains are those of the session, for /tools and for calls that name one.
	Toolchains []Toolchain

	// Workspace is where it is mounted in the session's containers; "" means
	// execproto.Workspace. Tools run there or below.
	Workspace string

	// Complete, if not nil, is called before each call and gets what that asks for
	// and its sidecar lacks. It may tell the caller, in one line, what takes long.
	// Its error keeps the call from being made.
	Complete func(ctx context.Context, c Call, tell func(string)) error

	// Begin, if not nil, is called when a tool is about to be started in the sidecar of kind, and
	// what it returns when the tool has ended.
	Begin func(kind string) (end func())

	// Notify runs a notification command; nil refuses them all.
	Notify NotifyFunc

	// MCP serves the Model Context Protocol on a connection until ctx or the connection
	// ends; nil refuses it.
	MCP func(ctx context.Context, conn io.ReadWriteCloser)

	// MaxRuntime ends a tool that runs longer; 0 is no limit.
	MaxRuntime time.Duration

	// MaxCalls limits how many calls are under way at once; 0 means
	// DefaultMaxCalls.
	MaxCalls int

	// Observe, if not nil, is told of each call for which a client with the token asks, and
	// what it returns, if that is not nil, how it ended, once. Both are in the way of the
	// call, so they must not wait for anything.
	Observe func(Observed) func(Ended)

	Log *slog.Logger // nil: no log
}

// Proxy answers tool calls. It is an http.Handler; Serve adds what net/http
// alone does not give (docs/protocol.md, "Transport").
type Proxy struct {
	cfg     Config
	log     *slog.Logger
	offers  *offers
	calls   *calls
	buffers budget // what version 1 replies hold in memory
	held    budget // what requests do
	mcps    atomic.Int32
	conns   *conns
	server  *http.Server

	owner     atomic.Pointer[string] // the address from which the token was first used
	strangers sync.Once              // for telling that it was used from another

	probing    context.Context // ends when Shutdown begins
	endProbing context.CancelCauseFunc
	base       context.Context // ends when Shutdown is through
	end        context.CancelFunc
}

// New returns a Proxy for cfg.
func New(cfg Config) *Proxy {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxCalls <= 0 {
		cfg.MaxCalls = DefaultMaxCalls
	}
	if cfg.Workspace == "" {
		cfg.Workspace = execproto.Workspace
	}
	p := &Proxy{cfg: cfg, log: cfg.Log, calls: newCalls(cfg.MaxCalls), conns: newConns()}
	p.base, p.end = context.WithCancel(context.Background())
	p.probing, p.endProbing = context.WithCancelCause(p.base)
	p.buffers.max, p.held.max = maxBuffered, maxHeld
	p.offers = newOffers(p.probing, cfg.Sidecars.Offers)
	p.server = newServer(p)
	return p
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := connOf(r.Context())
	c.enter()
	rc := http.NewResponseController(w) // its errors mean a test's recorder, which cannot block
	rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	ref := p.serve(w, r, c)
	if ref == nil {
		return
	}
	p.log.Debug("request refused", "path", r.URL.Path, "status", ref.status, "reason", strings.TrimSpace(ref.body))
	rc.SetReadDeadline(time.Now().Add(refusedTimeout))
	ref.write(w)
	_ = rc.Flush()
	_, _ = io.Copy(io.Discard, r.Body) // see refusedTimeout
}

// serve answers r, or returns why it is refused when nothing was answered yet.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, c *conn) *refusal {
	handle, ref := p.endpoint(r)
	if ref != nil {
		return ref
	}
	held := p.Hold()
	defer held.Free()
	req, ref := p.read(w, r, c, held)
	if ref != nil {
		return ref
	}
	return handle(w, r, req)
}

type handler func(http.ResponseWriter, *http.Request, *request) *refusal

// endpoint makes the checks that need no body. The path is compared without
// case, as the existing program does.
func (p *Proxy) endpoint(r *http.Request) (handler, *refusal) {
	if headerLines(r) > execproto.MaxHeaderLines {
		return nil, refuseHeaders
	}
	var h handler
	switch strings.ToLower(r.URL.Path) {
	case execproto.PathExec:
		h = p.exec
	case execproto.PathSignal:
		h = p.signal
	case execproto.PathNotify:
		h = p.notify
	case execproto.PathTools:
		h = p.tools
	case execproto.PathMCP:
		h = p.mcp
	default:
		return nil, refuseNotFound
	}
	if !strings.EqualFold(r.Method, http.MethodPost) {
		return nil, refuseMethod
	}
	return h, nil
}

// exec answers /exec: the checks in the order of docs/protocol.md, "Order of
// checks", then the call in the version that the client speaks.
func (p *Proxy) exec(w http.ResponseWriter, r *http.Request, req *request) *refusal {
	kind, ref := p.admit(r, req)
	if ref != nil {
		p.observeRefusal(req, kind, ref)
		return ref
	}
	return p.start(w, r, req, kind)
}

// admit makes the checks of /exec up to the choice of the kind, which it returns.
func (p *Proxy) admit(r *http.Request, req *request) (kind string, ref *refusal) {
	if req.tool != "" && req.kind == "" && len(p.cfg.Candidates(strings.ToLower(req.tool))) == 0 {
		return "", refuseTool
	}
	if ref := req.checkAccess(); ref != nil {
		return "", ref
	}
	if req.tool == "" || !req.versionFits(r) {
		return "", refuseRequest
	}
	if req.proto == protoFrames && !wantsUpgrade(r.Header, execproto.Upgrade) {
		return "", refuseNoUpgrade
	}
	return p.kindFor(r.Context(), req)
}

// start registers the call and runs it.
func (p *Proxy) start(w http.ResponseWriter, r *http.Request, req *request, kind string) *refusal {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	c, ref := p.calls.add(req.execID, kind, cancel)
	if ref != nil {
		p.observeRefusal(req, kind, ref)
		return ref
	}
	defer p.calls.remove(c)
	c.held = req.held
	call := Call{ID: c.id, Kind: kind, Argv: append([]string{req.program()}, req.args...), Cwd: req.cwd}
	c.seen = p.observe(Observed{ID: c.id, Kind: kind, Argv: call.Argv, Cwd: call.Cwd, Proto: req.proto, Began: began})
	defer c.seen.end(failed(errGone)) // unless more is known by then
	if req.proto == protoFrames {
		files, ref := p.takesFiles(ctx, w, r, req, c)
		if ref != nil {
			return ref
		}
		call.Env, call.Terminal = req.env, p.terminal(req)
		return p.serveFrames(ctx, w, c, call, files)
	}
	defer context.AfterFunc(r.Context(), func() { cancel(errGone) })()
	defer context.AfterFunc(ctx, func() {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(drainTime))
	})()
	if req.proto == protoBuffered {
		return p.serveBuffered(ctx, w, c, call)
	}
	return p.serveStreamed(ctx, w, c, call)
}

// takesFiles reports whether the tool can use the files that the client offers.
// That is known when the sidecar is ready. A client that waits for long is told
// so by an informational reply.
func (p *Proxy) takesFiles(ctx context.Context, w http.ResponseWriter, r *http.Request, req *request, c *call) (bool, *refusal) {
	taker, ok := p.cfg.Executor.(FileTaker)
	if !ok || !req.files {
		return false, nil
	}
	if taker.TakesFiles(c.kind) {
		return true, nil
	}
	defer context.AfterFunc(r.Context(), func() { c.cancel(errGone) })()
	err := p.awaitSidecar(ctx, c, func() func() {
		return afterWhile(func() { informWait(w, c.kind) })
	})
	if err != nil {
		c.seen.end(failed(err))
		return false, refuseWaiting(err)
	}
	return taker.TakesFiles(c.kind), nil
}

// informWait sends the informational reply of a call that waits for its sidecar.
func informWait(w http.ResponseWriter, kind string) {
	w.Header().Set(execproto.HeaderNotice, waitNotice(kind))
	w.WriteHeader(http.StatusProcessing)
	w.Header().Del(execproto.HeaderNotice)
}

// terminal is the terminal that the client asks for, if the tool can have one.
func (p *Proxy) terminal(req *request) *Terminal {
	if giver, ok := p.cfg.Executor.(TerminalGiver); ok && giver.GivesTerminals() {
		return req.terminal
	}
	return nil
}

// signal answers /signal. The reply is sent when the signal was delivered.
func (p *Proxy) signal(w http.ResponseWriter, r *http.Request, req *request) *refusal {
	if ref := req.checkAccess(); ref != nil {
		return ref
	}
	if req.sigID == "" {
		return refuseRequest
	}
	c := p.calls.find(req.sigID)
	if c == nil {
		return refuseNotFound
	}
	name := strings.ToUpper(req.sigName)
	if _, ok := execproto.ParseSignal(name); !ok || name == "TSTP" || name == "WINCH" {
		return refuseRequest // those two are of use only to who has the tool's terminal
	}
	if err := p.deliver(r.Context(), c, name); err != nil {
		return refuseError(err)
	}
	noBody(w)
	return nil
}

// Serve answers the connections of l until Shutdown, and then returns nil.
func (p *Proxy) Serve(l net.Listener) error {
	err := p.server.Serve(&guardedListener{Listener: l, conns: p.conns})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown refuses new calls, ends those under way, waits until each has told
// its client, and closes everything. It stops waiting when ctx ends.
func (p *Proxy) Shutdown(ctx context.Context) error {
	defer p.end()
	p.calls.close(errShutdown)
	p.endProbing(errShutdown)
	err := p.calls.wait(ctx)
	p.conns.closePending()
	if e := p.server.Shutdown(ctx); e != nil {
		err = errors.Join(err, e, p.server.Close())
	}
	return err
}
