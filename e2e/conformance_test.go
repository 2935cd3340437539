package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

var modes = map[string]mode{
	"unix files":               {flags: []string{"--toolchain-unix-socket"}},
	"unix frames, docker exec": {flags: []string{"--toolchain-unix-socket"}, env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}, lacks: framesLack},
	"tcp frames":               {lacks: framesLack},
	"tcp frames, docker exec":  {env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}, lacks: framesLack},
}

// framesLack is what copying the streams takes from a call: one file for two
// streams, input that is left for the next command, and an output whose reader
// has gone (the call is ended instead).
var framesLack = []string{"order", "share", "output unread"}

// checks are scripts that call python, each printing what a user would see. Run
// where python is local, they print the truth.
var checks = map[string]string{
	"streams apart":  `python -c 'import sys; print("out"); print("err", file=sys.stderr)' >o 2>e; echo "$? $(cat o) $(cat e)"`,
	"order":          `python -u -c 'import sys; [(print(i), print(i, file=sys.stderr)) for i in range(200)]' 2>&1 | cksum`,
	"share":          `printf '1\n2\n3\n' | while read -r l; do python -c 'print("tool")'; echo "$l"; done`,
	"input pipe":     `head -c 3000000 /dev/zero | python -c 'import sys; print(len(sys.stdin.buffer.read()))'`,
	"input file":     `seq 1000 > f; python -c 'import sys; print(len(sys.stdin.read()))' < f`,
	"input null":     `python -c 'import sys; print(repr(sys.stdin.read()))' < /dev/null`,
	"half close":     `{ echo a; exec >&-; } | python -c 'import sys; print(sys.stdin.read().strip()); print("after")'`,
	"input unread":   `yes | head -c 5000000 | python -c 'print("done")'; echo "${PIPESTATUS[1]} ${PIPESTATUS[2]}" | cut -d" " -f2`,
	"output unread":  `python -c 'print("y\n" * 2000000)' | head -1; echo "${PIPESTATUS[0]}"`,
	"binary":         `python -c 'import sys,os; os.write(1, bytes(range(256)) * 1000)' | cksum`,
	"odd arguments":  `python -c 'import sys,os; print([os.fsencode(a) for a in sys.argv[1:]])' '' ' ' 'a b' '-x' '--' '*' $'\n' $'\xff\xfe' 'ünï' '"' "'" '$x' '\'`,
	"long arguments": `a=$(head -c 100000 /dev/zero | tr '\0' a); python -c 'import sys; print(len(sys.argv), sum(map(len, sys.argv)))' "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a" "$a"`,
	"many arguments": `python -c 'import sys; print(len(sys.argv))' $(seq 20000)`,
	"environment":    `FOO='a b' LANG=C.UTF-8 CFLAGS=-g python -c 'import os; print(os.environ["FOO"], os.environ["CFLAGS"], os.environ["LANG"])'`,
	"export":         `export BAR=$'two\nlines'; python -c 'import os; print(repr(os.environ["BAR"]))'`,
	"cwd":            `mkdir -p 'a b/ü'; cd 'a b/ü'; python -c 'import os; print(os.getcwd())'`,
	"exit codes":     `for i in 0 1 2 63 64 85 86 99 124 125 126 127 128 129 143 200 254 255; do python -c "import os; os._exit($i)"; echo $?; done`,
	"not found":      `hadolint --version 2>/dev/null; echo $?`,
	"signals":        `for s in HUP INT QUIT ABRT KILL USR1 SEGV PIPE ALRM TERM USR2; do (python -c "import os,signal; signal.signal(signal.SIG$s, signal.SIG_DFL) if '$s' not in ('KILL',) else 0; os.kill(os.getpid(), signal.SIG$s)") 2>/dev/null; echo "$s $?"; done`,
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
}

// TestConformance runs each check in each mode, and natively where python is
// local, and wants the same words.
func TestConformance(t *testing.T) {
	truth := natively(t)
	for name, m := range modes {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.env = append(c.env, m.env...)
			got := parse(t, c.script(script(t, c.workspace), append(m.flags, "--toolchain", "python")...).stdout)
			for _, check := range m.lacks {
				delete(got, check)
			}
			for check, want := range truth {
				if text, ok := got[check]; ok {
					require.Equal(t, want, text, check)
				}
			}
			require.Len(t, got, len(checks)-len(m.lacks))
		})
	}
}

// script writes the checks into the workspace and returns the command that runs them.
func script(t *testing.T, dir string) string {
	t.Helper()
	for name, body := range checks {
		file := strings.ReplaceAll(name, " ", "-") + ".check"
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(body), 0o644))
	}
	return `for f in *.check; do mkdir -p "d-$f"; echo "== ${f%.check}"; (cd "d-$f" && bash "../$f"); done`
}

// natively runs the checks in the sidecar's image, where python is local.
func natively(t *testing.T) map[string]string {
	t.Helper()
	c := self(t)
	out, err := exec.Command("docker", "run", "--rm", "--init", "--volume", c.workspace+":/workspace", "--workdir", "/workspace",
		"aifo-coder-toolchain-python:latest", "bash", "-c", script(t, c.workspace)).Output()
	require.NoError(t, err)
	return parse(t, string(out))
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
