package git

import (
	"bytes"
	"context"
	"errors"
	"strings"
)

// Dirty returns the files of the work tree that differ from HEAD: changed, staged, unmerged
// or untracked, and submodules with another commit. Neither git's index nor any object is
// written, and no git runs in a submodule. shadowDir must not exist, and is gone afterwards.
func (r Repo) Dirty(ctx context.Context, shadowDir string) ([]string, error) {
	// Objects that a filter of the user's writes, as Git LFS's does, go with the quarantine.
	q, err := r.Quarantine(ctx, shadowDir)
	if err != nil {
		return nil, err
	}
	out, err := q.Git("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=dirty").Output(ctx)
	return parseStatus(out), errors.Join(err, q.Remove())
}

// parseStatus returns the paths in the output of git status --porcelain=v1 -z --no-renames.
func parseStatus(out []byte) []string {
	var paths []string
	for field := range bytes.SplitSeq(out, []byte{0}) {
		const prefix = len("XY ")
		if len(field) > prefix && !OurPath(string(field[prefix:])) {
			paths = append(paths, string(field[prefix:]))
		}
	}
	return paths
}

// OurPath says whether a path of a work tree is in the directory of our clones.
func OurPath(path string) bool {
	return path == ".aifo-coder" || strings.HasPrefix(path, ".aifo-coder/")
}
