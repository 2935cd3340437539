//go:build linux

package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// answers runs aifo-coder on a terminal with more variables and types answers, each when its question is
// there. It returns what the terminal has shown, and the exit code.
func (w *world) answers(env, typed []string, args ...string) (shown string, code int) {
	w.t.Helper()
	var keys []key
	for _, answer := range typed {
		keys = append(keys, key{"[y/N] ", answer})
	}
	return w.types(env, keys, append([]string{"aifo-coder"}, args...)...)
}

// key is what is typed when the terminal has shown something since the key before.
type key struct{ after, text string }

// types is answers for any program, to anything that it shows.
func (w *world) types(env []string, keys []key, argv ...string) (shown string, code int) {
	w.t.Helper()
	cmd, master := w.begins(env, argv...)
	defer func() { _ = master.Close() }()
	var out bytes.Buffer
	seen := 0
	for _, k := range keys {
		for !bytes.Contains(out.Bytes()[seen:], []byte(k.after)) {
			var b [256]byte
			n, err := master.Read(b[:])
			require.NoError(w.t, err, "%s", out.String())
			out.Write(b[:n])
		}
		seen = out.Len()
		_, err := io.WriteString(master, k.text)
		require.NoError(w.t, err)
	}
	_, _ = io.Copy(&out, master) // EIO at its end
	_ = cmd.Wait()               // the state tells
	return out.String(), cmd.ProcessState.ExitCode()
}

// begins starts a program on a terminal.
func (w *world) begins(env []string, argv ...string) (*exec.Cmd, *os.File) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), argv[0], argv[1:]...)
	cmd.Dir = filepath.Join(w.dir, "src")
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	for name, value := range environment(w.dir, filepath.Join(w.dir, "docker")) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, env...)
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 64})
	require.NoError(w.t, err)
	return cmd, master
}

// TestConfigEditAsks: what is wrong can be mended at once, or given up without being lost.
func TestConfigEditAsks(t *testing.T) {
	w := newWorld(t)
	config := filepath.Join(w.dir, "home", ".config", "aifo-coder", "config.yaml")
	// The editor makes a mistake the first time.
	editor := `VISUAL=sh -c 'if grep -q memroy "$0"; then sed -i s/memroy/memory/ "$0"; else echo "memroy: 2g" >"$0"; fi'`
	shown, code := w.answers([]string{editor}, []string{"y\n"}, "config", "edit")
	require.Zero(t, code, shown)
	require.Contains(t, shown, `"memroy" is not a setting; did you mean "memory"?`)
	require.Contains(t, shown, "go on editing? [y/N]")
	data, err := os.ReadFile(config)
	require.NoError(t, err)
	require.Equal(t, "memory: 2g\n", string(data))

	shown, code = w.answers([]string{`VISUAL=sh -c 'echo "memory: 3q" >"$0"'`}, []string{"n\n"}, "config", "edit")
	require.Equal(t, 1, code, shown)
	require.Contains(t, shown, "what you wrote is in ")
	data, err = os.ReadFile(config)
	require.NoError(t, err)
	require.Equal(t, "memory: 2g\n", string(data))
	drafts, err := filepath.Glob(filepath.Join(filepath.Dir(config), ".config-*.yaml"))
	require.NoError(t, err)
	require.Len(t, drafts, 1)
}

// TestBannerIsForTerminals: it says what starts, to who looks on and has not asked for quiet.
func TestBannerIsForTerminals(t *testing.T) {
	w := newWorld(t)
	const want = "aifo-coder: aider in aifo-coder-aider:latest, with rust\r\naifo-coder: workspace "
	shown, code := w.answers(nil, nil, "--toolchain", "rust", "aider")
	require.Zero(t, code, shown)
	require.Contains(t, shown, want)
	require.Contains(t, shown, ", network open, keys with the agent\r\n")
	for _, flag := range []string{"--quiet", "--dry-run"} {
		shown, _ = w.answers(nil, nil, flag, "--toolchain", "rust", "aider")
		require.NotContains(t, shown, "keys with the agent", flag)
	}
	r := w.start(".", nil, "--toolchain", "rust", "aider")
	r.ends(0)
	require.NotContains(t, r.err.String(), "keys with the agent")
}

// TestPullOnATerminal: the engine's own progress is there, in place of ours.
func TestPullOnATerminal(t *testing.T) {
	w := newWorld(t)
	args := []string{"toolchain", "python", "--", "python"}
	shown, code := w.answers(nil, nil, args...)
	require.Zero(t, code, shown)
	require.Contains(t, shown, "aifo-coder: pulling image python:3.12-slim\r\n0123456789ab: Pull complete\r\n")
	require.NotContains(t, shown, "took")

	w = newWorld(t)
	shown, code = w.answers(nil, nil, append([]string{"--quiet"}, args...)...)
	require.Zero(t, code, shown)
	require.NotContains(t, shown, "ull")

	w = newWorld(t)
	shown, code = w.answers([]string{"TERM=dumb"}, nil, args...)
	require.Zero(t, code, shown)
	require.NotContains(t, shown, "Pull complete")
	require.Contains(t, shown, "pulling image python:3.12-slim took ")
}

// TestCtrlCWhileSomethingIsUnderWay leaves a terminal on which nothing of it is left.
func TestCtrlCWhileSomethingIsUnderWay(t *testing.T) {
	w := newWorld(t)
	shown, code := w.types(blockAt("exec aifo-tc-rust ready"), []key{{"starting the rust sidecar", "\x03"}}, "aifo-coder", "toolchain", "rust", "--", "cargo")
	require.Equal(t, 130, code, shown)
	require.True(t, strings.HasSuffix(shown, "\r\x1b[K"), "%q", shown)
	require.Empty(t, w.left())
}

// TestAgentIsToldToEnd on a terminal: the signal reached a container that ran, so none is still to come.
func TestAgentIsToldToEnd(t *testing.T) {
	w := newWorld(t)
	cmd, master := w.begins(blockAt("run aifo-coder-shell"), "aifo-coder", "shell")
	defer func() { _ = master.Close() }()
	ended := make(chan []byte, 1)
	go func() {
		out, _ := io.ReadAll(master) // EIO at its end
		ended <- out
	}()
	select {
	case <-w.ready:
	case out := <-ended:
		t.Fatalf("%s", out)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT)) // after which nothing is forced
	shown := <-ended
	_ = cmd.Wait() // the state tells
	require.Equal(t, 130, cmd.ProcessState.ExitCode(), "%s", shown)
	require.Equal(t, 1, strings.Count(w.log(), `"label=dev.aifo-coder.kind=agent","--format"`), "whether it is gone is asked once")
}

// TestStopShowsWhatItWaitsFor, until it is told not to wait.
func TestStopShowsWhatItWaitsFor(t *testing.T) {
	w := newWorld(t)
	r := w.running("FAKE_DOCKER_STUBBORN=1")
	r.signal(syscall.SIGSTOP) // or it might end by force, in a time of its own
	shown, code := w.types(nil, []key{{"ending session lives", "\x03"}}, "aifo-coder", "stop")
	require.Equal(t, 130, code, shown)
	require.True(t, strings.HasSuffix(shown, "\r\x1b[K"), "%q", shown)
	r.signal(syscall.SIGCONT)
	r.signal(syscall.SIGTERM) // the second
	r.ends(143)
}

// TestNothingIsDrawnBehindAPrompt: the line there is the shell's.
func TestNothingIsDrawnBehindAPrompt(t *testing.T) {
	w := newWorld(t)
	r := w.running("FAKE_DOCKER_STUBBORN=1")
	r.signal(syscall.SIGSTOP) // or it might end by force before it is killed
	shown, code := w.types(nil, nil, "sh", "-c", "set -m; aifo-coder stop --time 1s & wait")
	require.Zero(t, code, shown)
	require.Contains(t, shown, "did not end within 1s and was killed")
	require.NotContains(t, shown, "ending session")
	r.ends(-1)
}

// TestHelpIsAsWideAsTheTerminal also is that of a terminal that is narrow.
func TestHelpIsAsWideAsTheTerminal(t *testing.T) {
	w := newWorld(t)
	shown, code := w.answers(nil, nil, "help", "environment")
	require.Zero(t, code)
	for line := range bytes.Lines([]byte(shown)) {
		require.LessOrEqual(t, len(bytes.TrimRight(line, "\r\n")), 64, "%q", line)
	}
}
