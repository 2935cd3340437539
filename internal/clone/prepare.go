package clone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Source is what the clones of a session have in common. It is read once, so that all of them
// begin with the same.
type Source struct {
	// Warnings say what the clones lack: submodules, files of Git LFS, filters.
	Warnings []string
	top      tree
}

// tree is a repository at a commit.
type tree struct {
	repo       git.Repo
	commit     string
	settings   git.Settings
	refs       []git.Ref // of the clone, but its branch
	originHead string    // the ref that refs/remotes/origin/HEAD names; "" when there is none
	origin     string    // address of the remote; "" when there is none
	exclude    []byte
	shallow    []byte
	index      []byte   // of the commit, without what is known of files
	paths      []string // of the commit, but those of lfs
	lfs        lfsFiles
	subs       []submodule
}

// Prepare reads the repository at a commit. scratch is a private directory, in which
// nothing is left. Nothing of the repository is changed or run.
func Prepare(ctx context.Context, repo git.Repo, commit, scratch string) (*Source, error) {
	dir, err := os.MkdirTemp(scratch, "clone-*")
	if err != nil {
		return nil, fmt.Errorf("prepare the clones: %w", err)
	}
	p := preparer{dir: dir}
	t, err := p.top(ctx, repo, commit)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return nil, fmt.Errorf("prepare the clones: %w", err)
	}
	return &Source{Warnings: p.warnings, top: t}, nil
}

type preparer struct {
	dir      string
	looks    int
	warnings []string
}

func (p *preparer) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

func (p *preparer) top(ctx context.Context, repo git.Repo, commit string) (tree, error) {
	t, err := p.tree(ctx, repo, commit, 0)
	if err != nil {
		return tree{}, err
	}
	refs, err := repo.Refs(ctx, "refs/heads/", "refs/tags/")
	if err != nil {
		return tree{}, err
	}
	t.refs = cloneRefs(refs)
	if branch, ok := strings.CutPrefix(repo.HeadRef, "refs/heads/"); ok {
		t.originHead = "refs/remotes/origin/" + branch
	}
	return t, nil
}

// tree reads all of a repository but its refs.
func (p *preparer) tree(ctx context.Context, repo git.Repo, commit string, depth int) (tree, error) {
	t := tree{repo: repo, commit: commit}
	var err error
	if t.settings, err = repo.Settings(ctx); err != nil {
		return tree{}, err
	}
	t.origin = originURL(t.settings, repo.Root)
	for name, content := range map[string]*[]byte{"info/exclude": &t.exclude, "shallow": &t.shallow} {
		if *content, err = repo.ReadFile(name); err != nil {
			return tree{}, err
		}
	}
	look, err := p.look(ctx, t)
	if err != nil {
		return tree{}, err
	}
	return p.contents(ctx, t, look, depth)
}

// look makes a git directory with the index of the commit.
func (p *preparer) look(ctx context.Context, t tree) (git.Shadow, error) {
	p.looks++
	look, err := git.MakeShadow(filepath.Join(p.dir, strconv.Itoa(p.looks)), git.ShadowSpec{
		Format: t.repo.Format, Alternates: []string{t.repo.Objects()}, Shallow: t.shallow, Config: t.settings.Data(git.Local),
	})
	if err != nil {
		return look, err
	}
	look.UserConfig = true
	return look, look.Git("read-tree", t.commit).Run(ctx)
}

// contents reads what the commit has.
func (p *preparer) contents(ctx context.Context, t tree, look git.Shadow, depth int) (tree, error) {
	var err error
	if t.index, err = os.ReadFile(filepath.Join(look.Dir, "index")); err != nil {
		return tree{}, err
	}
	entries, err := listIndex(ctx, look)
	if err != nil {
		return tree{}, err
	}
	filters, err := askedFilters(ctx, look, paths(entries, isFile), "--cached")
	if err != nil {
		return tree{}, err
	}
	p.warnings = append(p.warnings, filterWarnings(t.settings, filters)...)
	if t.lfs, err = p.findLFS(ctx, t, look, pick(entries, filters["lfs"])); err != nil {
		return tree{}, err
	}
	later := map[string]bool{}
	for _, path := range t.lfs.paths {
		later[path] = true
	}
	t.paths = paths(entries, func(e entry) bool { return !later[e.path] })
	t.subs, err = p.submodules(ctx, t, look, entries, depth)
	return t, err
}

// entry is one of an index.
type entry struct{ mode, object, path string }

func isFile(e entry) bool    { return strings.HasPrefix(e.mode, "100") }
func isGitlink(e entry) bool { return e.mode == "160000" }

// listIndex returns the entries of the index.
func listIndex(ctx context.Context, s git.Shadow) ([]entry, error) {
	out, err := s.Git("ls-files", "--stage", "-z").Output(ctx)
	if err != nil {
		return nil, err
	}
	return parseIndex(out), nil
}

// parseIndex reads the output of git ls-files --stage -z: MODE, OBJECT, STAGE, tab, path, NUL.
func parseIndex(out []byte) []entry {
	var entries []entry
	for line := range bytes.SplitSeq(out, []byte{0}) {
		info, path, ok := strings.Cut(string(line), "\t")
		fields := strings.Fields(info)
		if ok && len(fields) == 3 {
			entries = append(entries, entry{mode: fields[0], object: fields[1], path: path})
		}
	}
	return entries
}

// paths returns the paths of those entries that match.
func paths(entries []entry, match func(entry) bool) []string {
	var list []string
	for _, e := range entries {
		if match(e) {
			list = append(list, e.path)
		}
	}
	return list
}

// pick returns the entries with these paths, which are in the same order.
func pick(entries []entry, paths []string) []entry {
	var picked []entry
	for _, e := range entries {
		if len(paths) > 0 && e.path == paths[0] {
			picked, paths = append(picked, e), paths[1:]
		}
	}
	return picked
}
