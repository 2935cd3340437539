//go:build unix

package fork_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/lock"
)

// TestCleanLeavesPanesThatWaitForTheirTurn has a pane's process hold its lock before its agent runs.
func TestCleanLeavesPanesThatWaitForTheirTurn(t *testing.T) {
	w := started(t, false)
	s, r := w.service(nil), w.only()
	l, err := lock.Acquire(filepath.Join(s.Store.PaneDir(r.SID, 1), "run.lock"), lock.Holder{PID: s.Self.PID, Since: time.Now()})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Release()) }()
	require.Equal(t, 1, s.Running(r))
	p, err := s.PlanClean(t.Context(), r, fork.CleanSpec{Force: true})
	require.NoError(t, err)
	require.False(t, p.Panes[0].Remove)
	require.True(t, p.Panes[1].Remove)
	var protected *fork.ProtectedError
	_, err = s.Clean(t.Context(), p)
	require.ErrorAs(t, err, &protected)
	_, err = s.Merge(t.Context(), r, fork.MergeSpec{Strategy: fork.StrategyFetch})
	var running *fork.RunningError
	require.ErrorAs(t, err, &running)
	require.DirExists(t, r.Panes[0].Dir)
}

// TestWhatTheCloneBorrowsIsKept deletes a branch and prunes what nothing reaches any more.
func TestWhatTheCloneBorrowsIsKept(t *testing.T) {
	w := newWorld(t)
	w.git("stash", "--quiet", "--include-untracked")
	w.git("checkout", "--quiet", "-b", "other-branch")
	w.git("commit", "--quiet", "--allow-empty", "--message=other")
	other := w.git("rev-parse", "HEAD")
	w.git("checkout", "--quiet", "main")
	w.git("stash", "pop", "--quiet", "--index")
	w.act(fault{}, "start")
	w.git("branch", "--quiet", "-D", "other-branch")
	w.git("reflog", "expire", "--expire=now", "--all")
	w.git("gc", "--quiet", "--prune=now")
	w.gitIn(w.only().Panes[0].Dir, "cat-file", "-e", other+"^{commit}")
	w.act(fault{}, "clean")
	w.requireGone()
}

// TestCleanProvesAgain changes a clone between the look at it and its removal: it reads the repository's objects
// now, which it was made not to.
func TestCleanProvesAgain(t *testing.T) {
	t.Setenv("WORLD_DISSOCIATE", "1")
	w := started(t, false)
	s, r := w.service(nil), w.only()
	require.True(t, r.Dissociate)
	p, err := s.PlanClean(t.Context(), r, fork.CleanSpec{})
	require.NoError(t, err)
	require.True(t, p.Panes[0].Remove)
	require.True(t, p.Panes[1].Remove)
	objects := filepath.Join(w.repo, ".git/objects")
	require.NoError(t, os.WriteFile(filepath.Join(r.Panes[0].Dir, ".git/objects/info/alternates"), []byte(objects+"\n"), 0o600))
	_, err = s.Clean(t.Context(), p)
	var protected *fork.ProtectedError
	require.ErrorAs(t, err, &protected)
	require.DirExists(t, r.Panes[0].Dir)
	require.NoDirExists(t, r.Panes[1].Dir)
}

// TestMovedRepository moves the repository away from under its clones, and back.
func TestMovedRepository(t *testing.T) {
	w := started(t, true)
	s, was := w.service(nil), w.repo
	w.repo += " elsewhere"
	require.NoError(t, os.Rename(was, w.repo))
	r := w.only()
	var stray *fork.StrayError
	_, err := s.Merge(t.Context(), r, fork.MergeSpec{Strategy: fork.StrategyFetch})
	require.ErrorAs(t, err, &stray)
	require.Contains(t, err.Error(), was)
	byID, err := s.Load(w.repo, r.SID)
	require.NoError(t, err)
	require.Equal(t, w.repo, byID.RepoRoot)
	p, err := s.PlanClean(t.Context(), r, fork.CleanSpec{})
	require.NoError(t, err)
	require.True(t, p.Panes[0].Protected)

	require.NoError(t, os.Rename(w.repo, was))
	w.repo = was
	w.requireWork()
	w.act(fault{}, "merge")

	require.NoError(t, os.Rename(was, was+" for good"))
	w.repo = was + " for good"
	p, err = s.PlanClean(t.Context(), w.only(), fork.CleanSpec{Force: true})
	require.NoError(t, err)
	_, err = s.Clean(t.Context(), p)
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(w.repo, ".aifo-coder"))
	require.Empty(t, w.git("for-each-ref", "refs/aifo-coder"))
}
