//go:build linux

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// world is a host with a fake engine for one test.
type world struct {
	t     *testing.T
	dir   string
	ready chan string // a line for each docker command that blocks
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir())
}

func newWorldIn(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, ready: make(chan string)}
	docker := filepath.Join(w.dir, "docker")
	require.NoError(t, makeDirs(w.dir, docker))
	path := filepath.Join(docker, "ready")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	// Open for both, so that neither side ever waits for the other to open it.
	fifo, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		for s := bufio.NewScanner(fifo); s.Scan(); {
			select {
			case w.ready <- s.Text():
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		require.NoError(t, fifo.Close())
		w.killDockers()
		unexpected, err := os.ReadFile(filepath.Join(docker, "unexpected"))
		require.ErrorIs(t, err, os.ErrNotExist, "%s", unexpected)
	})
	return w
}

// killDockers ends what a failed test leaves: the fake may ignore signals.
func (w *world) killDockers() {
	f := fakeDocker{dir: filepath.Join(w.dir, "docker")}
	for _, name := range f.names("containers") {
		if o, _ := f.get("containers", name); o.PID != 0 {
			_ = syscall.Kill(o.PID, syscall.SIGKILL) // mostly ended already
		}
	}
}

// run is one aifo-coder.
type run struct {
	w    *world
	cmd  *exec.Cmd
	err  bytes.Buffer
	done chan struct{}
}

// start starts aifo-coder in the workspace, or in dir below it, with more
// variables.
func (w *world) start(dir string, env []string, args ...string) *run {
	w.t.Helper()
	r := &run{w: w, cmd: exec.Command("aifo-coder", args...), done: make(chan struct{})}
	r.cmd.Dir = filepath.Join(w.dir, "src", dir)
	r.cmd.Env = os.Environ()
	for name, value := range environment(w.dir, filepath.Join(w.dir, "docker")) {
		r.cmd.Env = append(r.cmd.Env, name+"="+value)
	}
	r.cmd.Env = append(r.cmd.Env, env...)
	r.cmd.Stderr = &r.err
	r.cmd.WaitDelay = time.Second // a docker that a failed test leaves holds it open
	require.NoError(w.t, r.cmd.Start())
	go func() {
		_ = r.cmd.Wait() // the state tells
		close(r.done)
	}()
	w.t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // ended, unless the test failed
		<-r.done
	})
	return r
}

// patience is for a busy machine; nothing waits that long unless the test fails.
const patience = 60 * time.Second

// blocked waits until a docker command blocks, or a stubborn one has had a signal.
func (r *run) blocked() {
	r.w.t.Helper()
	select {
	case <-r.w.ready:
	case <-r.done:
		r.w.t.Fatalf("ended with %d before it came so far: %s", r.cmd.ProcessState.ExitCode(), r.err.String())
	case <-time.After(patience):
		r.w.t.Fatal("did not come so far")
	}
}

func (r *run) signal(s syscall.Signal) { require.NoError(r.w.t, r.cmd.Process.Signal(s)) }

// ends waits for the end and wants the exit code.
func (r *run) ends(code int) {
	r.w.t.Helper()
	select {
	case <-r.done:
		require.Equal(r.w.t, code, r.cmd.ProcessState.ExitCode(), r.err.String())
	case <-time.After(patience):
		r.w.t.Fatal("did not end")
	}
}

// left returns what is still there of sessions.
func (w *world) left() []string {
	left := []string{}
	for _, pattern := range []string{"docker/containers/*", "docker/networks/*", "run/aifo-coder/*"} {
		paths, err := filepath.Glob(filepath.Join(w.dir, pattern))
		require.NoError(w.t, err)
		left = append(left, paths...)
	}
	return left
}

func blockAt(words string) []string { return []string{"FAKE_DOCKER_BLOCK=" + words} }

var signals = map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129, syscall.SIGQUIT: 131}

// TestSignal: a signal ends the session wherever it is, with the exit code of a
// program that the signal ended, without a word, and nothing is left.
func TestSignal(t *testing.T) {
	for name, tt := range map[string]struct {
		block string
		args  []string
	}{
		"agent runs":           {"run aifo-coder-shell", []string{"shell"}},
		"agent with a sidecar": {"run aifo-coder-shell", []string{"--toolchain", "rust", "shell"}},
		"command runs":         {"exec AIFO_EXEC_ID", []string{"toolchain", "rust", "--", "cargo"}},
		"sidecar starts":       {"exec aifo-tc-rust ready", []string{"toolchain", "rust", "--", "cargo"}},
		"unix socket":          {"run aifo-coder-shell", []string{"--toolchain", "rust", "--toolchain-unix-socket", "shell"}},
	} {
		for sig, code := range signals {
			t.Run(fmt.Sprintf("%s/%v", name, sig), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				r := w.start("", blockAt(tt.block), tt.args...)
				r.blocked()
				r.signal(sig)
				r.ends(code)
				require.Empty(t, w.left())
				require.Empty(t, r.err.String())
			})
		}
	}
}

// TestTimeLimit ends the toolchain subcommand's command as well, with a reason.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("", blockAt("exec AIFO_EXEC_ID"), "--toolchain-timeout", "1s", "toolchain", "rust", "--", "cargo")
	r.ends(124)
	require.Empty(t, w.left())
	require.Contains(t, r.err.String(), "time limit of 1s")
}

// TestSignalWhileDockerStartsTheSidecar: a docker run that was begun is seen to
// its end, so that its container can be removed.
func TestSignalWhileDockerStartsTheSidecar(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("", append(blockAt("run aifo-tc-rust"), "AIFO_CODER_FORK_SESSION=x"), "toolchain", "rust", "--", "cargo")
	r.blocked()
	r.signal(syscall.SIGTERM)
	data, err := os.ReadFile(filepath.Join(w.dir, "docker/containers/aifo-tc-rust-x"))
	require.NoError(t, err)
	var o object
	require.NoError(t, json.Unmarshal(data, &o))
	require.NoError(t, syscall.Kill(o.PID, syscall.SIGTERM)) // the fake's docker run ends
	r.ends(143)
	require.Empty(t, w.left())
}

// TestAgentThatDoesNotEnd: somebody insists, after the grace period or at once
// when asked again.
func TestAgentThatDoesNotEnd(t *testing.T) {
	stubborn := append(blockAt("run aifo-coder-shell"), "FAKE_DOCKER_STUBBORN=1")
	t.Run("after the grace period", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.start("", stubborn, "shell")
		r.blocked()
		r.signal(syscall.SIGTERM)
		r.ends(143)
		require.Empty(t, w.left())
	})
	t.Run("when asked again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.start("", stubborn, "shell")
		r.blocked()
		r.signal(syscall.SIGINT) // an agent's own business: it cancels what it does
		r.blocked()              // two signals that wait together are taken in any order
		r.signal(syscall.SIGTERM)
		r.ends(143)
		require.Empty(t, w.left())
	})
}

// TestSidecarFailsWhileTheAgentRuns ends the agent and tells why.
func TestSidecarFailsWhileTheAgentRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	env := append(blockAt("run aifo-coder-shell"), "FAKE_DOCKER_FAIL=exec aifo-tc-rust serve: not ready", "FAKE_DOCKER_LOGS=boot: no luck today")
	r := w.start("", env, "--toolchain", "rust", "shell")
	r.ends(125)
	require.Empty(t, w.left())
	require.Equal(t, 1, strings.Count(r.err.String(), "no luck today"), r.err.String())
}

// TestAgentEndsWhileASidecarStarts: nobody waits for the sidecar.
func TestAgentEndsWhileASidecarStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("", append(blockAt("exec aifo-tc-rust serve"), "FAKE_DOCKER_SIDECARS=1", "FAKE_DOCKER_EXIT=7"), "--toolchain", "rust", "shell")
	r.ends(7)
	require.Empty(t, w.left())
}

// TestKilled: what a killed session leaves, the next one removes.
func TestKilled(t *testing.T) {
	for name, tt := range map[string]struct {
		block string
		args  []string
	}{
		"agent":       {"run aifo-coder-shell", []string{"shell"}},
		"toolchain":   {"exec AIFO_EXEC_ID", []string{"toolchain", "rust", "--", "cargo"}},
		"unix socket": {"run aifo-coder-shell", []string{"--toolchain", "rust", "--toolchain-unix-socket", "shell"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start("", blockAt(tt.block), tt.args...)
			r.blocked()
			r.signal(syscall.SIGKILL)
			r.ends(-1)
			require.NotEmpty(t, w.left(), "the test shows nothing")
			next := w.start("", nil, "shell", "--", "ls")
			next.ends(0)
			require.Empty(t, w.left())
			require.Empty(t, next.err.String())
		})
	}
}

// TestOneAgentPerRepository: the second ends with 1 and names the first.
func TestOneAgentPerRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, dir := range []string{"src/sub", "src/other/.git"} {
		require.NoError(t, os.MkdirAll(filepath.Join(w.dir, dir), 0o700))
	}
	first := w.start("", blockAt("run aifo-coder-shell"), "shell")
	first.blocked()
	for _, dir := range []string{"", "sub"} {
		second := w.start(dir, nil, "shell")
		second.ends(1)
		require.Contains(t, second.err.String(), "pid "+strconv.Itoa(first.cmd.Process.Pid))
		require.Contains(t, second.err.String(), filepath.Join(w.dir, "src"))
	}
	// What is no agent in this repository goes on.
	w.start("other", nil, "shell").ends(0)
	w.start("", nil, "--workspace", "sub", "shell").ends(0)
	w.start("", nil, "toolchain", "rust", "--", "cargo").ends(0)
	w.start("", []string{"AIFO_CODER_SKIP_LOCK=1"}, "shell").ends(0)
	w.start("", nil, "--dry-run", "shell").ends(0)

	first.signal(syscall.SIGTERM)
	first.ends(143)
	require.Empty(t, w.left())
	w.start("", nil, "shell").ends(0)
	require.Empty(t, w.left())
}

// TestTwoSessionsAtOnce in two repositories do not touch each other.
func TestTwoSessionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "src/other/.git"), 0o700))
	block := blockAt("run aifo-coder-shell")
	first := w.start("", block, "--toolchain", "rust", "shell")
	first.blocked()
	second := w.start("other", block, "--toolchain", "rust", "shell")
	second.blocked()
	second.signal(syscall.SIGTERM)
	second.ends(143)
	require.NotEmpty(t, w.left(), "the first goes on")
	select {
	case <-first.done:
		t.Fatal("the first session has ended: ", first.err.String())
	default:
	}
	first.signal(syscall.SIGTERM)
	first.ends(143)
	require.Empty(t, w.left())
}
