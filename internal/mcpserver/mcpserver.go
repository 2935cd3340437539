// Package mcpserver offers the toolchains of a session by the Model Context Protocol, to
// agents that prefer it to programs on PATH. It adds no way around anything: each call goes
// through the checks, the limits and the trace of the proxy.
package mcpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

const (
	// progressTime is how often a client that wants it is told that a call goes on.
	progressTime = time.Second
	// maxTimeout bounds what a client may ask for as a time limit.
	maxTimeout = 24 * time.Hour
	// maxTrace is how many calls the tool trace tells of.
	maxTrace = 100
)

// Proxy carries out calls; it is an *execproxy.Proxy.
type Proxy interface {
	Run(ctx context.Context, r execproxy.Request) (int, error)
	Tools(ctx context.Context, cwd string) ([]execproxy.KindTools, error)
	Hold() *execproxy.Held
}

// Config says what is served.
type Config struct {
	Proxy     Proxy
	Workspace string                            // where containers have it
	Cwd       string                            // the directory of calls that name none
	Calls     func(most int) []calltrace.Record // the latest calls, oldest first; nil: they are not told
}

// Serve serves one connection until it or ctx ends, whose cause it then returns. Calls that
// are under way end with it.
func Serve(ctx context.Context, cfg Config, conn io.ReadWriteCloser) error {
	served, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{cfg: cfg, ctx: served}
	err := s.new().Run(served, transport{conn, cfg.Proxy.Hold})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // the client has gone, which is how it ends
	}
	return err
}

// server is one connection.
type server struct {
	cfg Config
	ctx context.Context //nolint:containedctx // of the connection, whose calls end with it
}

const instructions = `Language toolchains in containers of their own, which share the workspace %s with you. ` +
	`run runs a program there, such as cargo, npm, python, gcc or go; list_tools says which there are.`

func (s *server) new() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "aifo-coder", Title: "aifo-coder toolchains", Version: buildinfo.Version()},
		&mcp.ServerOptions{Instructions: fmt.Sprintf(instructions, s.cfg.Workspace), Capabilities: &mcp.ServerCapabilities{}})
	mcp.AddTool(server, &mcp.Tool{
		Name: "list_tools", Description: "List the toolchains and which tools each has, where and in which version.",
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, s.listTools)
	mcp.AddTool(server, &mcp.Tool{
		Name: "run", Description: "Run a program of a toolchain in the workspace, and return its output and exit code. No shell takes part.",
	}, s.run)
	if s.cfg.Calls != nil {
		mcp.AddTool(server, &mcp.Tool{
			Name: "trace", Description: "Tell of the latest tool calls of this session: duration, bytes, exit code.",
			Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
		}, s.trace)
	}
	return server
}

type listInput struct{}

type listOutput struct {
	Toolchains []execproxy.KindTools `json:"toolchains"`
}

func (s *server) listTools(ctx context.Context, _ *mcp.CallToolRequest, _ listInput) (*mcp.CallToolResult, listOutput, error) {
	ctx, end := s.both(ctx)
	defer end()
	found, err := s.cfg.Proxy.Tools(ctx, s.cfg.Cwd)
	return nil, listOutput{Toolchains: found}, err
}

// runInput is a call. The names and descriptions are what a model sees.
type runInput struct {
	Toolchain      string   `json:"toolchain,omitempty" jsonschema:"toolchain that runs the program, such as rust; by default the one that has a tool of that name"`
	Argv           []string `json:"argv" jsonschema:"program and arguments, as in [\"cargo\", \"test\"]; nothing is expanded"`
	Cwd            string   `json:"cwd,omitempty" jsonschema:"directory, the workspace or below it, or relative to it"`
	Stdin          string   `json:"stdin,omitempty" jsonschema:"input of the program; none by default"`
	TimeoutSeconds float64  `json:"timeout_seconds,omitempty" jsonschema:"end the program when it takes longer"`
}

// runOutput is what became of a call.
type runOutput struct {
	ExitCode   int    `json:"exit_code"`
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	Truncated  bool   `json:"truncated" jsonschema:"part of an output is left out, where it says so"`
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error,omitempty" jsonschema:"why the program did not run, or did not end by itself"`
}

func (s *server) run(ctx context.Context, req *mcp.CallToolRequest, in runInput) (*mcp.CallToolResult, runOutput, error) {
	limit := time.Duration(in.TimeoutSeconds * float64(time.Second))
	if in.TimeoutSeconds < 0 || in.TimeoutSeconds > maxTimeout.Seconds() {
		return nil, runOutput{}, fmt.Errorf("timeout_seconds is %v; it can be from 0, which is none, to %v", in.TimeoutSeconds, maxTimeout.Seconds())
	}
	ctx, end := s.both(ctx)
	defer end()
	stdout, stderr := &clipped{}, &clipped{}
	defer s.tellProgress(ctx, req, stdout, stderr)()
	began := time.Now()
	code, err := s.cfg.Proxy.Run(ctx, execproxy.Request{
		Kind: in.Toolchain, Argv: in.Argv, Cwd: s.directory(in.Cwd), Limit: limit, Stdin: strings.NewReader(in.Stdin), Stdout: stdout, Stderr: stderr,
	})
	out := runOutput{ExitCode: code, Stdout: stdout.String(), Stderr: stderr.String(), Truncated: stdout.cut() || stderr.cut(), DurationMS: time.Since(began).Milliseconds()}
	if err == nil {
		return nil, out, nil
	}
	out.Error = err.Error()
	return &mcp.CallToolResult{IsError: true}, out, nil
}

// directory returns the directory that a client means. What is wrong with it the proxy says.
func (s *server) directory(cwd string) string {
	switch {
	case cwd == "" || cwd == ".":
		return s.cfg.Cwd
	case path.IsAbs(cwd):
		return cwd
	}
	return s.cfg.Workspace + "/" + cwd
}

// both returns a context that ends with the request and with the connection.
func (s *server) both(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// tellProgress tells a client that has asked for it how much output there is, until the
// function that it returns is called.
func (s *server) tellProgress(ctx context.Context, req *mcp.CallToolRequest, outputs ...*clipped) (end func()) {
	token := req.Params.GetProgressToken()
	if token == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		tick := time.NewTicker(progressTime)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var size int64
			for _, o := range outputs {
				size += o.size()
			}
			_ = req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ // a client that is gone ends the call
				ProgressToken: token, Progress: float64(n) * progressTime.Seconds(), Message: fmt.Sprintf("%d bytes of output", size),
			})
		}
	}()
	return func() {
		cancel()
		<-told
	}
}

type traceInput struct {
	Last   int  `json:"last,omitempty" jsonschema:"how many calls, 20 by default, 100 at most"`
	Failed bool `json:"failed,omitempty" jsonschema:"only calls that failed or were refused, or whose exit code is not 0"`
}

type traceOutput struct {
	Calls []calltrace.Record `json:"calls"`
}

func (s *server) trace(_ context.Context, _ *mcp.CallToolRequest, in traceInput) (*mcp.CallToolResult, traceOutput, error) {
	const usual = 20
	most := min(in.Last, maxTrace)
	if most <= 0 {
		most = usual
	}
	calls := []calltrace.Record{}
	for _, r := range s.cfg.Calls(maxTrace) {
		if !in.Failed || r.Failed() {
			calls = append(calls, r)
		}
	}
	return nil, traceOutput{Calls: calls[max(len(calls)-most, 0):]}, nil
}
