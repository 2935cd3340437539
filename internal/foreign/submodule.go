package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// submodule is a submodule that HEAD names and that has files.
type submodule struct {
	path string // in its superproject
	tree string // its work tree, below the clone
	dir  string // its git directory, below the clone
	link string // the commit that HEAD names
	base string // the commit that the superproject's base names; "" when that has none there
}

// gitlink is the mode of a submodule's entry in a tree.
const gitlink = "160000"

// openSubmodules adds the repositories of the submodules of a unit: those that have files,
// and those that are left in its modules directory.
func (v *View) openSubmodules(ctx context.Context, super *unit) error {
	if super.refs.head == "" {
		return v.openModules(ctx, super, "modules", nil)
	}
	subs, err := v.submodules(ctx, super)
	if err != nil {
		return err
	}
	byDir := map[string]submodule{}
	for _, s := range subs {
		byDir[s.dir] = s
		if path.Base(s.dir) != ".git" {
			continue // among the modules
		}
		if err := v.openSubmodule(ctx, super, s.dir, s); err != nil {
			return err
		}
	}
	return v.openModules(ctx, super, "modules", byDir)
}

// submodules returns those of HEAD that have files.
func (v *View) submodules(ctx context.Context, super *unit) ([]submodule, error) {
	links, err := gitlinks(ctx, super.q, super.refs.head)
	if git.Code(err) >= 0 {
		links = nil // a damaged commit, of which work and changes tell
	} else if err != nil {
		return nil, err
	}
	if len(links) == 0 || super.tree == "" {
		return nil, nil
	}
	base := map[string]string{}
	if super.base != "" {
		// Without the base all that is in the submodule is new, which is the safe side.
		base, _ = gitlinks(ctx, super.q, super.base)
	}
	var subs []submodule
	for at, link := range links {
		s := submodule{path: at, tree: path.Join(super.tree, at), link: link, base: base[at]}
		if s.dir, err = v.moduleDir(s.tree); err != nil {
			return nil, v.refuse(fmt.Sprintf("the submodule at %q is not as we made it", at), err)
		}
		switch {
		case s.dir != "":
			subs = append(subs, s)
		case !v.empty(s.tree):
			// Git looks for no untracked files where a submodule should be.
			super.moved = append(super.moved, at)
		}
	}
	return subs, nil
}

// empty reports whether there is nothing at a path, or an empty directory.
func (v *View) empty(at string) bool {
	entries, err := list(v.pane, at)
	return err == nil && len(entries) == 0
}

// gitlinks returns the submodules of a commit: paths and commits.
func gitlinks(ctx context.Context, q git.Shadow, commit string) (map[string]string, error) {
	entries, err := listTree(ctx, q, commit)
	links := map[string]string{}
	for name, e := range entries {
		if e.mode == gitlink {
			links[name] = e.object
		}
	}
	return links, err
}

// moduleDir returns the git directory of the work tree at, below the clone; "" when
// there is none. A file .git must refer to one of the clone's modules.
func (v *View) moduleDir(at string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(at)) {
		return "", errors.New("its path leads out of the clone")
	}
	name := path.Join(at, ".git")
	fi, err := lstat(v.pane, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || fi.IsDir() {
		return name, err
	}
	content, err := read(v.pane, name, maxSmall)
	if err != nil {
		return "", err
	}
	target, ok := strings.CutPrefix(strings.TrimSpace(string(content)), "gitdir: ")
	dir := path.Join(at, filepath.ToSlash(target))
	if !ok || path.IsAbs(target) || !strings.HasPrefix(dir, ".git/modules/") {
		return "", errors.New("its .git refers elsewhere")
	}
	return dir, nil
}

// maxModules is how many submodules are looked at.
const maxModules = 500

// openModules looks for git directories below dir, in the git directory of a unit: a
// submodule's name may have slashes.
func (v *View) openModules(ctx context.Context, super *unit, dir string, byDir map[string]submodule) error {
	entries, err := list(super.git, dir)
	if err != nil {
		return v.refuse("its submodules cannot be listed", err)
	}
	for _, e := range entries {
		at := path.Join(dir, e.Name())
		full := path.Join(super.dir, at)
		switch {
		case !e.IsDir():
			err = v.refuse("its submodules cannot be listed", &notPlainError{name: at, want: "a directory"})
		case strings.Count(full, "/") > maxDepth:
			err = v.refuse("its submodules are too deep", nil)
		case exists(super.git, path.Join(at, "HEAD")):
			err = v.openSubmodule(ctx, super, full, byDir[full])
		default:
			err = v.openModules(ctx, super, at, byDir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openSubmodule adds the submodule with the git directory dir, and its own.
func (v *View) openSubmodule(ctx context.Context, super *unit, dir string, s submodule) error {
	if len(v.units) > maxModules {
		return v.refuse("it has too many submodules", nil)
	}
	root, err := descend(v.pane, dir)
	if err != nil {
		return v.refuse("the git directory of a submodule is no directory", err)
	}
	u := &unit{name: moduleName(dir, s), git: root, dir: dir, tree: s.tree, base: s.base}
	if err := v.moduleOf(ctx, u, super); err != nil {
		return errors.Join(err, root.Close())
	}
	if err := v.add(ctx, u); err != nil {
		return err
	}
	if s.link != "" && u.refs.head != s.link {
		super.moved = append(super.moved, s.path)
	}
	return v.openSubmodules(ctx, u)
}

// moduleName is what a submodule is called in messages.
func moduleName(dir string, s submodule) string {
	if s.tree != "" {
		return s.tree
	}
	return strings.TrimPrefix(dir, ".git/modules/")
}

// moduleOf finds the user's repository that a submodule is a clone of, if there is one.
func (v *View) moduleOf(ctx context.Context, u, super *unit) error {
	rel, ok := strings.CutPrefix(u.dir, super.dir+"/")
	if super.into == nil || !ok {
		return nil
	}
	common, err := os.OpenRoot(super.into.CommonDir)
	if err != nil {
		return fmt.Errorf("open the repository: %w", err)
	}
	defer func() { _ = common.Close() }()
	module, err := descend(common, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return v.refuse(u.where()+"the repository's own is no directory", err)
	}
	_ = module.Close()
	dir := filepath.Join(super.into.CommonDir, filepath.FromSlash(rel))
	u.into = &git.Repo{Root: dir, GitDir: dir, CommonDir: dir, Format: v.clone.Repo.Format}
	// What the user has there is no work of the agent's, whether a ref keeps it or not.
	refs, err := u.into.Refs(ctx)
	for _, r := range refs {
		u.started = append(u.started, r.Object)
	}
	return err
}
