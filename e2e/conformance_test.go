//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A mode is one way in which a call reaches its tool.
type mode struct {
	flags []string
	env   []string
	// lacks names the checks that this way cannot pass (docs/protocol.md,
	// "What each way can do").
	lacks []string
}

// cannot reports whether a call cannot pass the check this way.
func (m mode) cannot(check string) bool { return slices.Contains(m.lacks, check) }

// caller returns one whose calls go this way, with the files in the workspace.
func (m mode) caller(t *testing.T, files map[string]string) *caller {
	t.Helper()
	c := self(t)
	c.env = append(c.env, m.env...)
	for name, body := range files {
		require.NoError(t, os.WriteFile(filepath.Join(c.workspace, name), []byte(body), 0o644))
	}
	return c
}

var modes = map[string]mode{
	"unix files":               {flags: []string{"--toolchain-unix-socket"}},
	"unix frames, docker exec": {flags: []string{"--toolchain-unix-socket"}, env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}, lacks: dockerLacks},
	"unix frames, stream":      {flags: []string{"--toolchain-unix-socket"}, env: []string{"AIFO_TOOLCHAIN_EXEC=stream"}, lacks: streamLacks},
	"tcp frames":               {lacks: streamLacks},
	"tcp frames, stream":       {env: []string{"AIFO_TOOLCHAIN_EXEC=stream"}, lacks: streamLacks},
	"tcp frames, docker exec":  {env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}, lacks: dockerLacks},
}

// framesLack is what copying the streams takes from a call: one file for two
// streams, input that is left for the next command, and an output whose reader
// has gone (the call is ended instead).
var framesLack = []string{"order", "share", "output unread"}

// terminalLacks is what a terminal of the tool's own takes: its Ctrl-Z is a key,
// and who reads its output might want its other keys.
var terminalLacks = []string{"Ctrl-Z", "output in a pipe"}

var streamLacks = slices.Concat(framesLack, terminalLacks)

// dockerLacks is what a docker exec for each call takes besides: its tool has no
// terminal, is not stopped when its caller is, and outlives aifo-coder if that
// is killed.
var dockerLacks = slices.Concat(framesLack, []string{
	"stopped", "killed program", "terminal", "terminal in part", "output in a pipe", "resize", "python's interpreter", "node's interpreter",
})

// checks are scripts that call python, each printing what a user would see. Run
// where python is local, they print the truth. $LOCAL is set there alone: it is
// put before PATH where a script has a tool that toolchains find without PATH.
var checks = map[string]string{
	"streams apart": `python -c 'import sys; print("out"); print("err", file=sys.stderr)' >o 2>e; echo "$? $(cat o) $(cat e)"`,
	"order":         `python -u -c 'import sys; [(print(i), print(i, file=sys.stderr)) for i in range(200)]' 2>&1 | cksum`,
	"share":         `printf '1\n2\n3\n' | while read -r l; do python -c 'print("tool")'; echo "$l"; done`,
	"input pipe":    `head -c 3000000 /dev/zero | python -c 'import sys; print(len(sys.stdin.buffer.read()))'`,
	"input file":    `seq 1000 > f; python -c 'import sys; print(len(sys.stdin.read()))' < f`,
	"input null":    `python -c 'import sys; print(repr(sys.stdin.read()))' < /dev/null`,
	// A closed input comes as /dev/null (docs/protocol.md, "Files"): no tool reads
	// anything from either, but Python has no sys.stdin for the first.
	"input closed":   `python -c 'import sys; print(repr(sys.stdin.read() if sys.stdin else ""))' <&-; echo $?`,
	"half close":     `{ echo a; exec >&-; } | python -c 'import sys; print(sys.stdin.read().strip()); print("after")'`,
	"input unread":   `yes | head -c 5000000 | python -c 'print("done")'; echo "${PIPESTATUS[1]} ${PIPESTATUS[2]}" | cut -d" " -f2`,
	"output unread":  `python -c 'print("y\n" * 2000000)' | head -1; echo "${PIPESTATUS[0]}"`,
	"binary":         `python -c 'import sys,os; os.write(1, bytes(range(256)) * 1000)' | cksum`,
	"binary error":   `python -c 'import sys,os; os.write(2, bytes(range(256)) * 1000); os.write(1, b"out")' 2>e; cksum < e`,
	"odd arguments":  `python -c 'import sys,os; print([os.fsencode(a) for a in sys.argv[1:]])' '' ' ' 'a b' '-x' '--' '*' $'\n' $'\xff\xfe' 'ünï' '"' "'" '$x' '\'`,
	"long arguments": `a=$(head -c 100000 /dev/zero | tr '\0' a); python -c 'import sys; print(len(sys.argv), sum(map(len, sys.argv)))' "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a"`,
	"many arguments": `python -c 'import sys; print(len(sys.argv))' $(seq 20000)`,
	"odd variable":   `O=$'\xff\xfe' python -c 'import os; print(os.environb[b"O"])'`,
	"environment":    `FOO='a b' LANG=C.UTF-8 CFLAGS=-g python -c 'import os; print(os.environ["FOO"], os.environ["CFLAGS"], os.environ["LANG"])'`,
	"export":         `export BAR=$'two\nlines'; python -c 'import os; print(repr(os.environ["BAR"]))'`,
	"odd cwd":        `mkdir -p $'\xff'; cd $'\xff'; python -c 'import os; print(os.getcwdb())'`,
	"cwd":            `mkdir -p 'a b/ü'; cd 'a b/ü'; python -c 'import os; print(os.getcwd())'`,
	"a mebibyte":     `a=$(head -c 131071 /dev/zero | tr '\0' a); python -c 'import sys; print(len(sys.argv), sum(map(len, sys.argv[1:])))' "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a" 12345678`,
	"exit codes":     `seq 0 255 | xargs -P 8 -n 1 sh -c 'python -ISc "import os; os._exit($0)"; echo "$0 $?"' | sort -n`,
	"not found":      `for t in hadolint uv gcc make; do $t --version 2>/dev/null; echo "$t $?"; done`,
	"signals":        `for s in HUP INT QUIT ABRT KILL USR1 SEGV PIPE ALRM TERM USR2; do (python -c "import os,signal; signal.signal(signal.SIG$s, signal.SIG_DFL) if '$s' not in ('KILL',) else 0; os.kill(os.getpid(), signal.SIG$s)") 2>/dev/null; echo "$s $?"; done`,
	"forbidden":      forbidden,
	"not executable": notExecutable,
	"no interpreter": noInterpreter,
	"no program":     noProgram,
	"in sequence":    `for i in 1 2 3 4 5; do python -c 'print(1)'; done | wc -l`,
	"at once":        `for i in $(seq 20); do python -c "print($i)" & done | sort -n | cksum; wait`,
	"interrupted": `set -m; python -c 'import time,sys
try:
  print("up", flush=True); time.sleep(600)
except KeyboardInterrupt: print("interrupted"); sys.exit(9)' > log & until grep -q up log; do :; done; kill -INT $!; wait $!; echo "$? $(cat log)"`,
	"terminated": `set -m; python -c 'import time; print("up", flush=True); time.sleep(600)' > log & until grep -q up log; do :; done; kill -TERM $!; wait $!; echo $?`,
	"caught": `set -m; python -c 'import time,signal,sys
signal.signal(signal.SIGUSR1, lambda *a: sys.exit(5))
print("up", flush=True); time.sleep(600)' > log & until grep -q up log; do :; done; kill -USR1 $!; wait $!; echo $?`,
	"each handled": signalsHandled,
	"each fatal":   signalsFatal,
	"stopped":      stopped,
}

// forbidden calls a tool that is there and is not executable.
const forbidden = `python -c 'import os; d = os.path.expanduser("~/.local/bin"); os.makedirs(d, exist_ok=True); open(d + "/uv", "w")'
(PATH=$LOCAL$PATH; uv --version 2>/dev/null; echo $?)
python -c 'import os; os.remove(os.path.expanduser("~/.local/bin/uv"))'`

// call calls python where the project has one.
const call = `mkdir -p .venv/bin; p=.venv/bin/python
call() { (PATH=$LOCAL$PATH; python -c 'print("the image")' 2>/dev/null; echo $?); }
`

// notExecutable has a python in the project that is not executable, is a script,
// one without an interpreter line, none at all, a directory, or leads nowhere.
const notExecutable = call + `
printf '#!/bin/sh\necho a script\n' > $p; call; chmod +x $p; call
echo 'echo no line' > $p; call
: > $p; call
rm $p; mkdir $p; call
rmdir $p; ln -s nowhere $p; call`

// noInterpreter has a script there whose interpreter is missing.
const noInterpreter = call + `echo '#!/no/such' > $p; chmod +x $p; call`

// noProgram has a file there that is neither a script nor a program of this machine.
const noProgram = call + `printf '\177ELF\0\0' > $p; chmod +x $p; call`

// TestConformance runs each check in each mode, and natively where python is
// local, and wants the same words.
func TestConformance(t *testing.T) {
	truth := natively(t)
	for name, m := range modes {
		t.Run(name, func(t *testing.T) {
			c := m.caller(t, m.scripts())
			got := parse(t, c.script(runScripts, append(m.flags, "--toolchain", "python")...).stdout)
			for check, want := range truth {
				if !m.cannot(check) {
					assert.Equal(t, want, got[check], check)
				}
			}
		})
	}
}

// scripts returns the checks that a mode can pass as files.
func (m mode) scripts() map[string]string {
	files := map[string]string{}
	for name, body := range checks {
		if !m.cannot(name) {
			files[strings.ReplaceAll(name, " ", "-")+".check"] = body
		}
	}
	return files
}

// runScripts runs them. One that hangs shall not hide the others.
const runScripts = `for f in *.check; do mkdir -p "d-$f"; echo "== ${f%.check}"; (cd "d-$f" && timeout 120 bash "../$f"); done`

// natively runs the checks in the sidecar's image, where python is local.
func natively(t *testing.T) map[string]string {
	t.Helper()
	c := mode{}.caller(t, mode{}.scripts())
	out, err := exec.Command("docker", "run", "--rm", "--init", "--volume", c.workspace+":/workspace", "--workdir", "/workspace",
		"aifo-coder-toolchain-python:latest", "bash", "-c", `export LOCAL=.venv/bin:$HOME/.local/bin:; `+runScripts).Output()
	require.NoError(t, err)
	truth := parse(t, string(out))
	require.Len(t, truth, len(checks))
	return truth
}

func parse(t *testing.T, out string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, part := range strings.Split("\n"+out, "\n== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		got[strings.ReplaceAll(name, "-", " ")] = strings.TrimSpace(text)
	}
	require.NotEmpty(t, got, fmt.Sprintf("%q", out))
	return got
}
