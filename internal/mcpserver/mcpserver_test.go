package mcpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

const patience = 20 * time.Second

// fakeProxy runs calls with a function.
type fakeProxy struct {
	run func(ctx context.Context, r execproxy.Request) (int, error)
}

func (f fakeProxy) Run(ctx context.Context, r execproxy.Request) (int, error) { return f.run(ctx, r) }

func (f fakeProxy) Hold() *execproxy.Held {
	return execproxy.New(execproxy.Config{Sidecars: noSidecars{}}).Hold()
}

// noSidecars is a session that has none.
type noSidecars struct{ execproxy.Sidecars }

func (noSidecars) Offers(context.Context, string, string) (bool, error) { return false, nil }

func (f fakeProxy) Tools(_ context.Context, cwd string) ([]execproxy.KindTools, error) {
	return []execproxy.KindTools{{Kind: "rust", Image: "rust:1 at " + cwd, Tools: []execproto.FoundTool{{Name: "cargo", Path: "/usr/bin/cargo"}}}}, nil
}

// connect serves cfg to a client. The connection ends with the test.
func connect(t *testing.T, cfg Config, options *mcp.ClientOptions) (*mcp.ClientSession, net.Conn, chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { served <- Serve(ctx, cfg, ours) }()
	client, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, options).Connect(t.Context(), &mcp.IOTransport{Reader: theirs, Writer: theirs}, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		_ = theirs.Close()
	})
	return client, theirs, served
}

// call calls a tool and decodes what it says into out.
func call(t *testing.T, s *mcp.ClientSession, name string, args map[string]any, out any) *mcp.CallToolResult {
	t.Helper()
	r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
	require.NoError(t, err)
	if out != nil {
		text, err := json.Marshal(r.StructuredContent)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, out), "%s", text)
	}
	return r
}

func TestTools(t *testing.T) {
	calls := func(most int) []calltrace.Record {
		code := 1
		list := []calltrace.Record{{Tool: "npm", State: calltrace.Ended, ExitCode: &code}}
		for i := range 30 {
			code := 0
			list = append(list, calltrace.Record{Tool: fmt.Sprint("cargo", i), State: calltrace.Ended, ExitCode: &code})
		}
		return list
	}
	s, _, _ := connect(t, Config{Workspace: "/workspace", Proxy: fakeProxy{}, Cwd: "/workspace/sub", Calls: calls}, nil)
	list, err := s.ListTools(t.Context(), nil)
	require.NoError(t, err)
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	require.ElementsMatch(t, []string{"list_tools", "run", "trace"}, names)
	var tools listOutput
	call(t, s, "list_tools", nil, &tools)
	require.Equal(t, "rust:1 at /workspace/sub", tools.Toolchains[0].Image)
	require.Equal(t, "cargo", tools.Toolchains[0].Tools[0].Name)
	var trace traceOutput
	call(t, s, "trace", nil, &trace)
	require.Len(t, trace.Calls, 20)
	require.Equal(t, "cargo29", trace.Calls[19].Tool)
	call(t, s, "trace", map[string]any{"failed": true, "last": 5}, &trace)
	require.Len(t, trace.Calls, 1)
}

func TestWithoutTrace(t *testing.T) {
	s, _, _ := connect(t, Config{Workspace: "/workspace", Proxy: fakeProxy{}}, nil)
	list, err := s.ListTools(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, list.Tools, 2)
}

func TestRun(t *testing.T) {
	var got execproxy.Request
	proxy := fakeProxy{func(_ context.Context, r execproxy.Request) (int, error) {
		got = r
		in, err := io.ReadAll(r.Stdin)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(r.Stdout, "out %s\xff", in)
		fmt.Fprint(r.Stderr, "err")
		return 3, nil
	}}
	s, _, _ := connect(t, Config{Workspace: "/workspace", Proxy: proxy, Cwd: "/workspace/here"}, nil)
	var out runOutput
	r := call(t, s, "run", map[string]any{"toolchain": "rust", "argv": []string{"cargo", "a b"}, "stdin": "hello", "timeout_seconds": 1.5}, &out)
	require.False(t, r.IsError, "a tool that fails has run")
	out.DurationMS = 0
	require.Equal(t, runOutput{ExitCode: 3, Stdout: "out hello\ufffd", Stderr: "err"}, out)
	require.Equal(t, "rust", got.Kind)
	require.Equal(t, []string{"cargo", "a b"}, got.Argv)
	require.Equal(t, 1500*time.Millisecond, got.Limit)
	for cwd, want := range map[string]string{
		"": "/workspace/here", ".": "/workspace/here", "sub": "/workspace/sub", "/workspace/x": "/workspace/x", "/etc": "/etc", "../x": "/workspace/../x",
	} {
		call(t, s, "run", map[string]any{"argv": []string{"cargo"}, "cwd": cwd}, nil)
		require.Equal(t, want, got.Cwd, "%q", cwd)
	}
	for _, bad := range []map[string]any{{"argv": []string{"x"}, "timeout_seconds": -1}, {"argv": []string{"x"}, "timeout_seconds": 1e9}, {}, {"argv": "cargo"}, {"argv": []string{"x"}, "env": "y"}} {
		r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "run", Arguments: bad})
		require.True(t, err != nil || r.IsError, "%v", bad)
	}
}

func TestRunThatFails(t *testing.T) {
	proxy := fakeProxy{func(context.Context, execproxy.Request) (int, error) {
		return 86, &execproxy.RefusedError{Reason: "no such toolchain"}
	}}
	s, _, _ := connect(t, Config{Workspace: "/workspace", Proxy: proxy}, nil)
	var out runOutput
	r := call(t, s, "run", map[string]any{"argv": []string{"cargo"}}, &out)
	require.True(t, r.IsError)
	require.Equal(t, "no such toolchain", out.Error)
	require.Equal(t, 86, out.ExitCode)
}

// TestRunIsCancelled: by the client's word, and by its end.
func TestRunIsCancelled(t *testing.T) {
	for name, how := range map[string]func(cancel func(), conn net.Conn){
		"word": func(cancel func(), _ net.Conn) { cancel() },
		"end":  func(_ func(), conn net.Conn) { _ = conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			running, ended := make(chan struct{}), make(chan error, 1)
			proxy := fakeProxy{func(ctx context.Context, _ execproxy.Request) (int, error) {
				close(running)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return 0, context.Cause(ctx)
			}}
			s, conn, served := connect(t, Config{Workspace: "/workspace", Proxy: proxy}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				_, _ = s.CallTool(ctx, &mcp.CallToolParams{Name: "run", Arguments: map[string]any{"argv": []string{"cargo"}}})
			}()
			<-running
			how(cancel, conn)
			select {
			case err := <-ended:
				require.Error(t, err)
			case <-time.After(patience):
				t.Fatal("the call goes on")
			}
			if name == "end" {
				require.NoError(t, <-served)
			}
		})
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	over := errors.New("the session ends")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	require.ErrorIs(t, Serve(ctx, Config{Workspace: "/workspace", Proxy: fakeProxy{}}, ours), over)
}

func TestProgress(t *testing.T) {
	told := make(chan string, 100)
	proxy := fakeProxy{func(_ context.Context, r execproxy.Request) (int, error) {
		fmt.Fprint(r.Stdout, "12345")
		<-told
		return 0, nil
	}}
	s, _, _ := connect(t, Config{Workspace: "/workspace", Proxy: proxy}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { told <- r.Params.Message },
	})
	params := &mcp.CallToolParams{Name: "run", Arguments: map[string]any{"argv": []string{"cargo"}}}
	params.SetProgressToken("p1")
	_, err := s.CallTool(t.Context(), params)
	require.NoError(t, err)
}

func TestClipped(t *testing.T) {
	for _, tt := range []struct {
		n   int
		cut bool
	}{{0, false}, {100, false}, {headSize + tailSize, false}, {headSize + tailSize + 1, true}, {10 * tailSize, true}} {
		for _, piece := range []int{1 << 20, 1000} {
			c := &clipped{}
			all := strings.Repeat("0123456789", tt.n/10+1)[:tt.n]
			for rest := all; rest != ""; {
				n, err := c.Write([]byte(rest[:min(piece, len(rest))]))
				require.NoError(t, err)
				rest = rest[n:]
			}
			require.Equal(t, tt.cut, c.cut())
			require.EqualValues(t, tt.n, c.size())
			got := c.String()
			if !tt.cut {
				require.Equal(t, all, got)
				continue
			}
			left := tt.n - headSize - tailSize
			require.Equal(t, fmt.Sprintf("%s\n[... %d bytes left out ...]\n%s", all[:headSize], left, all[tt.n-tailSize:]), got)
			require.LessOrEqual(t, cap(c.tail), 4*tailSize)
		}
	}
}
