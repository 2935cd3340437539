package dockerexec_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/dockerexec"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func executor() *dockerexec.Executor {
	return &dockerexec.Executor{User: func(string) string { return "1:2" }, Grace: time.Second, Container: func(kind string) string { return "tc-" + kind }}
}

// ask returns the vector of a call of "tool" in the rust sidecar.
func ask(stdin bool) []string {
	return plan.ToolExec("tc-rust", "1:2", plan.Call{ID: "id", Kind: "rust", Cwd: "/workspace/a b", Argv: []string{"tool", "x y"}, Stdin: stdin}).Argv()
}

func helper(args string) []string {
	return append(fakedocker.Words("exec --user 1:2 tc-rust /opt/aifo/bin/aifo-shim"), fakedocker.Words(args)...)
}

func call(stdin *strings.Reader, out, err *bytes.Buffer) execproxy.Call {
	c := execproxy.Call{ID: "id", Kind: "rust", Cwd: "/workspace/a b", Argv: []string{"tool", "x y"}, Stdout: out, Stderr: err}
	if stdin != nil {
		c.Stdin = stdin
	}
	return c
}

var isRunning = fakedocker.Words("container inspect --format {{.State.Running}} -- tc-rust")

func TestRun(t *testing.T) {
	for code, asksDocker := range map[int]bool{0: false, 2: false, 101: false, 1: true, 125: true, 126: true, 127: true, 137: true} {
		answers := []fakedocker.Answer{{Argv: ask(code == 2), Out: "out", Err: "err", Code: code}}
		if asksDocker {
			answers = append(answers, fakedocker.Answer{Argv: isRunning, Out: "true\n"})
		}
		if code == 137 {
			answers = append(answers, fakedocker.Answer{Argv: helper("ready")})
		}
		fakedocker.Install(t, answers...)
		var stdin *strings.Reader
		if code == 2 {
			stdin = strings.NewReader("in")
		}
		var out, errOut bytes.Buffer
		got, err := executor().Run(t.Context(), call(stdin, &out, &errOut))
		require.NoError(t, err, code)
		require.Equal(t, code, got)
		require.Equal(t, "out", out.String())
		require.Equal(t, "err", errOut.String())
	}
}

// TestSidecarHasEnded: docker's exit code is not the tool's.
func TestSidecarHasEnded(t *testing.T) {
	for _, running := range []fakedocker.Answer{{Code: 1}, {Out: "false\n"}} {
		running.Argv = isRunning
		fakedocker.Install(t, fakedocker.Answer{Argv: ask(false), Err: "no such container", Code: 1}, running)
		var out, errOut bytes.Buffer
		_, err := executor().Run(t.Context(), call(nil, &out, &errOut))
		require.ErrorContains(t, err, "the rust sidecar has ended")
	}
}

// TestSidecarIsBeingRemoved: its processes were killed, and the engine still says that it runs.
func TestSidecarIsBeingRemoved(t *testing.T) {
	fakedocker.Install(t,
		fakedocker.Answer{Argv: ask(false), Code: 137},
		fakedocker.Answer{Argv: isRunning, Out: "true\n"}, fakedocker.Answer{Argv: isRunning, Out: "true\n"}, fakedocker.Answer{Argv: isRunning, Out: "false\n"},
		fakedocker.Answer{Argv: helper("ready"), Err: "cannot exec in a stopped container", Code: 126},
	)
	var out, errOut bytes.Buffer
	_, err := executor().Run(t.Context(), call(nil, &out, &errOut))
	require.ErrorContains(t, err, "the rust sidecar has ended")
}

// TestKilledToolInAFullSidecar: what it left behind lets nothing start, and the sidecar goes on.
func TestKilledToolInAFullSidecar(t *testing.T) {
	fakedocker.Install(t,
		fakedocker.Answer{Argv: ask(false), Code: 137}, fakedocker.Answer{Argv: isRunning, Out: "true\n"},
		fakedocker.Answer{Argv: helper("ready"), Err: "fork: resource temporarily unavailable", Code: 126},
	)
	var out, errOut bytes.Buffer
	code, err := executor().Run(t.Context(), call(nil, &out, &errOut))
	require.NoError(t, err)
	require.Equal(t, 137, code)
}

// TestEndOfACall: killing the docker command would leave the tool running, so
// the tool is ended in the container.
func TestEndOfACall(t *testing.T) {
	fakedocker.Install(t, fakedocker.Answer{Argv: ask(false), Out: "Ready\n", Block: true}, fakedocker.Answer{Argv: helper("end --id id --grace 1s")})
	gone := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = bufio.NewReader(r).ReadString('\n')
		cancel(gone)
		_, _ = io.Copy(io.Discard, r)
	}()
	c := call(nil, nil, new(bytes.Buffer))
	c.Stdout = w
	_, err := executor().Run(ctx, c)
	require.ErrorIs(t, err, gone)
}

func TestHelpers(t *testing.T) {
	fakedocker.Install(t,
		fakedocker.Answer{Argv: helper("signal --id id --signal INT")},
		fakedocker.Answer{Argv: helper("ready --wait")},
	)
	require.NoError(t, executor().Signal(t.Context(), "rust", "id", "INT"))
	require.NoError(t, executor().Open(t.Context(), "rust"))

	fakedocker.Install(t, fakedocker.Answer{Argv: helper("ready --wait"), Err: "no\n", Code: 1})
	require.EqualError(t, executor().Open(t.Context(), "rust"), "no")
}
