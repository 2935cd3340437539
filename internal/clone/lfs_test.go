//go:build unix

package clone_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// withLFS skips the test without git-lfs, and sets it up for the user.
func withLFS(t *testing.T, b base) {
	t.Helper()
	if _, err := exec.LookPath("git-lfs"); err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal("git-lfs is not installed")
		}
		t.Skip("git-lfs is not installed")
	}
	gittest.Git(t, b.root, "lfs", "install", "--skip-repo")
	gittest.Commit(t, b.root, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
}

func random(t *testing.T) (content, oid string) {
	t.Helper()
	data := make([]byte, 5000)
	_, err := rand.Read(data)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	return string(data), hex.EncodeToString(sum[:])
}

func lfsFile(gitDir, oid string) string {
	return filepath.Join(gitDir, "lfs/objects", oid[:2], oid[2:4], oid)
}

func TestLFS(t *testing.T) {
	b := newBase(t)
	withLFS(t, b)
	here, hereOID := random(t)
	gone, goneOID := random(t)
	gittest.Commit(t, b.root, "dir/here ü.bin", here)
	gittest.Commit(t, b.root, "gone.bin", gone)
	gittest.Commit(t, b.root, "plain", "1")
	gittest.Commit(t, b.root, "empty.bin", "")
	require.NoError(t, os.Remove(lfsFile(b.root+"/.git", goneOID)))
	trap, check := gittest.Trap(t)
	gittest.Git(t, b.root, "config", "remote.origin.url", "ssh://nowhere.invalid/x")
	gittest.Git(t, b.root, "config", "lfs.customtransfer.x.path", trap)
	gittest.Git(t, b.root, "config", "lfs.standalonetransferagent", "x")

	source := b.prepare()
	require.Len(t, source.Warnings, 1)
	require.Contains(t, source.Warnings[0], `"gone.bin"`)
	spec := b.spec(1)
	_, err := source.Make(t.Context(), spec)
	require.NoError(t, err)
	check()
	content, err := os.ReadFile(spec.Dir + "/dir/here ü.bin")
	require.NoError(t, err)
	require.Equal(t, here, string(content))
	content, err = os.ReadFile(spec.Dir + "/gone.bin")
	require.NoError(t, err)
	require.Contains(t, string(content), "oid sha256:"+goneOID)
	require.FileExists(t, lfsFile(spec.Dir+"/.git", hereOID))
	requireNoSharedFile(t, b.root+"/.git/lfs", spec.Dir)
	requireClean(t, spec.Dir)

	// Without the user's configuration, as in a container.
	gittest.Write(t, b.home+"/.gitconfig", "")
	requireClean(t, spec.Dir)
	later, laterOID := random(t)
	gittest.Write(t, spec.Dir+"/dir/here ü.bin", later)
	gittest.Git(t, spec.Dir, "add", "--all")
	require.Contains(t, gittest.Git(t, spec.Dir, "show", ":dir/here ü.bin"), laterOID)
}

// TestLFSWithoutTheProgram: git status does not need git-lfs in a clone, for an agent's image may lack it.
func TestLFSWithoutTheProgram(t *testing.T) {
	b := newBase(t)
	withLFS(t, b)
	content, _ := random(t)
	gittest.Commit(t, b.root, "f.bin", content)
	dir, _ := b.make()
	bin := t.TempDir()
	program, err := exec.LookPath("git")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(program, bin+"/git"))
	t.Setenv("PATH", bin)
	require.Empty(t, gittest.Git(t, dir, "status", "--short"))

	source := b.prepare()
	require.Len(t, source.Warnings, 1)
	spec := b.spec(2)
	_, err = source.Make(t.Context(), spec)
	require.NoError(t, err)
	pointer, err := os.ReadFile(spec.Dir + "/f.bin")
	require.NoError(t, err)
	require.Contains(t, string(pointer), "oid sha256:")
}

func TestLFSInASnapshot(t *testing.T) {
	b := newBase(t)
	withLFS(t, b)
	content, oid := random(t)
	gittest.Write(t, b.root+"/f.bin", content)
	s := b.snapshot()
	require.Contains(t, b.files(s.Commit)["f.bin"], "oid sha256:"+oid)
	require.FileExists(t, lfsFile(b.root+"/.git", oid))
	require.Empty(t, s.Warnings)
}

// TestLFSOfTheRepositoryAlone: a repository's own word that its filter is Git LFS is not taken.
func TestLFSOfTheRepositoryAlone(t *testing.T) {
	b := newBase(t)
	withLFS(t, b)
	content, _ := random(t)
	gittest.Commit(t, b.root, "f.bin", content)
	gittest.Git(t, b.root, "config", "--global", "--remove-section", "filter.lfs")
	trap, check := gittest.Trap(t)
	gittest.Git(t, b.root, "config", "filter.lfs.process", trap)
	source := b.prepare()
	require.Len(t, source.Warnings, 2)
	_, err := source.Make(t.Context(), b.spec(1))
	require.NoError(t, err)
	check()
}
