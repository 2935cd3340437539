//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// listed is a session in what `ps --json` prints.
type listed struct {
	ID, Agent, Workspace, State string
	PID                         int
	Memory                      *int64 `json:"memory_bytes"`
	Pane                        *struct {
		SID   string
		Index int
	}
	Ports []struct {
		Host      string
		Container int
	}
	Containers []struct{ Kind, State string }
}

func (l listed) kinds() string {
	var kinds []string
	for _, c := range l.Containers {
		kinds = append(kinds, c.Kind+" "+c.State)
	}
	return strings.Join(kinds, ", ")
}

// ps returns the sessions of the caller's workspace, and of clones in it.
func (c *caller) ps() []listed {
	c.t.Helper()
	r := c.run("", "ps", "--json")
	require.Zero(c.t, r.code)
	var all, here []listed
	require.NoError(c.t, json.Unmarshal([]byte(r.stdout), &all))
	for _, s := range all {
		if s.Workspace == c.canonical() || strings.HasPrefix(s.Workspace, c.canonical()+"/") {
			here = append(here, s)
		}
	}
	return here
}

// TestSessionIsListedAndStopped: while other users' and workspaces' sessions go on.
func TestSessionIsListedAndStopped(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		other := self(t)
		o := other.start(ready("true")...)
		s := c.start(append(toolchains("rust"), ready("cargo --version")...)...)
		list := c.ps()
		require.Len(t, list, 1)
		require.Equal(t, "running", list[0].State)
		require.Equal(t, "shell", list[0].Agent)
		require.Equal(t, s.cmd.Process.Pid, list[0].PID)
		require.Equal(t, "agent running, rust running", list[0].kinds())
		require.NotNil(t, list[0].Memory, "the kernel or the engine knows")

		r := c.run("", "stop") // that of the workspace, though there are two
		require.Zero(t, r.code)
		require.Equal(t, list[0].ID+"\n", r.stdout)
		require.Equal(t, 143, s.end(t))
		c.requireNothingLeft()
		require.Empty(t, c.ps())

		theirs := other.ps()
		require.Len(t, theirs, 1)
		if c.uid != other.uid {
			r = c.run("", "stop", theirs[0].ID)
			require.Equal(t, 1, r.code)
			require.Contains(t, r.stderr, "another user's")
		}
		require.Len(t, other.containers(), 1)
		require.Zero(t, other.run("", "stop", theirs[0].ID[:7]).code)
		require.Equal(t, 143, o.end(t))
	})
}

// TestCleanAfterAKill removes what kill -9 left, and nothing of a session that runs.
func TestCleanAfterAKill(t *testing.T) {
	c, other := self(t), self(t)
	// The two share what is not in a workspace, as sessions of one user do.
	other.env = append(other.env, "XDG_RUNTIME_DIR="+c.runtime)
	lives := other.start(append(toolchains("python"), ready("python --version")...)...)
	s := c.start(append(toolchains("rust"), append([]string{"--toolchain-unix-socket"}, ready("cargo --version")...)...)...)
	require.NoError(t, s.cmd.Process.Kill())
	s.end(t)
	eventually(t, func() bool { list := c.ps(); return len(list) == 1 && list[0].State == "dead" }, "it is listed as dead")
	r := c.run("", "exec", "--session", c.ps()[0].ID, "rust", "--", "cargo", "--version")
	require.Equal(t, 1, r.code)

	dry := c.run("", "--dry-run", "clean")
	require.Contains(t, dry.stdout, "aifo-tc-rust-")
	require.NotEmpty(t, c.containers())
	r = c.run("", "clean")
	require.Zero(t, r.code)
	for _, what := range []string{"container", "network", "lock", "sockets"} {
		require.Regexp(t, `(?m)^`+what+` `, r.stdout)
	}
	require.Empty(t, c.containers())
	require.Empty(t, c.ps())

	require.Len(t, other.containers(), 2)
	require.Zero(t, other.run("", "exec", "python", "--", "python", "--version").code)
	require.Zero(t, other.run("", "stop").code)
	require.Equal(t, 143, lives.end(t))
}

// TestExecInASession: streams, exit codes, the directory, the user, and signals.
func TestExecInASession(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		s := c.start(append(toolchains("python"), ready("mkdir -p sub; python --version")...)...)
		r := c.run("in", "exec", "py", "--", "python", "-c",
			`import os,sys; print(sys.stdin.read(), os.getcwd(), os.getuid()); print("err", file=sys.stderr); sys.exit(7)`)
		require.Equal(t, 7, r.code)
		require.Equal(t, "in /workspace "+strconv.Itoa(c.uid)+"\n", r.stdout)
		require.Equal(t, "err\n", r.stderr)

		r = c.run("", "exec", "agent", "--", "bash", "-c", `id -u; python -c 'print(6*7)'; exit 3`)
		require.Equal(t, 3, r.code)
		require.Equal(t, strconv.Itoa(c.uid)+"\n42\n", r.stdout, "shims are on PATH")
		require.Equal(t, 127, c.run("", "exec", "python", "--", "no-such-tool").code)
		r = c.run("", "exec", "rust", "--", "cargo")
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, `has no container for "rust"; it has: agent, python`)

		sub := c.with(t)
		sub.workspace += "/sub"
		require.Equal(t, "/workspace/sub\n", sub.run("", "exec", "python", "--", "pwd").stdout)

		x := c.begin("exec", "python", "--", "python", "-c", "import time; print('READY', flush=True); time.sleep(12345)")
		eventually(t, func() bool { return strings.Contains(x.out.String(), "READY") }, "the command runs")
		require.NoError(t, x.cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, 130, x.end(t), x.out.String())
		require.False(t, c.runsIn("python", "sleep(12345)"))

		// The session's end is the command's, with a reason.
		x = c.begin("exec", "python", "--", "python", "-c", "import time; print('READY', flush=True); time.sleep(12345)")
		eventually(t, func() bool { return strings.Contains(x.out.String(), "READY") }, "the command runs")
		require.Zero(t, c.run("", "stop").code)
		require.Equal(t, 143, s.end(t))
		require.Equal(t, 125, x.end(t), x.out.String())
		require.Contains(t, x.out.String(), "the python sidecar has ended")
	})
}

// TestExecOnATerminal runs a shell beside the agent, with the size of the caller's terminal.
func TestExecOnATerminal(t *testing.T) {
	c := self(t)
	s := c.start(append(toolchains("python"), ready("python --version")...)...)
	tty := c.onTerminal(pty.Winsize{Rows: 33, Cols: 111}, "exec", "agent", "--", "bash")
	tty.see("/workspace")
	tty.say("until [ \"$(stty size)\" = '33 111' ]; do :; done; echo SIZE $((6*7))")
	tty.see("SIZE 42")
	// What is typed while a tool has the terminal is the tool's, so the shell says when it has it again.
	tty.say("python -c 'print(7*6, \"by tool\")'; echo DONE $((6*8))")
	tty.see("42 by tool")
	tty.see("DONE 48")
	tty.say("exit 9")
	require.Equal(t, 9, tty.end())
	require.Zero(t, c.run("", "stop").code)
	require.Equal(t, 143, s.end(t))
}

// TestExecWhoseReaderGoes: a command whose output nobody takes any more is ended, as one at hand would be.
func TestExecWhoseReaderGoes(t *testing.T) {
	c := self(t)
	s := c.start(append(toolchains("python"), ready("python --version")...)...)
	cmd := c.command(t.Context(), "exec", "python", "--", "yes")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	cmd.Stdout = w
	require.Error(t, cmd.Run())
	require.NoError(t, w.Close())
	eventually(t, func() bool { return !c.runsIn("python", "yes") }, "it is ended")
	require.Zero(t, c.run("", "stop").code)
	require.Equal(t, 143, s.end(t))
}

// TestTwoSessionsMustBeToldApart: nothing is chosen for the user.
func TestTwoSessionsMustBeToldApart(t *testing.T) {
	c := self(t)
	c.env = append(c.env, "AIFO_CODER_SKIP_LOCK=1")
	a := c.start(append(toolchains("python"), ready("python --version")...)...)
	b := c.start(append(toolchains("python"), ready("python --version")...)...)
	list := c.ps()
	require.Len(t, list, 2)
	for _, args := range [][]string{{"stop"}, {"logs"}, {"exec", "python", "--", "true"}} {
		r := c.run("", args...)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, list[0].ID)
		require.Contains(t, r.stderr, list[1].ID)
	}
	require.Zero(t, c.run("", "exec", "--session", list[1].ID, "python", "--", "true").code)
	r := c.run("", "stop", list[0].ID, list[1].ID)
	require.Zero(t, r.code)
	require.Equal(t, list[0].ID+"\n"+list[1].ID+"\n", r.stdout)
	require.Equal(t, 143, a.end(t))
	require.Equal(t, 143, b.end(t))
}

// TestLogsEndWithTheSession follows those of two sidecars.
func TestLogsEndWithTheSession(t *testing.T) {
	c := self(t)
	s := c.start(append(toolchains("python", "rust"), ready("python --version; cargo --version")...)...)
	// What the first process of a container writes is its log.
	docker(t, "exec", c.sidecar("python"), "sh", "-c", "echo from python >/proc/1/fd/1")
	docker(t, "exec", c.sidecar("rust"), "sh", "-c", "echo from rust >/proc/1/fd/1")
	logs := c.begin("logs", "--follow")
	shows := func(line string) {
		eventually(t, func() bool { return strings.Contains(logs.out.String(), line) }, line)
	}
	shows("python | from python\n")
	shows("rust   | from rust\n")
	// Only now: an engine keeps no order between the two streams of a container.
	docker(t, "exec", c.sidecar("python"), "sh", "-c", "echo more >/proc/1/fd/2")
	shows("python | more\n")
	require.Equal(t, "more\n", c.run("", "logs", "--kind", "python", "--tail", "1").stdout)
	require.Zero(t, c.run("", "stop").code)
	require.Equal(t, 143, s.end(t))
	require.Zero(t, logs.end(t), logs.out.String())
}

// TestPaneIsASession: a pane in the background is listed as one, has a log, and is stopped alone.
func TestPaneIsASession(t *testing.T) {
	c := self(t)
	c.repository()
	fork := c.begin("--fork", "2", "--fork-runner", "plain", "--fork-merge-strategy", "none", "shell", "--", "bash", "-c",
		`echo "agent of ${HOSTNAME##*-}"; exec sleep 600`)
	eventually(t, func() bool {
		list := c.ps()
		return len(list) == 2 && list[0].Agent == "shell" && list[1].Agent == "shell"
	}, "the panes run")
	var first, second listed
	for _, s := range c.ps() {
		require.NotNil(t, s.Pane)
		if s.Pane.Index == 1 {
			first = s
		} else {
			second = s
		}
	}
	eventually(t, func() bool { return strings.Contains(c.run("", "logs", first.ID).stdout, "agent of 1\n") }, "its log")
	followed := c.begin("logs", second.ID, "-f")
	eventually(t, func() bool { return strings.Contains(followed.out.String(), "agent of 2\n") }, "the other's log")

	r := c.run("", "stop", first.ID)
	require.Zero(t, r.code)
	require.Equal(t, first.ID+"\n", r.stdout)
	require.Equal(t, []string{"ended", "running"}, []string{c.forkStatus()[0].State, c.forkStatus()[1].State})
	require.Contains(t, c.run("", "logs", first.ID).stdout, "agent of 1\n", "the log stays")
	require.Zero(t, c.run("", "stop").code, "the only one of this repository")
	require.Zero(t, followed.end(t))
	require.NotZero(t, fork.end(t))
	require.Zero(t, c.run("", "fork", "clean").code)
	c.requireNoFork()
}
