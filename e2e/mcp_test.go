//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
)

// ran is what the tool run says.
type ran struct {
	ExitCode  int    `json:"exit_code"`
	Stdout    string `json:"stdout"`
	Stderr    string `json:"stderr"`
	Truncated bool   `json:"truncated"`
	Error     string `json:"error"`
}

// mcpClient starts a program that serves MCP and connects to it.
func mcpClient(t *testing.T, cmd *exec.Cmd) *mcp.ClientSession {
	t.Helper()
	var said syncbuf.Buffer
	cmd.Stderr = &said
	s, err := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil).Connect(t.Context(), &mcp.CommandTransport{Command: cmd, TerminateDuration: wait}, nil)
	require.NoError(t, err, "%s", said.String())
	t.Cleanup(func() { t.Logf("stderr of the server: %s", said.String()) })
	return s
}

func runTool(ctx context.Context, t *testing.T, s *mcp.ClientSession, args map[string]any) (out ran, failed bool) {
	t.Helper()
	r, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "run", Arguments: args})
	require.NoError(t, err)
	text, err := json.Marshal(r.StructuredContent)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &out), "%s", text)
	return out, r.IsError
}

func argv(words ...string) map[string]any { return map[string]any{"argv": words, "toolchain": "rust"} }

// checkMCP tries what a client may do with a session that has rust.
func checkMCP(t *testing.T, c *caller, s *mcp.ClientSession) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, failed := runTool(ctx, t, s, map[string]any{"argv": []string{"cargo", "--version"}})
	require.False(t, failed)
	require.True(t, strings.HasPrefix(out.Stdout, "cargo 1."), out.Stdout)
	in := argv("sh", "-c", "cat; echo oops >&2; pwd; exit 3")
	in["stdin"], in["cwd"] = "hello\n", "sub"
	out, failed = runTool(ctx, t, s, in)
	require.False(t, failed)
	require.Equal(t, ran{ExitCode: 3, Stdout: "hello\n/workspace/sub\n", Stderr: "oops\n"}, out)
	out, _ = runTool(ctx, t, s, argv("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo end"))
	require.True(t, out.Truncated)
	require.Less(t, len(out.Stdout), 100_000)
	require.True(t, strings.HasSuffix(out.Stdout, "xend\n"))
	slow := argv("sh", "-c", "sleep 1000")
	slow["timeout_seconds"] = 0.5
	out, failed = runTool(ctx, t, s, slow)
	require.True(t, failed)
	require.Equal(t, 124, out.ExitCode)
	for want, bad := range map[string]map[string]any{
		"/workspace or below it": {"argv": []string{"cargo"}, "cwd": "/etc"}, "has . or .. in it": {"argv": []string{"cargo"}, "cwd": "../etc"},
		"is no tool": {"argv": []string{"rm", "x"}}, "--toolchain node": {"argv": []string{"npm", "ci"}}, `it has rust`: {"argv": []string{"x"}, "toolchain": "go"},
	} {
		out, failed = runTool(ctx, t, s, bad)
		require.True(t, failed)
		require.Contains(t, out.Error, want)
	}
	list, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "list_tools"})
	require.NoError(t, err)
	text, err := json.Marshal(list.StructuredContent)
	require.NoError(t, err)
	require.Contains(t, string(text), `"name":"rustc"`)
	trace, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "trace", Arguments: map[string]any{"failed": true}})
	require.NoError(t, err)
	text, err = json.Marshal(trace.StructuredContent)
	require.NoError(t, err)
	require.Contains(t, string(text), `"code":"timeout"`)

	// Cancelled, the tool and what it has started are gone.
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.CallTool(ctx, &mcp.CallToolParams{Name: "run", Arguments: argv("sh", "-c", "sleep 4321 & sleep 4321")})
	}()
	eventually(t, func() bool { return c.runsIn("rust", "sleep 4321") }, "the tool runs")
	stop()
	<-done
	eventually(t, func() bool { return !c.runsIn("rust", "sleep 4321") }, "the tool has ended")
}

// TestMCP serves toolchains without an agent.
func TestMCP(t *testing.T) {
	c := self(t)
	c.write("sub/x", "")
	c.own(c.workspace)
	s := mcpClient(t, c.command(t.Context(), "mcp", "--toolchain", "rust"))
	checkMCP(t, c, s)
	require.NoError(t, s.Close())
	eventually(t, func() bool { return len(c.containers()) == 0 }, "the sidecar is removed")
	r := c.run("", "trace", "--json")
	require.Contains(t, r.stdout, `"protocol": ""`)
}

// TestMCPOfASession serves those of a session with an agent, on the host and in the agent's
// container, over both transports.
func TestMCPOfASession(t *testing.T) {
	for name, flags := range map[string][]string{"TCP": nil, "unix": {"--toolchain-unix-socket"}} {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.write("sub/x", "")
			c.own(c.workspace)
			c.env = append(c.env, "AIFO_CODER_FORK_SESSION=mcp-e2e-"+strings.ToLower(name))
			open := c.gate("go-on")
			session := c.start(append(flags, "--toolchain", "rust", "shell", "--", "bash", "-c", "echo READY; : <go-on")...)
			inside := exec.CommandContext(t.Context(), "docker", "exec", "--interactive", "aifo-coder-shell-mcp-e2e-"+strings.ToLower(name),
				"/opt/aifo/bin/aifo-mcp") // without the agent's variables, as an agent may start it
			s := mcpClient(t, inside)
			checkMCP(t, c, s)
			require.NoError(t, s.Close())
			s = mcpClient(t, c.command(t.Context(), "mcp", "--session", "mcp-e2e-"+strings.ToLower(name)))
			checkMCP(t, c, s)
			require.NoError(t, s.Close())
			open()
			require.Equal(t, 0, session.end(t))
		})
	}
}
