//go:build linux

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// atTerminal are the files of who sits at a terminal. Shell and tools note facts
// in a file, since what is on a screen is hard to tell from what was there. The
// prompt has a number, and a tool says "(up)" by itself, so that nobody types
// ahead of them: then the tool's output comes, and its shim has the terminal.
var atTerminal = map[string]string{
	"rc": `PS1='[\#]$ '; note() { echo "$*" >> facts; }; export NODE_REPL_HISTORY= PYTHONSTARTUP=/workspace/start.py
until [ "$(stty size)" = '31 99' ]; do :; done`,
	"note.py": `def note(*words):
    with open("facts", "a") as f: print(*words, file=f)
def up(): print("(" + "up)", flush=True)`,
	"start.py": `import sys
from note import note
class Prompt:
    n = 0
    def __str__(self): self.n += 1; return f"({self.n})> "
sys.ps1 = Prompt()`,
	"streams.py": `import os, sys, termios
from note import note
on = lambda modes, *names: [n for n in names if modes & getattr(termios, n)]
modes = termios.tcgetattr(0)
note([os.isatty(i) for i in range(3)], os.get_terminal_size(), os.environ["TERM"])
note(on(modes[0], "ICRNL", "IXON"), on(modes[1], "OPOST"), on(modes[3], "ICANON", "ECHO", "ISIG", "IEXTEN"))`,
	"parts.py": `import os
from note import note
note([os.isatty(i) for i in range(3)], [tuple(os.get_terminal_size(i)) for i in (1, 2) if os.isatty(i)])
print("out\n", end=""); os.write(2, b"err\n")`,
	"resize.py": `import os, signal
from note import note, up
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH]); up()
while os.get_terminal_size() != (77, 22): signal.sigwait([signal.SIGWINCH])
note(os.get_terminal_size())`,
	"line.py": `from note import note, up
up(); note(repr(input())); note(repr(input()))`,
	"read.py": `import sys
from note import note, up
up(); note(repr(sys.stdin.read()))`,
	"caught.py": `import time
from note import note, up
try: up(); time.sleep(600)
except KeyboardInterrupt: note("caught"); raise SystemExit(7)`,
	"sleep.py": `import resource, time
from note import note, up
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
note("sleep"); up(); time.sleep(600)`,
	"stopped.py": `import signal
from note import note, up
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT]); up()
signal.sigwait([signal.SIGCONT]); print("(on" + ")", flush=True); note(repr(input()))`,
	"debug.py": `x = 6
x *= 7
print(x)`,
}

// A sitting is somebody at a terminal with a shell.
type sitting struct {
	*terminal
	workspace string
	commands  int // typed at the shell's prompt
	from      int // where on the screen the current command begins
}

// command types a line at the shell, and done waits for the shell's next prompt.
func (s *sitting) command(line string) {
	s.t.Helper()
	s.from = len(s.out.String())
	s.commands++
	s.say(line)
}

func (s *sitting) done() {
	s.t.Helper()
	s.see(fmt.Sprintf("[%d]$ ", s.commands+1))
}

// shell types a command and waits for its end, tool until its tool is up.
func (s *sitting) shell(line string) {
	s.t.Helper()
	s.command(line)
	s.done()
}

func (s *sitting) tool(line string) {
	s.t.Helper()
	s.command(line)
	s.seeNew("(up)")
}

// seeNew waits until the current command has shown the text.
func (s *sitting) seeNew(text string) {
	s.t.Helper()
	eventually(s.t, func() bool { return strings.Contains(s.out.String()[s.from:], text) }, text)
}

// noted waits until the text is among the facts.
func (s *sitting) noted(text string) {
	s.t.Helper()
	eventually(s.t, func() bool { return strings.Contains(s.facts(), text) }, text)
}

func (s *sitting) facts() string {
	b, err := os.ReadFile(filepath.Join(s.workspace, "facts"))
	require.NoError(s.t, err)
	return string(b)
}

// after presses keys, waits until they have ended the command, and notes its exit code.
func (s *sitting) after(keys string) {
	s.t.Helper()
	s.write(keys)
	s.done()
	s.shell("note $?")
}

// A step is a part of a sitting.
type step struct {
	name, kind string
	do         func(s *sitting)
}

var steps = []step{
	{"terminal", "python", func(s *sitting) { s.shell("python streams.py") }},
	{"terminal in part", "python", func(s *sitting) {
		s.shell("python parts.py </dev/null")
		s.shell("python parts.py 2>e; note $(<e)")
		s.shell("python parts.py <rc 2>e; note $(<e)")
	}},
	{"output in a pipe", "python", func(s *sitting) { s.shell("python parts.py | cat >o; note $(<o)") }},
	{"line", "python", func(s *sitting) {
		s.tool("python line.py")
		s.say("wrong\x15right") // Ctrl-U
		s.noted("right")
		s.after("an\x7f line\n")
	}},
	{"Ctrl-D", "python", func(s *sitting) {
		s.tool("python read.py")
		s.after("a line\n\x04")
		s.tool("python read.py")
		s.after("\x04")
	}},
	{"Ctrl-C", "python", func(s *sitting) {
		s.tool("python caught.py")
		s.after("\x03")
		s.tool("python sleep.py")
		s.after("\x03")
	}},
	{"Ctrl-backslash", "python", func(s *sitting) {
		s.tool("python sleep.py")
		s.after("\x1c")
	}},
	{"Ctrl-Z", "python", func(s *sitting) {
		s.tool("python stopped.py")
		s.after("\x1a")
		s.shell("note $(jobs -s | wc -l)")
		s.command("fg")
		s.seeNew("(on)")
		s.after("a line\n")
	}},
	{"killed client", "python", func(s *sitting) {
		s.shell("( (until [ -e go ]; do :; done; kill -KILL $(<pid)) & )")
		s.tool("sh -c 'echo $$ > pid; exec python sleep.py'")
		require.NoError(s.t, os.WriteFile(filepath.Join(s.workspace, "go"), nil, 0o644))
		s.after("")
	}},
	{"debugger", "python", func(s *sitting) {
		s.command("python -m pdb debug.py")
		s.seeNew("(Pdb) ")
		s.say("next")
		s.seeNew("-> x *= 7")
		s.say("!from note import note; note(x)")
		s.noted("6")
		s.after("quit\n")
	}},
	{"python's interpreter", "python", func(s *sitting) {
		s.command("python")
		for i, line := range []string{
			"y = 2\r", "\x1b[A1\r", "note(y)\r", // the last line but one with a 1 after it
			"note(99\x03", "note(1/0)\r", "note('on')\r",
		} {
			s.seeNew(fmt.Sprintf("(%d)> ", i+1))
			s.write(line)
		}
		s.seeNew("(7)> ")
		s.after("\x04")
	}},
	{"node's interpreter", "node", func(s *sitting) {
		s.command("node")
		s.seeNew("> ")
		s.write("var note = w => fs.appendFileSync('facts', w + '\\n'); note(process.stdout.columns)\r")
		s.noted("99")
		s.write("note('one')\r")
		s.noted("one")
		s.write("\x1b[A\x7f + 'two')\r")
		s.noted("onetwo")
		s.after("\x04")
	}},
	{"resize", "python", func(s *sitting) {
		s.tool("python resize.py")
		require.NoError(s.t, pty.Setsize(s.tty, &pty.Winsize{Rows: 22, Cols: 77}))
		s.after("")
		s.shell("python streams.py")
	}},
	{"Ctrl-C in a loop", "python", func(s *sitting) {
		s.tool("for i in 1 2 3; do python sleep.py; done")
		s.after("\x03")
	}},
}

// TestConformanceTerminals sits at a terminal in each mode, and natively, and
// wants the same facts.
func TestConformanceTerminals(t *testing.T) {
	truth := sitNatively(t, "python")
	maps.Copy(truth, sitNatively(t, "node"))
	for name, m := range modes {
		t.Run(name, func(t *testing.T) {
			c := m.caller(t, atTerminal)
			args := append(m.flags, "--toolchain", "python", "--toolchain", "node", "shell", "--", "bash", "--rcfile", "rc")
			s := &sitting{terminal: c.onTerminal(screen, args...), workspace: c.workspace}
			s.sit(func(st step) bool { return !m.cannot(st.name) }, func(name, facts string) {
				assert.Equal(t, truth[name], facts, name)
			})
		})
	}
}

var screen = pty.Winsize{Rows: 31, Cols: 99}

// sitNatively does the steps of a kind in the sidecar's image.
func sitNatively(t *testing.T, kind string) map[string]string {
	t.Helper()
	c := mode{}.caller(t, atTerminal)
	cmd := exec.Command("docker", "run", "--rm", "--init", "--interactive", "--tty", "--volume", c.workspace+":/workspace",
		"--workdir", "/workspace", "aifo-coder-toolchain-"+kind+":latest", "bash", "--rcfile", "rc")
	cmd.Env = c.env
	s := &sitting{terminal: startOnTerminal(t, cmd, screen), workspace: c.workspace}
	truth := map[string]string{}
	s.sit(func(st step) bool { return st.kind == kind }, func(name, facts string) { truth[name] = facts })
	return truth
}

// sit does the wanted steps and reports the facts of each.
func (s *sitting) sit(wanted func(step) bool, report func(name, facts string)) {
	s.t.Helper()
	s.done()
	s.shell("stty -g > modes")
	for _, st := range steps {
		if wanted(st) {
			report(st.name, s.step(st))
		}
	}
	s.say("exit 5")
	require.Equal(s.t, 5, s.end())
}

// step does a step and returns its facts, of which the last is whether the
// terminal has the modes that it had at the beginning.
func (s *sitting) step(st step) string {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(filepath.Join(s.workspace, "facts"), nil, 0o644))
	st.do(s)
	s.shell("stty -g | cmp - modes; note modes $?")
	return s.facts()
}
