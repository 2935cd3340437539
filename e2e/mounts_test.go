//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// treasure makes a directory beside the workspace that no container is given.
func (c *caller) treasure() (dir string) {
	c.t.Helper()
	dir = filepath.Join(c.home, "treasure")
	require.NoError(c.t, os.Mkdir(dir, 0o700))
	require.NoError(c.t, os.WriteFile(filepath.Join(dir, "key"), []byte("S3CRET\n"), 0o600))
	c.own(dir)
	return dir
}

// swapped is what a sidecar says whose mount is not what was meant.
const swapped = "is not what it was when the session began"

// TestMountIsSwapped: an agent puts a link where a directory of its workspace is to be mounted in a sidecar,
// which starts when the agent runs. The sidecar ends before a tool runs in it, and the session with it.
func TestMountIsSwapped(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		treasure := c.treasure()
		// The engine may look before the agent does anything, and between its two commands. Then it tries again.
		for range 20 {
			require.NoError(t, os.RemoveAll(filepath.Join(c.workspace, "data")))
			require.NoError(t, os.Mkdir(filepath.Join(c.workspace, "data"), 0o700))
			c.own(c.workspace)
			r := c.script("mv data data.real; ln -s "+treasure+" data; python -c 'print(open(\"/data/key\").read()); open(\"/data/put\", \"w\")'",
				"--toolchain", "python", "--mount", "type=bind,source=./data,target=/data")
			require.NoError(t, os.RemoveAll(filepath.Join(c.workspace, "data.real")))
			require.NotContains(t, r.stdout, "S3CRET")
			require.NoFileExists(t, filepath.Join(treasure, "put"))
			require.NotZero(t, r.code)
			if strings.Contains(r.stderr, swapped) {
				return
			}
		}
		t.Fatal("the swap was never found")
	})
}

// TestMountInADirectory: an agent renames the directory in which a mount hides a file, and makes it anew.
func TestMountInADirectory(t *testing.T) {
	c := self(t)
	server := filepath.Join(c.workspace, "server")
	require.NoError(t, os.Mkdir(server, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(server, ".env"), []byte("S3CRET\n"), 0o600))
	c.own(c.workspace)
	r := c.script(`mv server moved; mkdir server; touch server/.env; python -c "
import glob
for name in glob.glob('*/.env'): print(name, open(name).read())"`,
		"--toolchain", "python", "--mount", "type=bind,source=/dev/null,target=/workspace/server/.env")
	require.Zero(t, r.code)
	require.Contains(t, r.stdout, "moved/.env")
	require.NotContains(t, r.stdout, "S3CRET")
}

// TestMountBehindALink: in the images /var/run is a link. What says what must be mounted reaches no tool.
func TestMountBehindALink(t *testing.T) {
	c := self(t)
	treasure := c.treasure()
	for _, executor := range []string{"resident", "docker"} {
		c := c.with(t)
		c.env = append(c.env, "AIFO_TOOLCHAIN_EXEC="+executor)
		r := c.script(`env >agent; aifo-run python env >tool; grep -h AIFO_MOUNTS agent tool; python -c 'print(open("/var/run/treasure/key").read())'`,
			"--toolchain", "python", "--mount", "type=bind,source="+treasure+",target=/var/run/treasure,readonly")
		require.Zero(t, r.code)
		require.Equal(t, "S3CRET\n\n", r.stdout)
	}
}

// TestWorkspaceInWorkspace: an agent whose workspace holds that of another session swaps it while that starts.
func TestWorkspaceInWorkspace(t *testing.T) {
	c := self(t)
	treasure := c.treasure()
	inner := filepath.Join(c.workspace, "inner")
	require.NoError(t, os.Mkdir(inner, 0o700))
	c.own(c.workspace)
	c.env = append(c.env, "AIFO_CODER_SKIP_LOCK=1")
	outer := c.start("shell", "--", "bash", "-c", `echo READY
until [ -e inner/started ]; do :; done; mv inner inner.real; ln -s `+treasure+` inner; touch inner.real/swapped; sleep 600`)
	r := c.run("", "--workspace", inner, "--toolchain", "python", "shell", "--", "bash", "-c",
		"touch started; until [ -e swapped ]; do :; done; python -c 'import os; print(os.listdir()); print(open(\"key\").read())'; sleep 60")
	require.NotContains(t, r.stdout, "S3CRET")
	require.NotZero(t, r.code)
	require.NoError(t, os.Remove(inner))
	require.NoError(t, os.Rename(inner+".real", inner))
	require.Zero(t, c.run("", "stop", "--all").code)
	require.Equal(t, 143, outer.end(t))
}

// TestGitDirectoryInTheWorkspace: a .git file that an agent left leads to a git directory of its making, of which
// parts would be mounted.
func TestGitDirectoryInTheWorkspace(t *testing.T) {
	c := self(t)
	treasure := c.treasure()
	c.repository()
	made := c.script(`set -e
W=$(sed -n 's|^[0-9]* [0-9]* [^ ]* \([^ ]*\) /workspace .*|\1|p' /proc/self/mountinfo); [ -n "$W" ]
mkdir sub; mv .git sub/.git; rm -rf sub/.git/hooks sub/.git/logs; mkdir -p sub/.git/worktrees/w
cp sub/.git/HEAD sub/.git/index sub/.git/worktrees/w/; echo ../.. >sub/.git/worktrees/w/commondir
echo ` + c.workspace + `/.git >sub/.git/worktrees/w/gitdir; echo "gitdir: ` + c.workspace + `/sub/.git/worktrees/w" >.git`)
	require.Zero(t, made.code)
	r := c.run("", "--dry-run", "--toolchain", "python", "shell")
	require.Zero(t, r.code)
	require.NotContains(t, r.stdout, "sub/.git")
	r = c.script(`mv sub sub.old; mkdir sub; cp -r sub.old/.git sub/; rm -rf sub/.git/objects; ln -s `+treasure+` sub/.git/objects
python -c 'print(open("`+treasure+`/key").read())'`, "--toolchain", "python")
	require.NotContains(t, r.stdout, "S3CRET")
}
