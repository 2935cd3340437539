//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// in runs a program as the caller in a directory, and returns what it printed.
func (c *caller) in(dir, name string, args ...string) string {
	c.t.Helper()
	cmd := c.command(c.t.Context())
	cmd.Path, cmd.Args, cmd.Dir = hostProgram(c.t, name), append([]string{name}, args...), dir
	out, err := cmd.CombinedOutput()
	require.NoError(c.t, err, "%s %q: %s", name, args, out)
	return strings.TrimSpace(string(out))
}

// mainRepository makes a repository with one commit in the caller's home directory, with a
// hook, and returns its directory.
func (c *caller) mainRepository() string {
	c.t.Helper()
	dir := filepath.Join(c.home, "main repo")
	c.in(c.home, "git", "init", "--quiet", "--initial-branch=main", dir)
	require.NoError(c.t, os.WriteFile(filepath.Join(dir, "file"), []byte("base\n"), 0o644))
	require.NoError(c.t, os.WriteFile(filepath.Join(dir, ".git/hooks/post-commit"), []byte("#!/bin/sh\necho the hook ran\n"), 0o755))
	c.own(dir)
	c.in(dir, "git", "add", ".")
	c.in(dir, "git", "commit", "--quiet", "--message", "base")
	return dir
}

// commitScript commits in the workspace, then tries to leave traps in the git directory.
const commitScript = `
echo change >> file && git commit --quiet --all --message 'of the agent' || exit
git status --short; git log --format=%s
cd "$GITDIR"
for name in commondir config hooks/post-commit hooks/pre-commit worktrees/other/commondir; do
  (echo trap > "$name") 2>/dev/null && echo "wrote $name"
done
git config core.fsmonitor trap 2>/dev/null && echo "wrote the configuration"
ln -sf /etc/passwd logs/HEAD 2>/dev/null
cd "$OLDPWD"
(echo "gitdir: /tmp" > .git) 2>/dev/null && echo "wrote .git"
(mv .git other) 2>/dev/null && echo "moved .git"
true
`

// TestLinkedWorktree: an agent commits in a linked worktree of a repository that is elsewhere,
// and leaves nothing there that git on the host would carry out.
func TestLinkedWorktree(t *testing.T) {
	c := ordinary(t)
	main := c.mainRepository()
	c.in(main, "git", "worktree", "add", "--quiet", "-b", "work", c.workspace)
	c.in(main, "git", "worktree", "add", "--quiet", "-b", "other", filepath.Join(c.home, "other"))
	before := c.in(main, "cat", ".git/logs/HEAD")

	c.env = append(c.env, "AIFO_ENV_GITDIR="+filepath.Join(main, ".git"))
	r := c.script(commitScript+`aifo-run rust ls "$GITDIR"/hooks; aifo-run rust pwd`, "--toolchain", "rust")
	require.Equal(t, 0, r.code)
	require.Equal(t, "of the agent\nbase\n"+c.workspace+"\n", r.stdout)

	require.Equal(t, "of the agent\nbase", c.in(main, "git", "log", "--format=%s", "work"))
	require.Equal(t, before, c.in(main, "cat", ".git/logs/HEAD"))
	require.Contains(t, c.in(main, "git", "worktree", "list"), c.workspace)
	require.Equal(t, "the hook ran", c.in(c.workspace, "git", "commit", "--quiet", "--allow-empty", "--message", "on the host"))
	c.in(main, "git", "fsck", "--strict")
	c.requireOwned(filepath.Join(main, ".git"))
	c.requireOwned(c.workspace)
}

// TestSubmodule: the same in a submodule.
func TestSubmodule(t *testing.T) {
	c := ordinary(t)
	library := c.mainRepository()
	c.git("init", "--quiet", "--initial-branch=main")
	c.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library, "lib")
	c.git("commit", "--quiet", "--message", "with a submodule")
	gitDir := filepath.Join(c.workspace, ".git/modules/lib")
	hook := filepath.Join(gitDir, "hooks/post-commit")
	require.NoError(t, os.WriteFile(hook, []byte("#!/bin/sh\necho the hook ran\n"), 0o755))
	c.own(hook)

	super := c.workspace
	c.workspace = filepath.Join(super, "lib")
	c.env = append(c.env, "AIFO_ENV_GITDIR="+gitDir)
	r := c.script(strings.ReplaceAll(commitScript, "commondir config hooks", "config hooks"), "--toolchain", "rust")
	require.Equal(t, 0, r.code)
	require.Equal(t, "of the agent\nbase\n", r.stdout)
	require.Equal(t, "of the agent\nbase", c.git("log", "--format=%s"))
	require.Equal(t, "lib", strings.Fields(c.in(super, "git", "status", "--short"))[1])
	require.Equal(t, "the hook ran", c.git("commit", "--quiet", "--allow-empty", "--message", "on the host"))
	c.requireOwned(super)
}

// TestForgedGitFile: what an agent writes into .git does not have a directory of the user's mounted.
func TestForgedGitFile(t *testing.T) {
	c := ordinary(t)
	secret := filepath.Join(c.home, "secret")
	require.NoError(t, os.Mkdir(secret, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(c.workspace, ".git"), []byte("gitdir: "+secret+"\n"), 0o644))
	c.own(secret)
	r := c.script(`ls "` + secret + `"; pwd`)
	require.Equal(t, 0, r.code)
	require.Equal(t, "/workspace\n", r.stdout)
	require.Contains(t, r.stderr, "git will not work in the containers")

	// A repository of the user's that knows nothing of the workspace.
	main := c.mainRepository()
	require.NoError(t, os.WriteFile(filepath.Join(c.workspace, ".git"), []byte("gitdir: "+main+"/.git\n"), 0o644))
	r = c.script(`ls "` + main + `"; pwd`)
	require.Equal(t, "/workspace\n", r.stdout)
}

// TestWorkspacePath: the workspace has its own path in all containers, and tools run there.
func TestWorkspacePath(t *testing.T) {
	everyTransport(t, func(t *testing.T, c *caller, flags []string) {
		c.examples("rust-hello")
		flags = append(flags, toolchains("rust", "python")...)
		r := c.script(`
pwd; aifo-run rust pwd; cd rust-hello
cargo build -q && ./target/debug/rust-hello >/dev/null 2>&1; python3 -c 'import os; print(os.getcwd())'
python3 -m venv .venv && .venv/bin/python -c 'import sys; print(sys.prefix)'; . .venv/bin/activate; aifo-run python sh -c 'echo $VIRTUAL_ENV'
cd /tmp; cargo --version >/dev/null 2>&1; echo "outside $?"
true`, append(flags, "--workspace-path", "host")...)
		require.Equal(t, 0, r.code)
		ws := c.canonical()
		require.Equal(t, strings.Join([]string{ws, ws, ws + "/rust-hello", ws + "/rust-hello/.venv", ws + "/rust-hello/.venv", "outside 86", ""}, "\n"), r.stdout)
		c.requireOwned(c.workspace)
	})
}

// TestRunFlags: what the user asks of the containers holds in them.
func TestRunFlags(t *testing.T) {
	c := ordinary(t)
	data := filepath.Join(c.home, "data, of mine")
	require.NoError(t, os.Mkdir(data, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(data, "file"), []byte("content\n"), 0o644))
	c.own(data)
	c.env = append(c.env, "TOKEN=of the caller")
	r := c.script(`
cat /data/file; aifo-run python cat /data/file; touch /data/new 2>/dev/null || echo read-only
echo "$TOKEN $ONE"; aifo-run python sh -c 'echo "$TOKEN $ONE"'
python3 -c 'bytearray(400 << 20)'; echo "python $?"
head -c 1 /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max >/dev/null 2>&1
echo "the agent lives"`,
		"--toolchain", "python", "--mount", `type=bind,"source=`+data+`",target=/data,readonly`, "--env", "TOKEN", "--env", "ONE=1", "--env", "python.ONE=2",
		"--memory", "python=128m", "--cpus", "1.5")
	require.Equal(t, 0, r.code)
	require.Equal(t, "content\ncontent\nread-only\nof the caller 1\nof the caller 2\npython 137\nthe agent lives\n", r.stdout)
	out, err := exec.Command("docker", "volume", "ls", "--quiet", "--filter", "dangling=true").Output()
	require.NoError(t, err)
	require.NotContains(t, string(out), "data")
}
