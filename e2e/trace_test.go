//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// traced is what a trace says of a call, without its times and its id.
type traced struct {
	State, Tool, Kind, Cwd, Streams, Code string
	Args                                  []string
	Stdin                                 *int64 `json:"stdin_bytes"`
	Stdout                                *int64 `json:"stdout_bytes"`
	Stderr                                *int64 `json:"stderr_bytes"`
	Exit                                  *int   `json:"exit_code"`
	Signal                                string
}

func number[T any](v T) *T { return &v }

const traceScript = `
mkdir -p sub && cd sub
cargo --version >/dev/null
printf hello | aifo-run rust sh -c 'cat; echo oops >&2; exit 3' >/dev/null 2>&1
aifo-run rust sh -c 'kill -SEGV $$' --token s3cret $OPENAI_API_KEY
npm ci 2>/dev/null
true
`

// TestTrace: what a session's trace says of real calls, over both transports.
func TestTrace(t *testing.T) {
	for name, flags := range map[string][]string{"TCP": nil, "unix": {"--toolchain-unix-socket"}} {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.env = append(c.env, "AIFO_ENV_OPENAI_API_KEY=canary-0123456789")
			require.Equal(t, 0, c.script(traceScript, append(flags, "--toolchain", "rust")...).code)
			r := c.run("", "trace", "--json")
			require.Equal(t, 0, r.code)
			require.NotContains(t, r.stdout, "s3cret")
			require.NotContains(t, r.stdout, "canary")
			var calls []traced
			require.NoError(t, json.Unmarshal([]byte(r.stdout), &calls))
			want := []traced{
				{State: "ended", Tool: "cargo", Args: []string{"--version"}, Kind: "rust", Exit: number(0)},
				{State: "ended", Tool: "sh", Args: []string{"-c", "cat; echo oops >&2; exit 3"}, Kind: "rust", Exit: number(3)},
				{State: "ended", Tool: "sh", Args: []string{"-c", "kill -SEGV $$", "--token", "***", "***"}, Kind: "rust", Exit: number(139), Signal: "SEGV"},
				{State: "refused", Tool: "npm", Args: []string{"ci"}, Exit: number(86), Code: "refused"},
			}
			for i := range want {
				want[i].Cwd = "/workspace/sub"
				switch {
				case want[i].State == "refused":
				case name == "unix":
					want[i].Streams = "files"
				default:
					want[i].Streams = "pipes"
				}
			}
			if name == "TCP" {
				for i := range calls[:3] { // of which one says its version, with a length that changes
					require.NotNil(t, calls[i].Stdout)
					if i != 1 {
						calls[i].Stdin, calls[i].Stdout, calls[i].Stderr = nil, nil, nil
					}
				}
				want[1].Stdin, want[1].Stdout, want[1].Stderr = number(int64(5)), number(int64(5)), number(int64(5))
			}
			require.Equal(t, want, calls)
			table := c.run("", "trace", "--failed", "--kind", "rust")
			require.Equal(t, 3, strings.Count(table.stdout, "\n"), "the heading and two")
		})
	}
}

// TestTraceFollow sees a call that is under way, and ends with the session.
func TestTraceFollow(t *testing.T) {
	c := self(t)
	open := c.gate("go-on")
	s := c.start("--toolchain", "rust", "shell", "--", "bash", "-c", "cargo --version; echo READY; aifo-run rust sh -c ': <go-on'; exit 0")
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	cmd := c.command(ctx, "trace", "-f", "--json")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	next := func() (r traced) {
		require.True(t, lines.Scan(), "the trace goes on")
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		return r
	}
	state := ""
	for state != "running" { // the first call may have been slow, for its sidecar had to start
		r := next()
		require.Contains(t, []string{"cargo", "sh"}, r.Tool)
		if r.Tool == "sh" {
			state = r.State
		}
	}
	open()
	require.Equal(t, "ended", next().State)
	require.Equal(t, 0, s.end(t))
	require.False(t, lines.Scan(), "nothing more comes")
	require.NoError(t, cmd.Wait())
}

// TestTraceOff leaves nothing.
func TestTraceOff(t *testing.T) {
	c := self(t)
	c.env = append(c.env, "AIFO_CODER_TRACE=off")
	require.Equal(t, 0, c.script("cargo --version", "--toolchain", "rust").code)
	require.Equal(t, 1, c.run("", "trace").code)
}
