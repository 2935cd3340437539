// Package clone makes the clones of a repository that agents work on, and the commit that they
// start from. A clone is an ordinary repository with a git directory of its own, written by us
// and not by git clone: nothing of the base's configuration gets into it but data, no
// template, no hook. It borrows the base's objects, which it cannot change, or has copies;
// never the same inode, through which an agent would write the user's own.
//
// It does not keep the base from being written meanwhile, nor what is borrowed from being
// collected: that is for the caller, with a lock and a ref.
package clone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Spec says what one clone is to be.
type Spec struct {
	// Dir is the clone's directory, in the base's work tree. It must not exist, its parents
	// must (MakeParents).
	Dir        string
	Branch     string // full name of the branch that is made at the base and checked out
	Dissociate bool   // the clone has all objects of its own
	// Step is called before each change on disk, with words for it; its error is the change's.
	Step func(string) error
}

// Clone is what was made.
type Clone struct {
	Refs       []git.Ref // all of them, as they are at the beginning
	Submodules []Submodule
	// Borrowed are the directories of objects that the clone and its submodules read. A
	// container needs them in the same places, and read-only.
	Borrowed []string
}

// Submodule is a submodule of a clone.
type Submodule struct {
	Path   string // of its work tree, in the clone
	GitDir string // in the clone: .git/modules/NAME, or .git/modules/NAME/modules/NAME
	Commit string
	Refs   []git.Ref
}

// Make makes a clone. Several may be made at once. When it fails, or is cancelled, nothing
// of the clone is left.
func (s *Source) Make(ctx context.Context, spec Spec) (Clone, error) {
	if err := s.check(ctx, spec); err != nil {
		return Clone{}, fmt.Errorf("make clone: %w", err)
	}
	m := maker{dir: spec.Dir, step: spec.Step, dissociate: spec.Dissociate}
	if err := m.create(); err != nil {
		return Clone{}, fmt.Errorf("make clone %s: %w", spec.Dir, err)
	}
	err := m.make(ctx, s.top, place{gitDir: ".git", branch: spec.Branch})
	if err = errors.Join(err, m.root.Close()); err != nil {
		return Clone{}, errors.Join(fmt.Errorf("make clone %s: %w", spec.Dir, err), os.RemoveAll(spec.Dir))
	}
	return m.made, nil
}

// check refuses a bad specification before anything is made.
func (s *Source) check(ctx context.Context, spec Spec) error {
	if !strings.HasPrefix(spec.Branch, "refs/heads/") {
		return fmt.Errorf("%q is not the full name of a branch", spec.Branch)
	}
	if err := (git.Command{Args: []string{"check-ref-format", spec.Branch}}).Run(ctx); err != nil {
		return fmt.Errorf("%q is no name for a branch: %w", spec.Branch, err)
	}
	parent, err := filepath.Rel(s.top.repo.Root, filepath.Dir(spec.Dir))
	if err != nil || !filepath.IsLocal(parent) {
		return fmt.Errorf("%q is not in the work tree %s", spec.Dir, s.top.repo.Root)
	}
	return git.CheckPath(s.top.repo.Root, filepath.ToSlash(parent))
}

// maker makes one clone.
type maker struct {
	dir        string
	root       *os.Root // dir; a link in it leads nowhere else
	step       func(string) error
	dissociate bool
	made       Clone
}

// place is where in the clone a repository goes, and what is checked out.
type place struct {
	gitDir   string // relative to the clone, with slashes
	workTree string // likewise; "" is the clone's top
	branch   string // "" leaves HEAD detached
}

func (m *maker) at(format string, args ...any) error {
	if m.step == nil {
		return nil
	}
	return m.step(fmt.Sprintf(format, args...))
}

func (m *maker) create() error {
	if err := m.at("make the clone's directory"); err != nil {
		return err
	}
	if err := os.Mkdir(m.dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return errors.Join(err, os.Remove(m.dir))
	}
	m.root = root
	return nil
}

// make makes the repository t at p, and its submodules.
func (m *maker) make(ctx context.Context, t tree, p place) error {
	refs := t.refsAt(p.branch)
	if err := m.writeGitDir(t, p, refs); err != nil {
		return err
	}
	if err := m.giveObjects(ctx, t, p); err != nil {
		return err
	}
	if err := m.checkOut(ctx, t, p); err != nil {
		return err
	}
	m.note(t, p, refs)
	for _, sub := range t.subs {
		if err := m.makeSubmodule(ctx, sub, p); err != nil {
			return fmt.Errorf("submodule %s: %w", sub.path, err)
		}
	}
	return nil
}

func (m *maker) note(t tree, p place, refs []git.Ref) {
	if !m.dissociate {
		m.made.Borrowed = append(m.made.Borrowed, t.repo.Objects())
	}
	if p.workTree == "" {
		m.made.Refs = refs
		return
	}
	m.made.Submodules = append(m.made.Submodules, Submodule{Path: p.workTree, GitDir: p.gitDir, Commit: t.commit, Refs: refs})
}

func (m *maker) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

// git returns a command in the clone. It runs the user's own filters, as any checkout of
// theirs does; the clone's configuration is what we have just written.
func (m *maker) git(p place, args ...string) git.Command {
	return git.Command{
		Dir: m.path(p.workTree), GitDir: m.path(p.gitDir), WorkTree: m.path(p.workTree), UserConfig: true, Args: args,
	}
}

// checkOut writes the files, and into the index what git status compares them with.
func (m *maker) checkOut(ctx context.Context, t tree, p place) error {
	if err := m.at("check out the files of %s", p.gitDir); err != nil {
		return err
	}
	c := m.git(p, "checkout-index", "--index", "--quiet", "-z", "--stdin")
	// What is of Git LFS comes later, and what lacks its content stays a pointer.
	c.Config = []string{"filter.lfs.process=", "filter.lfs.smudge=", "filter.lfs.clean=", "filter.lfs.required=false"}
	c.Stdin = pathList(t.paths)
	if err := c.Run(ctx); err != nil {
		return fmt.Errorf("check out the files: %w", err)
	}
	return m.checkOutLFS(ctx, t, p)
}

// pathList returns what git commands read with -z --stdin.
func pathList(paths []string) io.Reader {
	if len(paths) == 0 {
		return nil
	}
	return strings.NewReader(strings.Join(paths, "\x00") + "\x00")
}
