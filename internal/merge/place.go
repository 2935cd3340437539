package merge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// place is where the merge goes.
type place struct {
	files bool   // the base branch is checked out where we are: its files change as well
	left  string // why the base branch cannot take it; "" when it can
}

// situation is what decides about that.
type situation struct {
	base      string // full name of the base branch, or ""
	exists    bool
	unborn    bool   // our work tree is on it
	root      string // our work tree
	trees     []git.Worktree
	rebasing  []string // branches that a rebase is under way on
	operation string   // what is under way in our work tree
	sparse    bool
}

// decide returns the place. A branch never moves under the files of another work tree, nor
// while git is in the middle of something there.
func decide(s situation) place {
	switch {
	case s.base == "":
		return place{left: "the session did not start from a branch"}
	case !s.exists && s.unborn:
		return place{left: fmt.Sprintf("%s has no commit yet", short(s.base))}
	case !s.exists:
		return place{left: fmt.Sprintf("the branch %s is gone", short(s.base))}
	}
	for _, b := range s.rebasing {
		if b == s.base {
			return place{left: fmt.Sprintf("a rebase of %s is under way", short(s.base))}
		}
	}
	var here bool
	for _, t := range s.trees {
		switch {
		case t.Branch != s.base:
		case t.Path == s.root:
			here = true
		default:
			return place{left: fmt.Sprintf("%s is checked out in %s", short(s.base), t.Path)}
		}
	}
	switch {
	case !here:
		return place{}
	case s.operation != "":
		return place{left: fmt.Sprintf("a %s is under way in %s", s.operation, s.root)}
	case s.sparse:
		return place{left: fmt.Sprintf("the checkout in %s is a sparse one", s.root)}
	}
	return place{files: true}
}

// place looks at the repository and decides.
func (m *merger) place(ctx context.Context) (place, error) {
	s := situation{base: m.BaseRef, root: m.Repo.Root, unborn: m.BaseRef == m.Repo.HeadRef && m.Repo.HeadCommit == ""}
	refs, err := m.Repo.Refs(ctx, m.BaseRef)
	if err != nil {
		return place{}, err
	}
	s.exists = len(refs) == 1 && refs[0].Name == m.BaseRef
	if s.trees, err = m.Repo.Worktrees(ctx); err != nil {
		return place{}, err
	}
	for i := range s.trees {
		if path, err := filepath.EvalSymlinks(s.trees[i].Path); err == nil {
			s.trees[i].Path = path
		}
	}
	s.rebasing = rebasing(m.Repo.CommonDir)
	s.operation = operation(m.Repo.GitDir)
	value, err := m.Repo.Git("config", "--type=bool", "--get", "core.sparseCheckout").Line(ctx)
	if err != nil && git.Code(err) != 1 { // 1: not set
		return place{}, err
	}
	s.sparse = value == "true"
	return decide(s), nil
}

// rebasing returns the branches that a rebase is under way on, in any work tree.
func rebasing(common string) []string {
	dirs, _ := filepath.Glob(filepath.Join(common, "worktrees", "*")) // no error: the pattern is a good one
	var branches []string
	for _, dir := range append(dirs, common) {
		for _, kind := range []string{"rebase-merge", "rebase-apply"} {
			if name, err := os.ReadFile(filepath.Join(dir, kind, "head-name")); err == nil {
				branches = append(branches, strings.TrimSpace(string(name)))
			}
		}
	}
	return branches
}

// operation returns what is under way in a work tree, by the files that stand for it.
func operation(gitDir string) string {
	for _, op := range []struct{ file, what string }{
		{"MERGE_HEAD", "merge"}, {"CHERRY_PICK_HEAD", "cherry-pick"}, {"REVERT_HEAD", "revert"},
		{"rebase-merge", "rebase"}, {"rebase-apply", "rebase or am"}, {"sequencer", "cherry-pick or revert"},
	} {
		if _, err := os.Lstat(filepath.Join(gitDir, op.file)); err == nil {
			return op.what
		}
	}
	return ""
}

// lockFile is there while a git changes the index, or when one was killed.
func lockFile(r git.Repo) (string, bool) {
	path := r.Index() + ".lock"
	_, err := os.Lstat(path)
	return path, err == nil
}
