package execproxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// direct makes a call without the protocol.
func direct(ctx context.Context, p *Proxy, r Request) (code int, out string, err error) {
	var stdout, stderr bytes.Buffer
	r.Stdout, r.Stderr = &stdout, &stderr
	code, err = p.Run(ctx, r)
	return code, stdout.String() + "|" + stderr.String(), err
}

func TestRun(t *testing.T) {
	w := newWitness()
	e := newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		in, err := io.ReadAll(c.Stdin)
		fmt.Fprintf(c.Stdout, "%s %q %s %s", c.Kind, c.Argv, c.Cwd, in)
		fmt.Fprint(c.Stderr, "err")
		return 3, err
	})
	cfg := testConfig(e)
	cfg.Observe = w.observe
	p := New(cfg)
	code, out, err := direct(t.Context(), p, Request{Argv: []string{"cargo", "a b"}, Cwd: "/workspace//x/", Stdin: strings.NewReader("in")})
	require.NoError(t, err)
	require.Equal(t, 3, code)
	require.Equal(t, `rust ["cargo" "a b"] /workspace/x in|err`, out)
	_, out, err = direct(t.Context(), p, Request{Kind: "RS", Argv: []string{"./target/app"}, Cwd: ".", Stdin: strings.NewReader("")})
	require.NoError(t, err)
	require.Equal(t, `rust ["./target/app"] /workspace |err`, out)
	require.Contains(t, w.lines[0], ` rust ["cargo" "a b"] /workspace/x v`)
	require.Contains(t, w.lines[1], `3  "" pipes in=2 out=`)
	require.NoError(t, p.Shutdown(t.Context()))
	_, _, err = direct(t.Context(), p, Request{Argv: []string{"cargo"}, Cwd: "."})
	require.EqualError(t, err, "the session is ending")
}

func TestRunRefuses(t *testing.T) {
	p := New(testConfig(newFakeExecutor(func(context.Context, Call) (int, error) { panic("it was let through") })))
	for _, tt := range []struct {
		r    Request
		want string
	}{
		{Request{Cwd: "."}, "no tool was named"},
		{Request{Argv: []string{""}, Cwd: "."}, "no tool was named"},
		{Request{Argv: []string{"rm"}, Cwd: "."}, `"rm" is no tool of a toolchain that is known; name the toolchain that shall run it`},
		{Request{Argv: []string{"npm"}, Cwd: "."}, "this session has no toolchain with npm; start it with --toolchain node"},
		{Request{Kind: "node", Argv: []string{"npm"}, Cwd: "."}, `this session has no toolchain "node"; it has rust`},
		{Request{Argv: []string{"cargo"}, Cwd: "/etc"}, refuseCwd},
		{Request{Argv: []string{"cargo"}, Cwd: "/workspace/../etc"}, refuseCwd},
		{Request{Argv: []string{"cargo"}, Cwd: ""}, refuseCwd},
		{Request{Argv: []string{"cargo", "a\x00b"}, Cwd: "."}, "the arguments are too long, or have a NUL"},
		{Request{Argv: []string{"cargo", strings.Repeat("x", 1<<20)}, Cwd: "."}, "the arguments are too long, or have a NUL"},
		{Request{Argv: []string{strings.Repeat("x", 100)}, Cwd: "."}, "the arguments are too long, or have a NUL"},
	} {
		code, _, err := direct(t.Context(), p, tt.r)
		var refused *RefusedError
		require.ErrorAs(t, err, &refused, "%v", tt.r.Cwd)
		require.Equal(t, tt.want, refused.Reason)
		require.Equal(t, 86, code)
	}
}

func TestRunEnds(t *testing.T) {
	e, running, ended := untilCancelled()
	p := New(testConfig(e))
	code, _, err := direct(t.Context(), p, Request{Argv: []string{"cargo"}, Cwd: ".", Limit: time.Millisecond})
	require.ErrorIs(t, err, errTimeout)
	require.Equal(t, 124, code)
	<-running
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-running
		cancel()
	}()
	_, _, err = direct(ctx, p, Request{Argv: []string{"cargo"}, Cwd: "."})
	require.ErrorIs(t, err, errGone)
	require.ErrorIs(t, waitFor(t, ended), errGone)
}

// TestMCP hands the connection over, and ends it with the session.
func TestMCP(t *testing.T) {
	cfg := testConfig(exit(0, ""))
	over := make(chan error, 1)
	cfg.MCP = func(ctx context.Context, conn io.ReadWriteCloser) {
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			_, err = io.WriteString(conn, "got "+line)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, conn)
		}
		over <- err
	}
	s := serve(t, cfg)
	require.Equal(t, "aifo-mcp/1", parseReply(t, s.send(t, post("/mcp", "", auth, "X-Aifo-Proto: 3"))).header.Get("Upgrade"))
	c := s.dial(t)
	_, err := io.WriteString(c, post("/mcp", "", auth, "X-Aifo-Proto: 3", "Connection: Upgrade", "Upgrade: aifo-mcp/1"))
	require.NoError(t, err)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, "aifo-mcp/1", resp.Header.Get("Upgrade"))
	_, err = io.WriteString(c, "hello\n")
	require.NoError(t, err)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "got hello\n", line)
	require.NoError(t, s.Shutdown(t.Context()))
	waitFor(t, over)
	_, err = r.ReadByte()
	require.Error(t, err)
}

// TestMCPIsBounded: connections of no use are not without end.
func TestMCPIsBounded(t *testing.T) {
	cfg := testConfig(exit(0, ""))
	cfg.MCP = func(ctx context.Context, _ io.ReadWriteCloser) { <-ctx.Done() }
	s := serve(t, cfg)
	request := post("/mcp", "", auth, "X-Aifo-Proto: 3", "Connection: Upgrade", "Upgrade: aifo-mcp/1")
	for range maxMCP {
		c := s.dial(t)
		_, err := io.WriteString(c, request)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	}
	require.Equal(t, http.StatusServiceUnavailable, parseReply(t, s.send(t, request)).status)
}
