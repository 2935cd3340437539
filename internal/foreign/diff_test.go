//go:build unix

package foreign_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
)

func (f *fixture) diff(t *testing.T, d foreign.Diff) string {
	t.Helper()
	v, err := foreign.Open(t.Context(), f.clone)
	require.NoError(t, err)
	defer v.Close()
	var b bytes.Buffer
	d.Out = &b
	require.NoError(t, v.Diff(t.Context(), d))
	return b.String()
}

func (f *fixture) work(t *testing.T) {
	t.Helper()
	f.commit(t, "committed", "committed\n")
	gittest.Write(t, filepath.Join(f.pane, mainFile), "ONE\n")
	gittest.Write(t, filepath.Join(f.pane, "new\x1b]0;x\x07"), "a\x1b[2Jb\tc\n")
	gittest.Write(t, filepath.Join(f.pane, "ignored.o"), "x")
	require.NoError(t, os.RemoveAll(filepath.Join(f.pane, "dir")))
	gittest.Write(t, filepath.Join(f.pane, "dir"), "a file now\n")
	gittest.Write(t, filepath.Join(f.pane, "bin"), "\x00\x01")
	run(t, f.pane, "init", "-q", "nested")
}

// TestDiffApplies: a patch that is not for a terminal has all the work in it.
func TestDiffApplies(t *testing.T) {
	f := newFixture(t)
	f.work(t)
	patch := filepath.Join(t.TempDir(), "patch")
	gittest.Write(t, patch, f.diff(t, foreign.Diff{}))
	run(t, f.root, "apply", "--index", patch)
	run(t, f.pane, "add", "--", "committed", mainFile, "new\x1b]0;x\x07", "dir", "bin")
	require.Equal(t, run(t, f.pane, "write-tree"), run(t, f.root, "write-tree"))
}

func TestDiffOnTerminal(t *testing.T) {
	f := newFixture(t)
	f.work(t)
	out := f.diff(t, foreign.Diff{Terminal: true})
	require.NotContains(t, out, "\x1b")
	require.NotContains(t, out, "\x07")
	require.Contains(t, out, "+a\\x1b[2Jb\tc\n")
	require.Contains(t, out, "Binary files /dev/null and b/bin differ")
	colored := f.diff(t, foreign.Diff{Terminal: true, Color: true})
	require.Contains(t, colored, "\x1b[32m+ONE\x1b[m\n")
	require.Contains(t, colored, "\x1b[31m-one\x1b[m\n")
	require.Equal(t, out, strings.NewReplacer("\x1b[32m", "", "\x1b[31m", "", "\x1b[36m", "", "\x1b[1m", "", "\x1b[m", "").Replace(colored))
}

func TestDiffNamesAndStat(t *testing.T) {
	f := newFixture(t)
	f.work(t)
	require.Equal(t, []string{"bin", "committed", "dir", "dir/other.txt", mainFile, "new\x1b]0;x\x07", ""},
		strings.Split(f.diff(t, foreign.Diff{Format: foreign.Names}), "\x00"))
	require.Contains(t, f.diff(t, foreign.Diff{Format: foreign.Stat, Terminal: true}), "6 files changed")
	require.Empty(t, run(t, f.root, "status", "--porcelain"))
}

// TestDiffLFS: files of Git LFS are compared as the pointers that they would be committed as.
func TestDiffLFS(t *testing.T) {
	f := newLFSFixture(t)
	require.Empty(t, f.diff(t, foreign.Diff{}))
	gittest.Write(t, filepath.Join(f.pane, "big.bin"), "changed")
	require.Contains(t, f.diff(t, foreign.Diff{Terminal: true}), "+oid sha256:"+oidOf("changed")+"\n")
}
