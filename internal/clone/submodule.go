package clone

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// submodule is a submodule at the commit that its superproject names.
type submodule struct {
	name string
	path string
	tree
}

// maxDepth is how deep submodules may have submodules.
const maxDepth = 10

// submodules reads the submodules of a commit. What is wrong with one is a warning.
func (p *preparer) submodules(ctx context.Context, t tree, look git.Shadow, entries []entry, depth int) ([]submodule, error) {
	links := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return !isGitlink(e) })
	if len(links) == 0 {
		return nil, nil
	}
	if depth == maxDepth {
		p.warn("submodules below %q are left out: they are too deep", links[0].path)
		return nil, nil
	}
	names := p.moduleNames(ctx, look, t.commit)
	var subs []submodule
	for _, link := range links {
		sub, err := p.submodule(ctx, t, names[link.path], link, depth)
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if err == nil && nested(subs, sub.name) {
			err = errors.New("its name is that of another one, or inside of it")
		}
		if err != nil {
			p.warn("the submodule %q is left out: %v", link.path, err)
			continue
		}
		subs = append(subs, sub)
	}
	return subs, nil
}

// submodule reads one submodule.
func (p *preparer) submodule(ctx context.Context, t tree, name string, link entry, depth int) (submodule, error) {
	if name == "" {
		return submodule{}, errors.New("the file .gitmodules does not name it")
	}
	if strings.HasPrefix(link.path, "-") {
		return submodule{}, errors.New("its path begins with a hyphen")
	}
	module, err := t.repo.Module(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return submodule{}, errors.New("it is not on this machine; get it first: git submodule update --init")
	}
	if err != nil {
		return submodule{}, err
	}
	sub, err := p.tree(ctx, module, link.object, depth+1)
	if err != nil {
		return submodule{}, err
	}
	refs, err := module.Refs(ctx, "refs/remotes/origin/", "refs/tags/")
	sub.refs = moduleRefs(refs)
	return submodule{name: name, path: link.path, tree: sub}, err
}

// moduleNames returns the names of submodules by their paths, as .gitmodules in the commit
// has them. A file that git cannot read names none.
func (p *preparer) moduleNames(ctx context.Context, look git.Shadow, commit string) map[string]string {
	out, err := look.Git("config", "--blob", commit+":.gitmodules", "--list", "-z").Output(ctx)
	if err != nil {
		return nil
	}
	return parseModules(out)
}

// parseModules reads the output of git config --list -z on a file .gitmodules (gitmodules(5)).
func parseModules(out []byte) map[string]string {
	names := map[string]string{}
	for line := range bytes.SplitSeq(out, []byte{0}) {
		key, value, _ := strings.Cut(string(line), "\n")
		name, isModule := strings.CutPrefix(key, "submodule.")
		name, isPath := strings.CutSuffix(name, ".path")
		if isModule && isPath {
			names[value] = name
		}
	}
	return names
}

// nested says whether the git directory of a name would be, or be in, or be around, another's.
func nested(subs []submodule, name string) bool {
	return slices.ContainsFunc(subs, func(s submodule) bool {
		return s.name == name || strings.HasPrefix(s.name, name+"/") || strings.HasPrefix(name, s.name+"/")
	})
}

// makeSubmodule makes a submodule as git submodule update does: its git directory in that
// of the superproject, a file .git that names it, HEAD detached.
func (m *maker) makeSubmodule(ctx context.Context, sub submodule, super place) error {
	p := place{
		gitDir:   path.Join(super.gitDir, "modules", sub.name),
		workTree: path.Join(super.workTree, sub.path),
	}
	// git has made the directory of the submodule, with the files around it.
	if err := git.CheckPath(m.dir, p.workTree); err != nil {
		return err
	}
	if err := m.at("make the work tree of %s", p.gitDir); err != nil {
		return err
	}
	if err := m.writeFile(path.Join(p.workTree, ".git"), []byte("gitdir: "+relative(p.workTree, p.gitDir)+"\n")); err != nil {
		return err
	}
	return m.make(ctx, sub.tree, p)
}
