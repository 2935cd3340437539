//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// repository makes the caller's workspace a git repository with a Rust program that prints
// the file pane.txt as it was when it was built.
func (c *caller) repository() {
	c.t.Helper()
	files := map[string]string{
		"Cargo.toml":  "[package]\nname = \"pane\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
		"src/main.rs": "fn main() { print!(\"{}\", include_str!(\"../pane.txt\")); }\n",
		"pane.txt":    "base\n",
		".gitignore":  "/target\n/Cargo.lock\n",
	}
	for name, content := range files {
		c.writeFile(name, content)
	}
	c.git("init", "--quiet", "--initial-branch=main")
	c.git("add", ".")
	c.git("commit", "--quiet", "--message", "base")
}

func (c *caller) writeFile(name, content string) {
	c.t.Helper()
	path := filepath.Join(c.workspace, name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(content), 0o644))
	c.own(c.workspace)
}

// git runs git as the caller in the workspace and returns what it printed.
func (c *caller) git(args ...string) string {
	c.t.Helper()
	cmd := c.command(c.t.Context())
	cmd.Path, cmd.Args = hostProgram(c.t, "git"), append([]string{"git"}, args...)
	out, err := cmd.CombinedOutput()
	require.NoError(c.t, err, "git %q: %s", args, out)
	return strings.TrimSpace(string(out))
}

// ownTmux gives the caller a tmux server of his own, which ends with the test.
func (c *caller) ownTmux() {
	c.t.Helper()
	program := hostProgram(c.t, "tmux")
	c.env = append(c.env, "TMUX_TMPDIR="+c.runtime)
	c.t.Cleanup(func() {
		cmd := exec.Command(program, "kill-server")
		cmd.Env = c.env
		_ = cmd.Run() // it ends with its last session
		_ = os.RemoveAll(filepath.Join(c.runtime, fmt.Sprintf("tmux-%d", c.uid)))
	})
}

// requireNoFork checks that nothing of any fork session is left.
func (c *caller) requireNoFork() {
	c.t.Helper()
	require.NoDirExists(c.t, filepath.Join(c.workspace, ".aifo-coder"))
	require.Empty(c.t, c.forkState(), "state left")
	require.Empty(c.t, c.git("for-each-ref", "refs/aifo-coder", "refs/heads/fork", "refs/heads/merge"), "refs left")
	c.requireNoPaneObjects()
}

func (c *caller) forkState() []os.DirEntry {
	entries, err := os.ReadDir(filepath.Join(c.home, ".local/state/aifo-coder/forks"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(c.t, err)
	return entries
}

// requireNoPaneObjects checks that no container or network of a pane is left.
func (c *caller) requireNoPaneObjects() {
	c.t.Helper()
	label := `{{.Label "dev.aifo-coder.workspace"}}`
	for _, ls := range [][]string{{"container", "ls", "--all"}, {"network", "ls"}} {
		out := docker(c.t, append(ls, "--filter", "label=dev.aifo-coder.workspace", "--format", label)...)
		require.NotContains(c.t, out, c.canonical()+"/", "%q", ls)
	}
}

// paneView is a pane in what `fork status --json` prints.
type paneView struct {
	Index    int
	Dir      string
	State    string
	ExitCode *int `json:"exit_code"`
	Kind     string
	Reasons  []string
	Ahead    int
	Changed  int
}

func (c *caller) forkStatus() []paneView {
	c.t.Helper()
	r := c.run("", "fork", "status", "--json")
	require.Zero(c.t, r.code)
	var sessions []struct{ Panes []paneView }
	require.NoError(c.t, json.Unmarshal([]byte(r.stdout), &sessions))
	var panes []paneView
	for _, s := range sessions {
		panes = append(panes, s.Panes...)
	}
	return panes
}

// editBuildCommit is an agent's work: it says which pane it is in a file, builds with the
// sidecar's cargo, keeps what the program prints, and commits. BASE is left as it was.
const editBuildCommit = `set -e
n=${HOSTNAME##*-}
test "$GREETING" = hello
echo "pane $n" > pane.txt
cargo run --quiet --offline > built-$n.txt
git checkout --quiet pane.txt
git add "built-$n.txt"
git commit --quiet --message "work of pane $n"
`

// TestForkFourPanesInTmux is the main job of fork mode: four agents in a real tmux edit, build each
// through its own sidecar, and commit; one merge commit has all their work, and nothing is left.
func TestForkFourPanesInTmux(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		c.ownTmux()
		c.repository()
		base := c.git("rev-parse", "HEAD")
		c.env = append(c.env, "AIFO_CODER_FORK_SHELL_PROMPT_SECS=0", "AIFO_ENV_GREETING=hello")
		x := c.onTerminal(pty.Winsize{Rows: 50, Cols: 160}, "--fork", "4", "--toolchain", "rust", "shell", "--", "bash", "-c", editBuildCommit)
		<-x.copied
		require.NoError(t, x.cmd.Wait(), x.out.String())
		t.Logf("the screen, and what came after it:\n%s", clip(x.out.String()))

		require.Equal(t, 6, len(strings.Fields(c.git("rev-list", "--parents", "-1", "main"))), "the merge commit and its five parents")
		require.Equal(t, base, c.git("rev-parse", "main^1"))
		for n := 1; n <= 4; n++ {
			require.Equal(t, fmt.Sprintf("pane %d", n), c.git("show", fmt.Sprintf("main:built-%d.txt", n)), "the build saw its own clone")
			require.FileExists(t, filepath.Join(c.workspace, fmt.Sprintf("built-%d.txt", n)))
		}
		require.Equal(t, "base", c.git("show", "main:pane.txt"))
		require.Empty(t, c.git("status", "--porcelain"))
		c.requireOwned(c.workspace)
		c.requireNoFork()
	})
}

// TestForkConflict has two of three panes change one line: nothing is lost, nothing of the user's
// is changed, and the others can be merged.
func TestForkConflict(t *testing.T) {
	c := self(t)
	c.repository()
	base := c.git("rev-parse", "HEAD")
	const agent = `set -e
n=${HOSTNAME##*-}
if [ $n = 2 ]; then echo two > other.txt; else echo "pane $n" > pane.txt; fi
git add .; git commit --quiet --message "work of pane $n"
echo "notes of $n" > notes-$n.txt
`
	r := c.run("", "--fork", "3", "--fork-runner", "plain", "shell", "--", "bash", "-c", agent)
	require.Equal(t, 1, r.code, r.stderr)
	require.Contains(t, r.stderr, "pane.txt")
	require.Equal(t, base, c.git("rev-parse", "main"))
	require.Empty(t, c.git("status", "--porcelain"))

	panes := c.forkStatus()
	require.Len(t, panes, 3)
	for _, p := range panes {
		require.Equal(t, "ended", p.State)
		require.Equal(t, 0, *p.ExitCode)
		require.Equal(t, 1, p.Ahead)
		require.Equal(t, 1, p.Changed)
		require.Equal(t, "work", p.Kind, "it has notes that are committed nowhere")
	}
	require.Equal(t, 1, c.run("", "fork", "clean").code)
	require.Equal(t, 1, c.run("", "fork", "clean", "--json").code)

	require.Zero(t, c.run("", "fork", "merge", "--pane", "2", "--pane", "3").code)
	require.Equal(t, "pane 3", c.git("show", "main:pane.txt"))
	require.Equal(t, "two", c.git("show", "main:other.txt"))
	require.Equal(t, 1, c.run("", "fork", "merge", "--pane", "1").code)
	require.Len(t, c.forkStatus(), 3, "their notes keep the clones")
	diff := c.run("", "fork", "diff", "1")
	require.Contains(t, diff.stdout, "+pane 1")
	require.Contains(t, diff.stdout, "+notes of 1")

	require.Equal(t, 2, c.run("", "fork", "clean", "--force").code, "there is nobody to ask")
	require.Len(t, c.forkStatus(), 3)
	require.Zero(t, c.run("", "fork", "clean", "--force", "--yes").code)
	kept := c.git("for-each-ref", "--format=%(refname)", "refs/heads/fork")
	require.Contains(t, kept, "-1", "the commit that was merged nowhere stays as a branch")
	c.git("branch", "-D", strings.TrimPrefix(kept, "refs/heads/"))
	c.requireNoFork()
}

// TestForkOnePaneRunsInline keeps the caller's streams and the agent's exit code.
func TestForkOnePaneRunsInline(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		c.repository()
		c.writeFile("src/dir/keep.txt", "x\n")
		r := c.run("said\n", "--fork=1", "--fork-include-dirty", "shell", "--", "bash", "-c", `read x; echo "got $x"; cat src/dir/keep.txt; git log -1 --format=%s; exit 7`)
		require.Equal(t, 7, r.code)
		require.Contains(t, r.stdout, "got said\nx\n")
		require.Equal(t, "?? src/dir/", c.git("status", "--porcelain"))
		c.requireNoFork()
	})
}

// TestForkAgentCannotReachTheRepository shows what containers of panes and of other
// sessions see of each other.
func TestForkAgentCannotReachTheRepository(t *testing.T) {
	c := self(t)
	c.repository()
	c.git("branch", "other")
	const agent = `set -e
git fsck --no-dangling 2>&1
git rev-parse --verify --quiet origin/other
objects=$(cat .git/objects/info/alternates)
if touch "$objects/x" 2>/dev/null; then echo WRITES; exit 1; fi
ls -A "$(dirname "$objects")"
git gc --quiet; git status --porcelain
for f in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do if [ -r $f ]; then echo "limit $(cat $f)"; fi; done
`
	r := c.run("", "--fork=1", "--fork-merge-no-autoclean", "shell", "--", "bash", "-c", agent)
	require.Zero(t, r.code, r.stdout+r.stderr)
	require.Regexp(t, `(?m)^objects\nlimit [0-9]{8,12}$`, r.stdout, "of the repository's .git there are the objects alone, and memory has a limit")

	seen := c.script("ls -A .aifo-coder; git status --porcelain; touch .aifo-coder/x && echo WRITES")
	require.NotContains(t, seen.stdout, "forks")
	require.NotContains(t, seen.stdout, "WRITES")
	require.Zero(t, c.run("", "fork", "clean").code)
	c.requireNoFork()
}

// hostileAgent commits something, and leaves in its clone what would run a command on the
// host if its git ever worked there: $1 is that command.
const hostileAgent = `set -e
echo work > work.txt
mkdir -p sub; echo text > sub/file.txt
git add work.txt sub; git commit --quiet --message "$(printf 'work \033[31mred')"
git branch -- -x 2>/dev/null || git update-ref refs/heads/-x HEAD
printf '#!/bin/sh\n%s\n' "$1" > .git/evil; chmod +x .git/evil
for hook in pre-commit post-checkout post-merge reference-transaction post-index-change pre-auto-gc fsmonitor-watchman update post-update; do cp .git/evil .git/hooks-$hook; mkdir -p .git/hooks; cp .git/evil .git/hooks/$hook; done
evil=/workspace/.git/evil
cat >> .git/config <<END
[core]
	fsmonitor = $1
	hooksPath = .git/hooks
	sshCommand = $1
	pager = $1
	editor = $1
	askPass = $1
	alternateRefsCommand = $1
	gitProxy = $1
	attributesFile = /workspace/.git/attributes
[uploadpack]
	packObjectsHook = $1
[diff]
	external = $1
[diff "evil"]
	command = $1
	textconv = $1
[merge "evil"]
	driver = $1
[filter "evil"]
	clean = $1
	smudge = $1
	process = $1
	required = true
[filter "lfs"]
	clean = $1
	smudge = $1
	process = $1
[credential]
	helper = !$1
[gpg]
	program = $1
[commit]
	gpgSign = true
[alias]
	status = !$1
	diff = !$1
[include]
	path = /workspace/.git/more
[submodule "evil"]
	update = !$1
	url = ext::$1
[remote "origin"]
	url = ext::$1
	uploadpack = $1
END
cp .git/config .git/more
echo '* filter=evil diff=evil merge=evil' > .gitattributes
echo '* filter=evil diff=evil merge=evil' > .git/info/attributes
`

// TestForkHostileClone has an agent leave commands in its clone in all the ways that git has to
// run one, and then uses every command of fork mode.
func TestForkHostileClone(t *testing.T) {
	c := self(t)
	c.repository()
	marker := filepath.Join(c.home, "ran")
	r := c.run("", "--fork", "2", "--fork-runner", "plain", "--fork-merge-strategy", "fetch", "shell", "--", "bash", "-c", hostileAgent, "agent", "touch "+marker)
	require.Zero(t, r.code, r.stderr)
	for _, args := range [][]string{
		{"fork", "list"}, {"fork", "status"}, {"fork", "status", "--json"}, {"fork", "diff", "1"}, {"fork", "diff", "1", "--stat"},
		{"fork", "merge", "--dry-run"}, {"fork", "merge", "--strategy", "fetch"}, {"fork", "merge", "--pane", "1"}, {"fork", "clean", "--dry-run"},
		{"fork", "clean", "--keep-dirty"},
	} {
		r := c.run("", args...)
		require.Zero(t, r.code, r.stderr)
		require.NotContains(t, r.stdout+r.stderr, "\x1b[31m", "%q", args)
		require.NoFileExists(t, marker, "%q", args)
	}
	require.Equal(t, "work", c.git("show", "main:work.txt"))
	panes := c.forkStatus()
	require.Len(t, panes, 2, ".gitattributes is committed nowhere")
	require.Equal(t, 1, c.run("", "fork", "clean").code)
	clone := panes[0].Dir
	trap := c.command(t.Context())
	trap.Path, trap.Args = hostProgram(t, "git"), []string{"git", "-C", clone, "diff"}
	_ = trap.Run()
	require.FileExists(t, marker, "git itself would have run it")
	require.NoError(t, os.Remove(marker))
	require.Zero(t, c.run("", "fork", "clean", "--force", "--yes").code)
	require.NoFileExists(t, marker)
}

// TestForkWaitsForAgents detaches from tmux, which ends neither the agents nor the wait for them,
// and then interrupts the wait, which does not end them either.
func TestForkWaitsForAgents(t *testing.T) {
	c := self(t)
	c.ownTmux()
	c.repository()
	c.env = append(c.env, "AIFO_CODER_FORK_SHELL_PROMPT_SECS=0")
	const agent = `n=${HOSTNAME##*-}; echo work > work-$n; git add work-$n; git commit --quiet --message "work $n"
touch .git/ready; while [ ! -e .git/go ]; do sleep 0.1; done`
	x := c.onTerminal(pty.Winsize{Rows: 50, Cols: 160}, "--fork", "2", "shell", "--", "bash", "-c", agent)
	ready := func() []string {
		found, _ := filepath.Glob(filepath.Join(c.workspace, ".aifo-coder/forks/*/pane-*/.git/ready"))
		return found
	}
	eventually(t, func() bool { return len(ready()) == 2 }, "the agents work")
	x.write("\x02d") // tmux's keys for detaching
	x.see("waiting until the agents have ended")
	require.Equal(t, "base", c.git("log", "-1", "--format=%s", "main"))
	x.write("\x03")
	require.Equal(t, 130, x.end())
	for _, p := range c.forkStatus() {
		require.Equal(t, "running", p.State)
	}

	x = c.onTerminal(pty.Winsize{Rows: 50, Cols: 160}, "fork", "attach")
	x.see("aifo-fork")
	for _, file := range ready() {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "go"), nil, 0o644))
	}
	<-x.copied
	require.NoError(t, x.cmd.Wait())
	require.Zero(t, c.run("", "fork", "merge", "--autoclean").code)
	require.Equal(t, "work", c.git("show", "main:work-1"))
	require.Equal(t, "work", c.git("show", "main:work-2"))
	c.requireNoFork()
}

// TestForkTmuxIsKilled kills the tmux server under the agents: their work stays, and can be
// gone on with.
func TestForkTmuxIsKilled(t *testing.T) {
	c := self(t)
	c.ownTmux()
	c.repository()
	c.env = append(c.env, "AIFO_CODER_FORK_SHELL_PROMPT_SECS=0")
	const agent = `set -e
n=${HOSTNAME##*-}
if [ -e work-$n ]; then exit 0; fi
echo work > work-$n; git add work-$n; git commit --quiet --message "work $n"; echo notes > notes-$n
exec sleep 1000`
	x := c.onTerminal(pty.Winsize{Rows: 50, Cols: 160}, "--fork", "2", "shell", "--", "bash", "-c", agent)
	notes := func(n int) bool {
		found, _ := filepath.Glob(filepath.Join(c.workspace, ".aifo-coder/forks/*", fmt.Sprintf("pane-%d/notes-%d", n, n)))
		return len(found) == 1
	}
	eventually(t, func() bool { return notes(1) && notes(2) }, "the agents have begun")
	for _, p := range c.forkStatus() {
		require.Equal(t, "running", p.State)
	}
	require.Equal(t, 1, c.run("", "fork", "clean", "--force", "--yes").code, "agents run")

	cmd := c.command(t.Context())
	cmd.Path, cmd.Args = hostProgram(t, "tmux"), []string{"tmux", "display-message", "-p", "#{pid}"}
	pid, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, exec.Command("kill", "-9", strings.TrimSpace(string(pid))).Run())
	<-x.copied
	_ = x.cmd.Wait() // with the agents' exit code

	for _, p := range c.forkStatus() {
		require.Contains(t, []string{"ended", "killed"}, p.State)
		require.Equal(t, 1, p.Ahead)
		require.Equal(t, 1, p.Changed)
	}
	require.Equal(t, "work", c.git("show", "main:work-1"), "what was committed was merged")
	x = c.onTerminal(pty.Winsize{Rows: 50, Cols: 160}, "fork", "resume")
	<-x.copied
	require.NoError(t, x.cmd.Wait(), x.out.String())
	require.True(t, notes(1) && notes(2))
	require.Zero(t, c.run("", "fork", "merge").code)
	require.Zero(t, c.run("", "fork", "clean", "--force", "--yes").code)
	c.requireNoFork()
}

// TestForkResumeBesideOthers runs one agent again while the other works on.
func TestForkResumeBesideOthers(t *testing.T) {
	c := self(t)
	c.repository()
	c.env = append(c.env, "AIFO_CODER_FORK_SHELL_PROMPT_SECS=0")
	const agent = `n=${HOSTNAME##*-}; echo run >> runs-$n; [ $n = 1 ] || exec sleep 1000`
	x := c.onTerminal(pty.Winsize{Rows: 50, Cols: 160}, "--fork", "2", "shell", "--", "bash", "-c", agent)
	eventually(t, func() bool {
		panes := c.forkStatus()
		return len(panes) == 2 && panes[0].State == "ended" && panes[1].State == "running" && panes[1].Changed == 1
	}, "the first agent has ended, the second works")
	eventually(t, func() bool {
		again := c.command(t.Context(), "fork", "resume", "--pane", "1")
		return again.Run() == nil
	}, "the first agent has run again") // its process takes a moment to go
	require.Equal(t, "running", c.forkStatus()[1].State, "the second works on")
	runs, err := filepath.Glob(filepath.Join(c.workspace, ".aifo-coder/forks/*/pane-1/runs-1"))
	require.NoError(t, err)
	require.Len(t, runs, 1)
	text, err := os.ReadFile(runs[0])
	require.NoError(t, err)
	require.Equal(t, "run\nrun\n", string(text))

	require.Zero(t, c.run("", "fork", "stop").code)
	<-x.copied
	_ = x.cmd.Wait() // with the agents' exit code
	require.Zero(t, c.run("", "fork", "clean", "--force", "--yes").code)
	c.requireNoFork()
}

// TestForkCommandIsKilled kills aifo-coder while its agents work in the background.
func TestForkCommandIsKilled(t *testing.T) {
	c := self(t)
	c.repository()
	const agent = `n=${HOSTNAME##*-}; echo work > work-$n; git add work-$n; git commit --quiet --message "work $n"; touch .git/ready; while [ ! -e .git/go ]; do sleep 0.1; done; exit 4`
	cmd := c.command(t.Context(), "--fork", "2", "--fork-runner", "plain", "shell", "--", "bash", "-c", agent)
	require.NoError(t, cmd.Start())
	ready := func() []string {
		found, _ := filepath.Glob(filepath.Join(c.workspace, ".aifo-coder/forks/*/pane-*/.git/ready"))
		return found
	}
	eventually(t, func() bool { return len(ready()) == 2 }, "the agents work")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, p := range c.forkStatus() {
		require.Equal(t, "running", p.State)
	}
	for _, file := range ready() {
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "go"), nil, 0o644))
	}
	merged := c.run("", "fork", "merge", "--autoclean") // waits for them
	require.Zero(t, merged.code)
	require.Equal(t, "work", c.git("show", "main:work-1"))
	require.Equal(t, "work", c.git("show", "main:work-2"))
	c.requireNoFork()
}

// TestForkStop ends agents that ignore being asked.
func TestForkStop(t *testing.T) {
	c := self(t)
	c.repository()
	const agent = `trap "" INT TERM HUP; echo here > here.txt; while true; do sleep 0.2; done`
	cmd := c.command(t.Context(), "--fork", "2", "--fork-runner", "plain", "--fork-merge-strategy", "none", "--toolchain", "rust", "shell", "--", "bash", "-c", agent)
	require.NoError(t, cmd.Start())
	eventually(t, func() bool {
		found, _ := filepath.Glob(filepath.Join(c.workspace, ".aifo-coder/forks/*/pane-*/here.txt"))
		return len(found) == 2
	}, "the agents work")
	require.Zero(t, c.run("", "fork", "stop", "--pane", "1").code)
	panes := c.forkStatus()
	require.Equal(t, "ended", panes[0].State)
	require.Equal(t, "running", panes[1].State)
	require.Zero(t, c.run("", "fork", "stop").code)
	require.Error(t, cmd.Wait())
	c.requireNoPaneObjects()
	require.Zero(t, c.run("", "fork", "clean", "--force", "--yes").code)
	c.requireNoFork()
}
