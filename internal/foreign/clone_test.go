//go:build unix

package foreign_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/clone"
	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// TestRealClone: clones as package clone makes them are empty, with all that a repository may have.
func TestRealClone(t *testing.T) {
	for _, dissociate := range []bool{false, true} {
		for _, config := range []string{"", "[core]\n\tautocrlf = true\n"} {
			f, _ := newSubmoduleFixture(t)
			gittest.Write(t, os.Getenv("GIT_CONFIG_GLOBAL"), config)
			require.NoError(t, os.RemoveAll(f.pane))
			run(t, f.root, "tag", "-a", "-m", "x", "v2")
			run(t, f.root, "update-ref", "refs/remotes/origin/x", "HEAD")
			if _, err := exec.LookPath("git-lfs"); err == nil {
				run(t, f.root, "lfs", "install", "--skip-repo")
				gittest.Write(t, filepath.Join(f.root, ".gitattributes"), "*.bin filter=lfs -text\n")
				gittest.Write(t, filepath.Join(f.root, "x.bin"), "content")
				run(t, f.root, "add", ".")
				run(t, f.root, "commit", "-q", "-m", "lfs")
			}
			repo, err := git.Open(t.Context(), f.root)
			require.NoError(t, err)
			src, err := clone.Prepare(t.Context(), repo, repo.HeadCommit, t.TempDir())
			require.NoError(t, err)
			require.Empty(t, src.Warnings)
			require.NoError(t, os.MkdirAll(filepath.Dir(f.pane), 0o755))
			made, err := src.Make(t.Context(), clone.Spec{Dir: f.pane, Branch: branch, Dissociate: dissociate})
			require.NoError(t, err)
			f.clone = foreign.Clone{Repo: repo, Dir: f.pane, Branch: branch, Base: repo.HeadCommit, Created: made.Refs, Dissociate: dissociate, Scratch: t.TempDir()}
			r := f.look(t)
			require.Equal(t, foreign.Report{Kind: foreign.Empty, Branch: branch, Head: repo.HeadCommit}, r)
			require.Empty(t, f.diff(t, foreign.Diff{}))
			head := f.commit(t, "x", "x")
			f.commitPointer(t, "new.bin", "new content")
			_ = head
			f.fetch(t)
			require.Equal(t, foreign.Preserved, f.look(t).Kind)
		}
	}
}
