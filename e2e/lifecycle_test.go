//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
)

func TestExitCodeOfTheAgent(t *testing.T) {
	c := self(t)
	for _, code := range []int{0, 1, 7, 125, 126, 127, 130, 255} {
		r := c.run("", "shell", "--", "-c", fmt.Sprintf("exit %d", code))
		require.Equal(t, code, r.code)
		require.Empty(t, r.stderr)
	}
	require.Equal(t, 127, c.run("", "shell", "--", "no-such-command").code)
	require.Equal(t, 143, c.run("", "shell", "--", "-c", "kill -TERM $$").code)
}

// ready is an agent that says READY and then does not end by itself.
func ready(body string) []string {
	return []string{"shell", "--", "bash", "-c", body + "; echo READY; sleep 600"}
}

// TestNothingIsLeft ends a session in each way; newCaller's cleanup checks that
// nothing is left.
func TestNothingIsLeft(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		flags = append(flags, toolchains("rust", "python")...)
		for name, tc := range map[string]struct {
			signal syscall.Signal
			code   int
		}{
			"INT":  {syscall.SIGINT, 130},
			"TERM": {syscall.SIGTERM, 143},
			"HUP":  {syscall.SIGHUP, 129},
		} {
			t.Run(name, func(t *testing.T) {
				c := c.with(t)
				s := c.start(append(flags, ready("true")...)...)
				eventually(t, func() bool { return len(c.containers()) == 3 }, "agent and sidecars run")
				require.NoError(t, s.cmd.Process.Signal(tc.signal))
				require.Equal(t, tc.code, s.end(t))
				c.requireNothingLeft()
			})
		}
	})
}

// TestAgentThatIgnoresSignals checks that somebody insists.
func TestAgentThatIgnoresSignals(t *testing.T) {
	c := self(t)
	s := c.start(ready("trap '' INT TERM HUP")...)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 143, s.end(t))

	s = c.start("shell", "--", "bash", "-c", "trap 'echo GOT' INT; echo READY; while :; do sleep 600 & wait; done")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	// Two signals in a row may arrive as one, and one that comes when the session is over kills it.
	eventually(t, func() bool { return strings.Contains(s.out.String(), "GOT") }, "the agent has had the first")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	require.Equal(t, 130, s.end(t))
}

// TestKilledSession checks that what kill -9 leaves is gone after another start.
func TestKilledSession(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		s := c.start(append(append(flags, toolchains("rust", "python")...), ready("cargo --version")...)...)
		// What a docker run makes that has only been asked for might come after the next start.
		eventually(t, func() bool { return len(c.containers()) == 3 }, "agent and sidecars run")
		require.NoError(t, s.cmd.Process.Kill())
		s.end(t)
		require.NotEmpty(t, c.containers("label=dev.aifo-coder.kind=rust"), "the sidecars of a killed session stay for a while")
		require.Equal(t, 0, c.run("", "shell", "--", "true").code)
		c.requireNothingLeft()
	})
}

// TestASweepLeavesTheLivingAlone starts a second session beside a first one.
func TestASweepLeavesTheLivingAlone(t *testing.T) {
	a, b := self(t), self(t)
	s := a.start(append(toolchains("python"), ready("true")...)...)
	r := b.script("python -c 'print(6*7)'", "--toolchain", "python")
	require.Equal(t, "42\n", r.stdout)
	eventually(t, func() bool { return len(a.containers()) == 2 }, "the first session has its containers")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	s.end(t)
}

func TestOneAgentPerRepository(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		s := c.start(ready("true")...)
		r := c.run("", "shell", "--", "true")
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, fmt.Sprintf("pid %d", s.cmd.Process.Pid))
		require.Contains(t, r.stderr, time.Now().Format("2006-01-02"))
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
		s.end(t)
		require.Equal(t, 0, c.run("", "shell", "--", "true").code)
	})
}

// TestAToolEndsWithItsCaller ends the caller of a silent tool in each way, and
// checks in the sidecar that the tool has ended too.
func TestAToolEndsWithItsCaller(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		for name, how := range map[string]string{
			"killed":      "kill -9 $shim",
			"interrupted": "kill -INT $shim",
			"terminated":  "kill -TERM $shim",
			"deaf":        "kill -KILL $shim", // the tool ignores INT and TERM
		} {
			t.Run(name, func(t *testing.T) {
				c := c.with(t)
				code := "import time; time.sleep(12345)"
				if name == "deaf" {
					code = "import signal,time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; time.sleep(12345)"
				}
				// A job of its own process group: background jobs of a plain script ignore INT.
				s := c.start(append(append(flags, toolchains("python")...), "shell", "--", "bash", "-c",
					`set -m; python -c "`+code+`" </dev/null & shim=$!; echo READY; read line; `+how+`; wait $shim; echo "CODE $?"`)...)
				running := func() bool { return c.runsIn("python", "sleep(12345)") }
				eventually(t, running, "the tool runs")
				_, err := io.WriteString(s.in, "\n")
				require.NoError(t, err)
				require.Equal(t, 0, s.end(t), s.out.String())
				require.NotContains(t, s.out.String(), "CODE 0\n")
			})
		}
	})
}

// TestAToolEndsWithItsShim is the same for a session that goes on.
func TestAToolEndsWithItsShim(t *testing.T) {
	c := self(t)
	s := c.start("--toolchain", "python", "shell", "--", "bash", "-c",
		`python -c "import time; time.sleep(12345)" </dev/null & shim=$!; echo READY; read line; kill -9 $shim; read line`)
	running := func() bool { return c.runsIn("python", "sleep(12345)") }
	eventually(t, running, "the tool runs")
	_, err := io.WriteString(s.in, "\n")
	require.NoError(t, err)
	eventually(t, func() bool { return !running() }, "the tool has ended")
	_, err = io.WriteString(s.in, "\n")
	require.NoError(t, err)
	require.Equal(t, 0, s.end(t))
}

// TestTerminal runs an interactive shell on a terminal of its own.
func TestTerminal(t *testing.T) {
	c := self(t)
	tty := c.onTerminal(pty.Winsize{Rows: 33, Cols: 111}, "--toolchain", "python", "shell")
	tty.see("/workspace")
	// docker tells the container the size a moment after it has started.
	tty.say("until [ \"$(stty size)\" = '33 111' ]; do :; done; echo SIZE $((6*7))")
	tty.see("SIZE 42")
	// What is typed while a tool has the terminal is the tool's, so the shell says when it has it again.
	tty.say("python -c 'print(7*6, \"by tool\")'; echo DONE $((6*8))")
	tty.see("42 by tool")
	tty.see("DONE 48")
	tty.say("sleep 1000")
	// Bash may die of a Ctrl-C that comes while it is about to start a command.
	eventually(t, func() bool { return c.runsIn("agent", "sleep 1000") }, "the shell's command runs")
	tty.say("\x03") // Ctrl-C
	tty.say("echo CODE $?; exit 9")
	require.Equal(t, 9, tty.end())
	require.Contains(t, tty.out.String(), "CODE 130")
}

// TestEndIsQuick bounds the end of a session loosely: docker stop's grace of
// ten seconds must not be in it.
func TestSidecarsEndWithTheAgent(t *testing.T) {
	c := self(t)
	r := c.script("exit 3", toolchains("rust", "node", "python", "c-cpp", "go")...)
	require.Equal(t, 3, r.code)
	c.requireNothingLeft()
}

// TestDeadSidecar kills a sidecar under a running session: calls fail with a
// reason, other toolchains and the session go on.
func TestDeadSidecar(t *testing.T) {
	c := self(t)
	cmd := c.command(t.Context(), append(toolchains("rust", "python"), "shell", "--", "bash", "-c",
		`cargo --version; echo READY; read line; cargo --version; echo "CARGO $?"; python -c 'print("alive")'`)...)
	out := &syncbuf.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	eventually(t, func() bool { return strings.Contains(out.String(), "READY") }, "ready")
	docker(t, append([]string{"kill"}, c.containers("label=dev.aifo-coder.kind=rust")...)...)
	_, err = io.WriteString(in, "\n")
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), out.String())
	require.NotContains(t, out.String(), "CARGO 0")
	require.Contains(t, out.String(), "rust sidecar")
	require.Contains(t, out.String(), "alive")
}

// TestMuchOutput sends 1 GiB from a tool through the proxy.
func TestMuchOutput(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			r := c.script(`python -c '
import sys
b=b"x"*(1<<20)
for _ in range(1024): sys.stdout.buffer.write(b)' | sha256sum; echo "codes ${PIPESTATUS[*]}"`, append(flags, "--toolchain", "python")...)
			want, err := exec.Command("sh", "-c", `head -c 1073741824 /dev/zero | tr '\0' x | sha256sum`).Output()
			require.NoError(t, err)
			require.Equal(t, string(want)+"codes 0 0\n", r.stdout)
		})
	}
}

func TestStreamsOfATool(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		r := c.script(`
printf 'one\ntwo\n' | python -c 'import sys; print("read", sys.stdin.read().split()); print("err", file=sys.stderr)' 2>err.txt; echo "code $?"
cat err.txt
python -c 'import sys; print("eof", repr(sys.stdin.read()))' </dev/null
head -c 5000000 /dev/urandom > data; python -c 'import sys,hashlib; print("sum", hashlib.sha256(sys.stdin.buffer.read()).hexdigest())' < data
echo "sum $(sha256sum < data | cut -d' ' -f1)"
python -c 'print("yes\n"*1000000)' | head -1; echo "pipe ${PIPESTATUS[0]}"
`, append(flags, "--toolchain", "python")...)
		lines := strings.Split(r.stdout, "\n")
		require.Contains(t, lines, "read ['one', 'two']")
		require.Contains(t, lines, "code 0")
		require.Contains(t, lines, "err")
		require.Contains(t, lines, "eof ''")
		// Python itself sees the broken pipe (1), or the shim does (141).
		require.Regexp(t, `(?m)^pipe (1|141)$`, r.stdout)
		sums := regexp.MustCompile(`sum [0-9a-f]{64}`).FindAllString(r.stdout, -1)
		require.Len(t, sums, 2)
		require.Equal(t, sums[0], sums[1])
	})
}

// TestDryRunIsTheRun records the docker commands of a real run by a wrapper on
// PATH, and compares them with those that a dry run printed.
func TestDryRunIsTheRun(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		require.Equal(t, 0, c.run("", "shell", "--", "true").code, "sweeps what others left, which is no part of the plan")
		require.NoError(t, os.RemoveAll(filepath.Join(c.home, ".cache")))
		require.NoError(t, os.RemoveAll(filepath.Join(c.runtime, "aifo-coder")))
		record := wrapDocker(t, c)
		c.env = append(c.env, "AIFO_CODER_FORK_SESSION=recorded"+fmt.Sprint(c.uid), "OPENAI_API_KEY=canary")
		// A sidecar that nobody calls starts only if the agent lives long enough.
		args := append(flags, append(toolchains("rust", "c-cpp"), "shell", "--", "bash", "-c", "cargo --version >/dev/null; cc --version >/dev/null")...)
		dry := c.run("", append([]string{"--dry-run"}, args...)...)
		require.Equal(t, 0, dry.code)
		require.Empty(t, changing(readRecord(t, record)), "a dry run changes nothing")
		require.NoDirExists(t, filepath.Join(c.home, ".cache"))
		require.NoDirExists(t, filepath.Join(c.runtime, "aifo-coder"))

		require.Equal(t, 0, c.run("", args...).code)
		ran := changing(readRecord(t, record))
		var want []string
		for line := range strings.Lines(dry.stdout) {
			out, err := exec.Command("sh", "-c", `eval "set -- $1"; shift; printf '%s\0' "$@"`, "sh", strings.TrimSpace(line)).Output()
			require.NoError(t, err)
			want = append(want, ownerless(strings.TrimSuffix(string(out), "\x00")))
		}
		require.Equal(t, want[0], ran[0], "the network comes first")
		require.Equal(t, want[len(want)-2:], ran[len(ran)-2:], "the removal comes last")
		sort.Strings(want) // the sidecars start side by side
		sort.Strings(ran)
		require.Equal(t, want, ran)
	})
}

// wrapDocker puts a docker on the caller's PATH that records its arguments and
// runs the real one, and returns the record's file.
func wrapDocker(t *testing.T, c *caller) string {
	t.Helper()
	real, err := exec.LookPath("docker")
	require.NoError(t, err)
	dir := filepath.Join(filepath.Dir(c.home), "bin")
	require.NoError(t, os.Mkdir(dir, 0o755))
	record := filepath.Join(c.workspace, "..", "run", "record")
	wrapper := fmt.Sprintf(`#!/bin/sh
{ for a; do printf '%%s\000' "$a"; done; printf '\n'; } > %[1]q.$$
cat %[1]q.$$ >> %[1]q; rm %[1]q.$$
exec %[2]q "$@"
`, record, real)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(wrapper), 0o755))
	for i, kv := range c.env {
		if rest, ok := strings.CutPrefix(kv, "PATH="); ok {
			c.env[i] = "PATH=" + dir + ":" + rest
		}
	}
	return record
}

// readRecord returns the recorded vectors, each joined by NUL.
func readRecord(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var vectors []string
	for s := bufio.NewScanner(f); s.Scan(); {
		vectors = append(vectors, strings.TrimSuffix(s.Text(), "\x00"))
	}
	return vectors
}

// changing returns the vectors that change something on the engine, without
// the tool calls, which come as the agent makes them.
func changing(vectors []string) []string {
	var list []string
	for _, v := range vectors {
		words := strings.Split(v, "\x00")
		switch {
		case words[0] == "run", words[0] == "rm", words[0] == "pull",
			words[0] == "network" && words[1] != "inspect" && words[1] != "ls":
			list = append(list, ownerless(v))
		}
	}
	return list
}

var ownerRE = regexp.MustCompile(`(dev\.aifo-coder\.owner-(?:pid|start))=[^\x00]*`)

// ownerless takes out what differs between two runs: the process.
func ownerless(v string) string { return ownerRE.ReplaceAllString(v, "$1=X") }

// TestBrokenOutput closes the reader of the agent's output: the agent must not
// go on without its session.
func TestBrokenOutput(t *testing.T) {
	c := self(t)
	for _, agent := range []string{"exec yes", "trap '' PIPE; while :; do echo x || :; done"} {
		cmd := c.command(t.Context(), "shell", "--", "-c", agent)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, out.Close())
		require.Error(t, cmd.Wait())
		c.requireNothingLeft()
	}
}

// TestSignalWhileStarting ends the session at many moments of its start.
func TestSignalWhileStarting(t *testing.T) {
	c := self(t)
	for delay := time.Duration(0); delay < 500*time.Millisecond; delay += 40 * time.Millisecond {
		cmd := c.command(t.Context(), "--toolchain", "python", "shell", "--", "sleep", "600")
		require.NoError(t, cmd.Start())
		// The moments are what is tested; nothing is waited for.
		time.AfterFunc(delay, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
		require.Error(t, cmd.Wait())
		// Before our first instruction the signal kills the process itself.
		require.Contains(t, []int{143, -1}, cmd.ProcessState.ExitCode(), delay)
		c.requireNothingLeft()
	}
}

// TestCtrlCWhileStarting presses Ctrl-C at many moments of the start. Once docker has
// the terminal, the key goes to a container that is about to start.
func TestCtrlCWhileStarting(t *testing.T) {
	c := self(t)
	for delay := time.Duration(0); delay < 600*time.Millisecond; delay += 50 * time.Millisecond {
		tty := c.onTerminal(pty.Winsize{Rows: 24, Cols: 80}, "shell", "--", "sleep", "600")
		// The moments are what is tested. A key that nobody took is pressed again, as a
		// person would who sees that nothing ends.
		ended := make(chan error, 1)
		go func() { ended <- tty.cmd.Wait() }()
		press := time.NewTimer(delay)
		var err error
		for err == nil {
			select {
			case err = <-ended:
				require.Error(t, err)
			case <-press.C:
				tty.press("\x03")
				press.Reset(2 * time.Second)
			}
		}
		require.Contains(t, []int{130, -1}, tty.cmd.ProcessState.ExitCode(), "%s: %s", delay, tty.out.String())
		require.NotContains(t, tty.out.String(), "docker", "%s", delay)
		c.requireNothingLeft()
	}
}

// TestKilledSessionID starts a session with the id of one that was killed, as one
// does who names his sessions: nothing of the first may stand in its way.
func TestKilledSessionID(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.env = append(c.env, "AIFO_CODER_FORK_SESSION=killed-"+name)
			args := append(flags, toolchains("python")...)
			s := c.start(append(args, ready("python --version")...)...)
			require.NoError(t, s.cmd.Process.Kill())
			require.Equal(t, -1, s.end(t))
			r := c.script("python -c 'print(1)'", args...)
			require.Equal(t, "1\n", r.stdout)
			require.Equal(t, 0, r.code)
		})
	}
}

// TestSameSessionIDTwice checks that a session which cannot have its names
// leaves those of the other one alone.
func TestSameSessionIDTwice(t *testing.T) {
	a, b := self(t), self(t)
	for _, c := range []*caller{a, b} {
		c.env = append(c.env, "AIFO_CODER_FORK_SESSION=collides")
	}
	s := a.start(append(toolchains("python"), ready("python --version")...)...)
	require.Equal(t, 125, b.script("true", "--toolchain", "python").code)
	require.Equal(t, 125, b.script("true", "--toolchain", "python", "--docker-network", "bridge").code)
	require.Len(t, a.containers(), 2)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 143, s.end(t))
}

// TestTerminalOfATool checks, over each transport, that a tool which is called
// on a terminal has one, with its size, and that Ctrl-C reaches it.
func TestTerminalOfATool(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			tty := c.onTerminal(pty.Winsize{Rows: 31, Cols: 99}, append(flags, "--toolchain", "python", "shell")...)
			tty.see("/workspace")
			tty.say("until [ \"$(stty size)\" = '31 99' ]; do :; done")
			tty.prompt()
			tty.say(`python -c 'import os; print("TTY", [os.isatty(i) for i in range(3)], tuple(os.get_terminal_size()))'`)
			tty.see("TTY [True, True, True] (99, 31)")
			tty.prompt()
			tty.say(`python -c 'print("AS" + "LEEP", flush=True); import time; time.sleep(1000)'`)
			tty.see("ASLEEP")
			tty.write("\x03") // Ctrl-C
			tty.see("KeyboardInterrupt")
			tty.prompt()
			tty.say("python") // interactively
			tty.see(">>> ")
			tty.say("print(6 * 7, 'interactive')")
			tty.see("42 interactive")
			tty.say("exit()")
			tty.prompt()
			tty.say("echo DONE $((1+1)); exit 4")
			require.Equal(t, 4, tty.end())
			require.Contains(t, tty.out.String(), "DONE 2")
		})
	}
}
