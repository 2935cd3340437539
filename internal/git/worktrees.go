package git

import (
	"context"
	"strings"
)

// Worktree is a work tree of the repository, the main one or a linked one.
type Worktree struct {
	Path   string
	Branch string // full name of what is checked out; "" when detached
}

// Worktrees returns the work trees of the repository, the main one first
// (git-worktree(1), porcelain format).
func (r Repo) Worktrees(ctx context.Context) ([]Worktree, error) {
	out, err := r.Git("worktree", "list", "--porcelain", "-z").Output(ctx)
	if err != nil {
		return nil, err
	}
	var list []Worktree
	for line := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(line, " ")
		switch {
		case key == "worktree":
			list = append(list, Worktree{Path: value})
		case key == "branch" && len(list) > 0:
			list[len(list)-1].Branch = value
		}
	}
	return list, nil
}

// CheckedOut returns the full names of the branches that some work tree is on.
func (r Repo) CheckedOut(ctx context.Context) (map[string]bool, error) {
	trees, err := r.Worktrees(ctx)
	branches := map[string]bool{}
	for _, t := range trees {
		branches[t.Branch] = true
	}
	return branches, err
}
