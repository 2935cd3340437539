package git_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

func TestWorktrees(t *testing.T) {
	home := gittest.Home(t)
	root := gittest.Init(t, home, "repo")
	gittest.Commit(t, root, "a", "a")
	linked, detached := filepath.Join(home, "linked\n"), filepath.Join(home, "detached")
	gittest.Git(t, root, "worktree", "add", "-q", "-b", "side", linked)
	gittest.Git(t, root, "worktree", "add", "-q", "--detach", detached)
	repo, err := git.Open(t.Context(), root)
	require.NoError(t, err)
	list, err := repo.Worktrees(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []git.Worktree{
		{Path: root, Branch: "refs/heads/main"}, {Path: linked, Branch: "refs/heads/side"}, {Path: detached},
	}, list)
}

// TestTransfer: objects come over whole or not at all, and no ref changes.
func TestTransfer(t *testing.T) {
	home := gittest.Home(t)
	from, into := gittest.Init(t, home, "from"), gittest.Init(t, home, "into")
	gittest.Commit(t, into, "z", "z")
	first := gittest.Commit(t, from, "a", "a")
	commit := gittest.Commit(t, from, "b", "b")
	repo, err := git.Open(t.Context(), into)
	require.NoError(t, err)
	shadow, err := git.MakeShadow(filepath.Join(home, "shadow"), git.ShadowSpec{Alternates: []string{filepath.Join(from, ".git/objects"), repo.Objects()}})
	require.NoError(t, err)
	scratch := t.TempDir()
	refs := gittest.Git(t, into, "for-each-ref")
	require.NoError(t, repo.Transfer(t.Context(), git.Transfer{From: shadow, Want: []string{commit}, Scratch: scratch}))
	require.Equal(t, "b", gittest.Git(t, into, "show", commit+":b"))
	require.Equal(t, "a", gittest.Git(t, into, "show", first+":a"))
	require.Equal(t, refs, gittest.Git(t, into, "for-each-ref"))

	third := gittest.Commit(t, from, "c", "c")
	blob := gittest.Git(t, from, "rev-parse", "HEAD:c")
	require.NoError(t, os.Remove(filepath.Join(from, ".git/objects", blob[:2], blob[2:])))
	var unsafe *git.UnsafeError
	require.ErrorAs(t, repo.Transfer(t.Context(), git.Transfer{From: shadow, Want: []string{third}, Scratch: scratch}), &unsafe)
	require.NotEmpty(t, unsafe.Hint())
	require.Error(t, repo.Git("cat-file", "-e", third).Run(t.Context()))
	entries, err := os.ReadDir(scratch)
	require.NoError(t, err)
	require.Empty(t, entries)
}
