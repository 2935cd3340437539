//go:build unix

package foreign_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
)

func oidOf(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

func pointerTo(content string) string {
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oidOf(content), len(content))
}

func lfsFile(dir, content string) string {
	oid := oidOf(content)
	return filepath.Join(dir, ".git/lfs/objects", oid[:2], oid[2:4], oid)
}

// newLFSFixture has a file big.bin that is a pointer in the commit and content in the clone. Pointers are
// committed as they are, for which git-lfs is not needed.
func newLFSFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	require.NoError(t, os.RemoveAll(f.pane))
	gittest.Write(t, filepath.Join(f.root, "big.bin"), pointerTo("content"))
	run(t, f.root, "add", ".")
	gittest.Write(t, filepath.Join(f.root, ".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n")
	run(t, f.root, "add", ".")
	run(t, f.root, "commit", "-q", "-m", "lfs")
	gittest.Write(t, lfsFile(f.root, "content"), "content")
	f.makePane(t)
	gittest.Write(t, filepath.Join(f.pane, "big.bin"), "content")
	return f
}

// commitPointer has the agent commit a pointer, with its content in the clone.
func (f *fixture) commitPointer(t *testing.T, name, content string) string {
	t.Helper()
	gittest.Write(t, filepath.Join(f.pane, ".git/x"), pointerTo(content))
	blob := run(t, f.pane, "hash-object", "-w", "--no-filters", ".git/x")
	run(t, f.pane, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+name)
	run(t, f.pane, "commit", "-q", "-m", name)
	gittest.Write(t, lfsFile(f.pane, content), content)
	gittest.Write(t, filepath.Join(f.pane, name), content)
	return run(t, f.pane, "rev-parse", "HEAD")
}

func TestLFSFiles(t *testing.T) {
	f := newLFSFixture(t)
	tr := newTrap(t)
	for _, key := range []string{"filter.lfs.clean", "filter.lfs.smudge", "filter.lfs.process"} {
		run(t, f.pane, "config", key, tr.script)
	}
	require.Equal(t, foreign.Empty, f.look(t).Kind)
	gittest.Write(t, filepath.Join(f.pane, "big.bin"), pointerTo("content"))
	require.Equal(t, foreign.Empty, f.look(t).Kind, "a pointer without its content")
	gittest.Write(t, filepath.Join(f.pane, "big.bin"), "contend")
	require.Equal(t, []foreign.Change{{Path: "big.bin", What: "changed"}}, f.look(t).Changes)
	tr.unsprung(t)
}

func TestLFSContents(t *testing.T) {
	f := newLFSFixture(t)
	head := f.commitPointer(t, "new.bin", "new content")
	r := f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind)
	require.Equal(t, []string{"its commits are not in the repository", "1 file of Git LFS not in the repository"}, r.Reasons)
	run(t, f.root, "fetch", "-q", f.pane, "HEAD:mine")
	require.Equal(t, []string{"1 file of Git LFS not in the repository"}, f.look(t).Reasons)

	got := f.fetch(t)
	require.Equal(t, 1, got.LFS)
	require.Equal(t, head, f.refs(t)[branch])
	content, err := os.ReadFile(lfsFile(f.root, "new content"))
	require.NoError(t, err)
	require.Equal(t, "new content", string(content))
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
	require.Zero(t, f.fetch(t).LFS)
}

func TestLFSForged(t *testing.T) {
	f := newLFSFixture(t)
	head := f.commitPointer(t, "new.bin", "new content")
	gittest.Write(t, lfsFile(f.pane, "new content"), "EVIL content"[:11])
	got := f.fetch(t)
	require.Len(t, got.Left, 1)
	require.Equal(t, head, f.refs(t)[branch])
	require.NoFileExists(t, lfsFile(f.root, "new content"))
	require.Equal(t, foreign.HasWork, f.look(t).Kind)

	require.NoError(t, os.Remove(lfsFile(f.pane, "new content")))
	require.NoError(t, os.Symlink("/etc/passwd", lfsFile(f.pane, "new content")))
	f.fetch(t)
	require.NoFileExists(t, lfsFile(f.root, "new content"))
}
