//go:build linux

package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/lock"
)

// output runs aifo-coder in the world to its end and returns its standard output.
func (w *world) output(code int, env []string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("aifo-coder", args...)
	cmd.Dir = filepath.Join(w.dir, "src")
	cmd.Env = os.Environ()
	for name, value := range environment(w.dir, filepath.Join(w.dir, "docker")) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = w.t.Output()
	out, _ := cmd.Output() // the state tells
	require.Equal(w.t, code, cmd.ProcessState.ExitCode(), "%q", args)
	return string(out)
}

// running is a session whose agent runs.
func (w *world) running(env ...string) *run {
	w.t.Helper()
	env = append(env, blockAt("run aifo-coder-shell")...)
	r := w.start("", append(env, "AIFO_CODER_FORK_SESSION=lives"), "--toolchain", "rust", "shell")
	r.blocked()
	return r
}

// awaitContainer waits for a container. A sidecar starts half a second after the agent.
func (w *world) awaitContainer(name string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "docker/containers", name))
		return err == nil
	}, patience, 10e6)
}

// TestPsAndExecOfARunningSession also wants the vector of the exec: as whom, where, and what.
func TestPsAndExecOfARunningSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.running()
	w.awaitContainer("aifo-tc-rust-lives")
	require.Regexp(t, `(?m)^lives +running +\d+s +\S+ +shell in `, w.output(0, nil, "ps"))
	w.output(9, []string{"FAKE_DOCKER_EXIT=9"}, "exec", "rust", "--", "cargo", "-V")
	looks := `"aifo-tc-rust-lives","/opt/aifo/bin/aifo-shim","ports"`
	require.Eventually(t, func() bool { return strings.Contains(w.log(), looks) }, patience, 10e6, "the session looks at the ports of what another process runs")
	require.Regexp(t, `^docker exec --interactive --user 1234:567 --env AIFO_EXEC_ID=[0-9a-z]{8} aifo-tc-rust-lives `+
		`/opt/aifo/bin/aifo-shim run --kind rust --cwd /workspace -- cargo -V\n$`, w.output(0, nil, "--dry-run", "exec", "rust", "--", "cargo", "-V"))
	require.Regexp(t, ` --env PATH=/opt/aifo/bin:/image/bin aifo-coder-shell-lives .* --kind agent --cwd /workspace -- ls\n$`,
		w.output(0, nil, "--dry-run", "exec", "--session", "li", "agent", "--", "ls"))
	w.output(1, nil, "exec", "python", "--", "python")
	w.output(0, nil, "clean")
	require.FileExists(t, filepath.Join(w.dir, "run/aifo-coder/aifo-lives.lock"), "the living keep theirs")
	require.Equal(t, "lives\n", w.output(0, nil, "stop"))
	r.ends(143)
	require.Empty(t, w.left())
	w.output(1, nil, "stop")
}

// TestPsShowsPorts: those that the system chose as they are, and none of a session without.
func TestPsShowsPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("", append(blockAt("run aifo-coder-shell"), "AIFO_CODER_FORK_SESSION=lives"), "--publish", "0:3000", "shell")
	r.blocked()
	require.Regexp(t, `(?m)^  port +- +- +- +127\.0\.0\.1:[1-9]\d*->3000$`, w.output(0, nil, "ps"))
	require.Regexp(t, `"ports": \[\s+{\s+"host": "127\.0\.0\.1:[1-9]\d*",\s+"container": 3000\s+}`, w.output(0, nil, "ps", "--json"))
	r.signal(syscall.SIGTERM)
	r.ends(143)
}

// TestExecPassesSignalsOn: they reach the command, not docker alone, and the session goes on.
func TestExecPassesSignalsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.running()
	x := w.start("", blockAt("exec AIFO_EXEC_ID"), "exec", "agent", "--", "sleep", "1000")
	x.blocked()
	x.signal(syscall.SIGINT)
	x.ends(130)
	require.Contains(t, w.output(0, nil, "ps"), "lives")
	r.signal(syscall.SIGTERM)
	r.ends(143)
}

// TestExecHasATimeLimit as tool calls have. It may be over before the fake has got as far as blocking; in
// a sidecar what ends the command then has nobody else to signal.
func TestExecHasATimeLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.running()
	w.awaitContainer("aifo-tc-rust-lives")
	x := w.start("", blockAt("exec AIFO_EXEC_ID"), "--toolchain-timeout", "1s", "exec", "rust", "--", "sleep", "1000")
	x.ends(124)
	require.Contains(t, x.err.String(), "time limit of 1s")
	require.Contains(t, w.log(), `"aifo-tc-rust-lives","/opt/aifo/bin/aifo-shim","end","--id",`)
	r.signal(syscall.SIGTERM)
	r.ends(143)
}

// TestStopKillsInTheEnd: a session that does not end in time is killed, and what it left removed.
func TestStopKillsInTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.running("FAKE_DOCKER_STUBBORN=1")
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGSTOP)) // it does not even see the signal
	require.Equal(t, "lives\n", w.output(0, nil, "stop", "--time", "100ms", "lives"))
	r.ends(-1)
	require.Empty(t, w.left())
}

// TestStopASessionWithoutContainers: one that is only about to have some has a lock.
func TestStopASessionWithoutContainers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	process := exec.Command("sleep", "1000")
	require.NoError(t, process.Start())
	t.Cleanup(func() { _ = process.Process.Kill() })
	runtime := filepath.Join(w.dir, "run/aifo-coder")
	require.NoError(t, os.Mkdir(runtime, 0o700))
	other, _ := lock.Session(runtime, "other")
	o, err := lock.Acquire(other, lock.Holder{PID: process.Process.Pid, Since: time.Now(), Workspace: "/ws", Engine: "podman"})
	require.NoError(t, err)
	require.Regexp(t, `(?m)^other +running +\d+s +- +session on podman in /ws$`, w.output(0, nil, "ps"))
	require.Regexp(t, `(?m)^other +running +\d+s +- +starting in /ws$`, w.output(0, nil, "--engine", "podman", "ps"))
	w.output(1, nil, "exec", "--session", "other", "rust", "--", "cargo")
	w.output(1, nil, "logs", "other")
	require.NoError(t, o.Release())
	path, _ := lock.Session(runtime, "young")
	l, err := lock.Acquire(path, lock.Holder{PID: process.Process.Pid, Since: time.Now(), Workspace: "/ws"})
	require.NoError(t, err)
	require.Regexp(t, `(?m)^young +running +\d+s +- +starting in /ws$`, w.output(0, nil, "ps"))
	require.Equal(t, "young\n", w.output(0, nil, "stop", "y"))
	require.NoError(t, l.Release())
	var exit *exec.ExitError
	require.ErrorAs(t, process.Wait(), &exit)
	require.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
}
