package clone_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// smallDisk mounts a file system of a size, or skips the test where that is not allowed.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
}

// TestFullDisk: git and we run out of space in the midst of it.
func TestFullDisk(t *testing.T) {
	b := newBase(t)
	disk := filepath.Join(b.home, "disk")
	smallDisk(t, disk, "4m")
	b.root = gittest.Init(t, disk, "repo")
	for _, f := range []string{"a", "b", "c", "d"} {
		gittest.Write(t, filepath.Join(b.root, f), strings.Repeat(f, 1<<18))
	}
	gittest.Git(t, b.root, "add", "--all")
	gittest.Commit(t, b.root, "e", "1")
	noise, _ := random(t)
	gittest.Commit(t, b.root, "noise", strings.Repeat(noise, 100))
	source := b.prepare()
	spec := b.spec(1)
	fillUp(t, disk, 1<<19)
	before := gittest.Tree(t, b.home)
	for _, dissociate := range []bool{false, true} {
		spec.Dissociate = dissociate
		_, err := source.Make(t.Context(), spec)
		require.Error(t, err)
		require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.home)))
		require.NoDirExists(t, spec.Dir)
	}

	// The scratch directory is on another disk, so that it is the last copy that fails.
	gittest.Write(t, b.root+"/noise", noise)
	fillUp(t, disk, 0)
	before = gittest.Tree(t, b.root)
	_, err := b.snapshotSpec().Take(t.Context())
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.root)))
	b.scratchIsEmpty()
}

// fillUp leaves at most so many bytes free.
func fillUp(t *testing.T, disk string, leave int64) {
	t.Helper()
	f, err := os.OpenFile(disk+"/filler", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(t, err)
	defer f.Close()
	for {
		var fs syscall.Statfs_t
		require.NoError(t, syscall.Statfs(disk, &fs))
		if int64(fs.Bavail)*fs.Bsize <= leave {
			return
		}
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}
