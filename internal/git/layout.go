package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LayoutError says that a repository leads to files that are not its own. An agent that has
// worked in it can have made it so, and would see those files in its next clone.
type LayoutError struct {
	Path    string
	Problem string
	Remedy  string
}

func (e *LayoutError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Problem) }

// Hint says what to do.
func (e *LayoutError) Hint() string { return e.Remedy }

// PartialCloneError says that a repository lacks objects, which git would fetch on the way
// as the repository's configuration tells it to.
type PartialCloneError struct{ Setting string }

func (e *PartialCloneError) Error() string {
	return "the repository is a partial clone (" + e.Setting + "), whose missing objects would have to be fetched on the way"
}

// Hint says what to do.
func (e *PartialCloneError) Hint() string {
	return "work in a complete one: git clone without --filter"
}

// checkComplete returns a *PartialCloneError when git could look for missing objects elsewhere.
func checkComplete(list Settings) error {
	for _, s := range list {
		remote := strings.HasPrefix(s.Key, "remote.") && (strings.HasSuffix(s.Key, ".promisor") || strings.HasSuffix(s.Key, ".partialclonefilter"))
		if remote || s.Key == "extensions.partialclone" {
			return &PartialCloneError{Setting: s.Key}
		}
	}
	return nil
}

const remedyLink = "see whether you made it so; if not, an agent has: replace it by a real file or directory"

// checkLayout returns a *LayoutError for a git directory, or objects, outside of the repository.
func (r Repo) checkLayout(list Settings) error {
	if err := r.checkGitDir(list); err != nil {
		return err
	}
	return CheckObjects(r.Objects())
}

// checkGitDir sees that the git directory belongs to the work tree: it is in it, or
// names it in turn.
func (r Repo) checkGitDir(list Settings) error {
	dotGit := filepath.Join(r.Root, ".git")
	info, err := os.Lstat(dotGit)
	if err != nil {
		return &LayoutError{Path: r.Root, Problem: "is not where its git directory is: " + r.GitDir + " (core.worktree)",
			Remedy: "unset core.worktree there, or run in a clone with a .git of its own"}
	}
	switch {
	case info.IsDir() && sameFile(dotGit, r.GitDir) && r.CommonDir == r.GitDir:
		return nil
	case info.Mode().IsRegular() && (r.isWorktreeOf(dotGit) || r.namesRoot(list)):
		return nil
	}
	return &LayoutError{Path: dotGit, Problem: "leads to another repository, " + r.CommonDir + ", which does not know of it",
		Remedy: "if you made it so, tell that repository: git config core.worktree " + r.Root + "; if not, an agent has: remove it"}
}

// isWorktreeOf says whether the git directory is that of a linked work tree and its gitdir
// file names dotGit (gitrepository-layout(5), worktrees).
func (r Repo) isWorktreeOf(dotGit string) bool {
	link, err := os.ReadFile(filepath.Join(r.GitDir, "gitdir"))
	return err == nil && sameFile(strings.TrimSpace(string(link)), dotGit) &&
		filepath.Dir(r.GitDir) == filepath.Join(r.CommonDir, "worktrees")
}

// namesRoot says whether the repository's own configuration names the work tree, as that of a
// submodule does.
func (r Repo) namesRoot(list Settings) bool {
	values := list.Get("core.worktree", Local)
	if len(values) == 0 || r.CommonDir != r.GitDir {
		return false
	}
	tree := values[len(values)-1]
	if !filepath.IsAbs(tree) {
		tree = filepath.Join(r.GitDir, tree)
	}
	return sameFile(tree, r.Root)
}

func sameFile(a, b string) bool {
	fa, err1 := os.Stat(a)
	fb, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(fa, fb)
}

// CheckObjects returns a *LayoutError when a directory of objects borrows from another one,
// or has links in it that may lead to the objects of another repository.
func CheckObjects(dir string) error {
	for _, sub := range []string{"", "info", "pack"} {
		if err := checkNoLinks(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	alternates := filepath.Join(dir, "info", "alternates")
	if _, err := os.Lstat(alternates); !errors.Is(err, fs.ErrNotExist) {
		return &LayoutError{Path: alternates, Problem: "has the repository borrow objects of another one", Remedy: remedyBorrow(dir)}
	}
	return nil
}

// remedyBorrow says what to do about borrowed objects. In a clone of fork mode they are as they must be.
func remedyBorrow(dir string) string {
	if repo, _, ok := strings.Cut(filepath.ToSlash(dir), "/.aifo-coder/forks/"); ok {
		return "this is a clone that fork mode made; start from its repository: " + repo
	}
	return "if you made it so, have it own them: git repack -a -d, then remove that file; if not, an agent has: remove it"
}

// checkNoLinks returns a *LayoutError when dir is a link or has one in it.
func checkNoLinks(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		return &LayoutError{Path: dir, Problem: "is not a directory", Remedy: remedyLink}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the repository: %w", err)
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			return &LayoutError{Path: filepath.Join(dir, e.Name()), Problem: "is a link", Remedy: remedyLink}
		}
	}
	return nil
}

// checkRefFiles returns a *LayoutError when git would write a ref, or a line of a reflog,
// through a link: a line with words of an agent's choosing, in any file of the user's.
func (r Repo) checkRefFiles(updates []Update) error {
	paths := []string{"packed-refs", "logs/HEAD"}
	for _, u := range updates {
		paths = append(paths, u.Ref, "logs/"+u.Ref)
	}
	for _, path := range paths {
		if err := CheckPath(r.CommonDir, path); err != nil {
			return err
		}
	}
	return CheckPath(r.GitDir, "logs/HEAD")
}

// CheckPath returns a *LayoutError when a part of path below dir is a link. What is missing is none.
func CheckPath(dir, path string) error {
	for part := range strings.SplitSeq(path, "/") {
		dir = filepath.Join(dir, part)
		info, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at the repository: %w", err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return &LayoutError{Path: dir, Problem: "is a link", Remedy: remedyLink}
		}
	}
	return nil
}
