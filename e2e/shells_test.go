//go:build linux

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// shellCases are ways in which agents and people have tools run: each a script,
// which has a directory of the workspace for itself, and what it prints.
var shellCases = map[string]struct{ script, want string }{
	"sh -c":             {`sh -c 'python -c "print(42)"'`, "42\n"},
	"bash -c":           {`bash -c 'python -c "print(42)"'`, "42\n"},
	"bash -lc":          {`bash -lc 'python -c "print(42)"'`, "42\n"},
	"sh -lc":            {`sh -lc 'python -c "print(42)"'`, "42\n"},
	"bash -ic":          {`bash -ic 'python -c "print(42)"' 2>/dev/null`, "42\n"},
	"login resets PATH": {`PATH=/usr/bin:/bin bash -lc 'python -c "print(42)"'`, "42\n"},
	"login in login":    {`bash -lc 'bash -lc "bash -lc \"echo \\\$PATH\""' | tr : '\n' | grep -c ^/opt/aifo/bin$`, "1\n"},
	"env -i with PATH":  {`env -i PATH="$PATH" python -c 'print(42)'`, "42\n"},
	"env -i, login":     {`env -i bash -lc 'python -c "print(42)"'`, "42\n"},
	"env -i, no PATH":   {`env -i /opt/aifo/bin/python -c 'print(42)'`, "42\n"},
	"env -i, sh's PATH": {`env -i sh -c 'python -c "print(42)"'`, "42\n"},
	"a cron job":        {`env -i HOME="$HOME" SHELL=/bin/sh PATH=/usr/bin:/bin sh -c 'python3 -c "print(42)"; cc --version | grep -c Debian'`, "42\n1\n"},
	"env -i, variables": {`env -i PATH="$PATH" A=1 python -c 'import os; print(os.environ["A"], "AIFO_TOOLEEXEC_TOKEN" in os.environ)'`, "1 False\n"},
	"set -e":            {"printf 'set -e\\npython -c \"print(1)\"\\npython -c \"raise SystemExit(3)\"\\necho not reached\\n' >s; sh s; echo $?", "1\n3\n"},
	"set -e, condition": {`set -e; if python -c 'raise SystemExit(3)'; then echo yes; else echo no; fi; python -c 'raise SystemExit(3)' || echo or`, "no\nor\n"},
	"trap ERR":          {`trap 'echo trapped $?' ERR; python -c 'raise SystemExit(3)'; true`, "trapped 3\n"},
	"pipefail":          {`set -o pipefail; python -c 'print("x"); raise SystemExit(4)' | cat; echo $?`, "x\n4\n"},
	"pipeline":          {`seq 3 | python -c 'import sys; print(sum(map(int, sys.stdin)))' | python -c 'print(int(input()) * 7)'`, "42\n"},
	"xargs -P8":         {`seq 40 | xargs -P8 -I{} python -c 'print({} * {})' | sort -n | tail -n 1`, "1600\n"},
	"xargs, a failure":  {`seq 3 | xargs -P3 -I{} python -c 'raise SystemExit({} == 2)'; echo $?`, "123\n"},
	"find -exec":        {`echo 'print(42)' >a.py; find . -name '*.py' -exec python {} \;`, "42\n"},
	"make":              {"printf 'int main(void) { return 7; }' >p.c; printf 'p: p.c\\n\\tcc -o $@ $<\\n' >Makefile; make -s; ./p; echo $?", "7\n"},
	"here-document":     {"python - <<'E'\nprint(42)\nE", "42\n"},
	"substitution":      {`diff <(python -c 'print(42)') <(python -c 'print(42)') && echo "$(python -c 'print(42)')"`, "42\n"},
	"background":        {`python -c 'print(1)' >a & python -c 'print(2)' >b & wait; cat a b`, "1\n2\n"},
	"exec":              {`(exec python -c 'print(42)')`, "42\n"},
	"a function":        {`py() { python "$@"; }; export -f py; bash -c 'py -c "print(42)"'`, "42\n"},
	"a script's #!":     {"printf '#!/usr/bin/env python\\nimport sys; print(sys.argv[1:])\\n' >s; chmod +x s; ./s a b", "['a', 'b']\n"},
	"timeout":           {`timeout 60 python -c 'print(42)'; timeout 0.5 python -c 'import time; time.sleep(600)'; echo $?`, "42\n124\n"},
	"nohup":             {`nohup python -c 'print(42)' 2>/dev/null`, "42\n"},
	"nice":              {`nice python -c 'print(42)'`, "42\n"},
	"setsid":            {`setsid -w python -c 'print(42)'`, "42\n"},
	"time":              {`time -p python -c 'print(42)' 2>/dev/null`, "42\n"},
	"command -v":        {`command -v python; which python; type -P python`, "/opt/aifo/bin/python\n/opt/aifo/bin/python\n/opt/aifo/bin/python\n"},
	"git hook":          {"git init -q; printf '#!/bin/sh\\npython -c \"print(42)\"\\n' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; git commit -q --allow-empty -m x 2>&1", "42\n"},
	"git bisect run":    {"git init -q; for i in 1 2 3 4; do echo $i >n; git add n; git commit -qm $i; done; git bisect start HEAD HEAD~3 >/dev/null; git bisect run python -c 'raise SystemExit(int(open(\"n\").read()) > 2)' | grep -c 'is the first bad commit'; git show -s --format=%s refs/bisect/bad", "1\n3\n"},
	"tmux command":      {`export S="$PWD/sock"; tmux -S "$S" -f /dev/null new-session -d 'python -c "print(42)" >out.txt; tmux -S "$S" wait-for -S done'; tmux -S "$S" wait-for done; cat out.txt`, "42\n"},
	// Its input must not end, for it would type that at its terminal, as ^@ or ^D.
	"script": {`mkfifo in; script -qec 'python -c "import sys; print(sys.stdout.isatty())"' /dev/null <>in | tr -d '\r'`, "True\n"},
}

// shellRunner runs each case in its directory.
const shellRunner = `for d in cases/*/; do
	(cd "$d" && bash ../../scripts/"$(basename "$d")" >out 2>err </dev/null; echo $? >code)
done`

// TestShells has tools run in every way that a shell, or what a shell starts,
// knows.
func TestShells(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			for name, sc := range shellCases {
				c.write(filepath.Join("scripts", name), sc.script)
				c.write(filepath.Join("cases", name, "err"), "did not run")
			}
			r := c.script(shellRunner, append(flags, toolchains("python", "c-cpp")...)...)
			require.Equal(t, 0, r.code)
			for name, sc := range shellCases {
				t.Run(name, func(t *testing.T) {
					c := c.with(t)
					require.Equal(t, sc.want, c.read(filepath.Join("cases", name, "out")), c.read(filepath.Join("cases", name, "err")))
				})
			}
		})
	}
}

// TestShellOnTerminal types at an interactive login shell, and at one in a window
// of tmux in the container.
func TestShellOnTerminal(t *testing.T) {
	for name, flags := range transports {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			tty := c.onTerminal(pty.Winsize{Rows: 40, Cols: 120}, append(flags, "--toolchain", "python", "shell", "--", "-il")...)
			tty.prompt()
			tty.say(`python -c 'print("login", 6 * 7)'`)
			tty.see("login 42")
			tty.prompt()
			tty.say("tmux new-session")
			// The screen has no prompt that could be told from the one before, so the shell says when it has the
			// terminal again: what is typed while the tool has it is the tool's.
			tty.say(`python -c 'print("window", 6 * 7)'; echo BACK $((6*8))`)
			tty.see("window 42")
			tty.see("BACK 48")
			tty.say("exit")
			tty.see("[exited]")
			tty.prompt()
			tty.say("exit 6")
			require.Equal(t, 6, tty.end())
		})
	}
}
