package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Clone is a clone, and what we ourselves know of it.
type Clone struct {
	Repo       git.Repo  // the user's repository, which the clone lies in
	Dir        string    // the clone, absolute, below Repo.Root
	Branch     string    // full name of its branch, here and there
	Base       string    // the commit it started from
	Created    []git.Ref // the refs it started with
	Dissociate bool      // it has all objects itself, and reads none of the repository's
	Scratch    string    // an existing private directory for what is needed while looking
	// Step is called before each change of the user's repository, with its name; an error
	// stops there. Nil: nothing is called.
	Step func(name string) error `json:"-"`
}

func (c Clone) step(name string) error {
	if c.Step == nil {
		return nil
	}
	return c.Step(name)
}

// View is a clone with its objects in quarantine. It must be closed.
type View struct {
	clone Clone
	dir   string   // of the quarantine
	pane  *os.Root // the clone
	units []*unit  // the clone itself, then its submodules
}

// unit is a repository in a clone: the clone itself or a submodule.
type unit struct {
	name    string    // of the submodule; "" for the clone itself
	git     *os.Root  // its git directory
	dir     string    // the same below the clone
	tree    string    // its work tree below the clone; "" when it has none
	into    *git.Repo // the user's repository that it is a clone of; nil when there is none
	base    string    // the commit that it started from; "" when that is not known
	started []string  // what else is no work: what it was created with
	kept    []string  // what the user's refs point at
	refs    refs
	q       git.Shadow
	bad     []string // objects that could not be copied
	moved   []string // paths of submodules that are not as HEAD says
}

// Open looks into a clone as far as its commits. It returns a *RefusedError when the
// clone is not one that we made, or something in it does not let itself be read.
func Open(ctx context.Context, c Clone) (*View, error) {
	v := &View{clone: c}
	if err := v.open(ctx); err != nil {
		_ = v.Close()
		return nil, err
	}
	return v, nil
}

// Close removes the quarantine.
func (v *View) Close() error {
	for _, u := range v.units {
		_ = u.git.Close()
	}
	if v.pane != nil {
		_ = v.pane.Close()
	}
	if v.dir == "" {
		return nil
	}
	return os.RemoveAll(v.dir)
}

// Objects returns the directory of the objects in quarantine, for a merge.Preview of what is not
// fetched yet. It is there until Close.
func (v *View) Objects() string { return filepath.Join(v.units[0].q.Dir, "objects") }

func (v *View) open(ctx context.Context) error {
	if v.clone.Repo.Format != "sha1" && v.clone.Repo.Format != "sha256" {
		return &RefusedError{Dir: v.clone.Dir, Reason: fmt.Sprintf("its object format is %q", v.clone.Repo.Format)}
	}
	var err error
	if v.pane, err = openBelow(v.clone.Repo.Root, v.clone.Dir); err != nil {
		return err
	}
	if err := hazard(v.pane, "."); err != nil {
		return v.refuse("a file is not what it must be", err)
	}
	if v.dir, err = os.MkdirTemp(v.clone.Scratch, "look-*"); err != nil {
		return fmt.Errorf("look at %s: %w", v.clone.Dir, err)
	}
	gitDir, err := descend(v.pane, ".git")
	if err != nil {
		return v.refuse("its .git is no directory", err)
	}
	top := &unit{git: gitDir, dir: ".git", tree: ".", into: &v.clone.Repo, base: v.clone.Base}
	for _, r := range v.clone.Created {
		top.started = append(top.started, r.Object)
	}
	if err := v.add(ctx, top); err != nil {
		return err
	}
	return v.openSubmodules(ctx, top)
}

func (v *View) refuse(reason string, err error) error {
	return &RefusedError{Dir: v.clone.Dir, Reason: reason, Err: err}
}

// openBelow opens dir, which must be below root, with no link in between.
func openBelow(root, dir string) (*os.Root, error) {
	rel, err := filepath.Rel(root, dir)
	if err != nil || !filepath.IsLocal(rel) || rel == "." {
		return nil, &RefusedError{Dir: dir, Reason: fmt.Sprintf("it is not below %s", root)}
	}
	top, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	defer func() { _ = top.Close() }()
	at, err := descend(top, rel)
	if err != nil {
		return nil, &RefusedError{Dir: dir, Reason: "it is no directory of ours", Err: err}
	}
	return at, nil
}

// add checks a unit, reads it and brings its objects into quarantine.
func (v *View) add(ctx context.Context, u *unit) error {
	v.units = append(v.units, u)
	if err := checkLayout(u.git, v.borrowed(u)); err != nil {
		return v.refuse(u.where()+"the git directory is not as we made it", err)
	}
	var err error
	// Refs come before objects: what a ref points at is then there, whatever the agent does.
	if u.refs, err = readRefs(u.git, v.clone.Repo.Format); err != nil {
		return v.refuse(u.where()+"its refs cannot be read", err)
	}
	if err := v.quarantine(ctx, u); err != nil {
		return err
	}
	u.bad, err = importObjects(ctx, u.git, u.q, v.clone.Repo.Format)
	return u.wrap(err)
}

// borrowed returns the directories that a unit may read objects from: the user's own of the same.
func (v *View) borrowed(u *unit) []string {
	if v.clone.Dissociate || u.into == nil {
		return nil
	}
	return []string{u.into.Objects()}
}

func (u *unit) where() string {
	if u.name == "" {
		return ""
	}
	return fmt.Sprintf("submodule %s: ", Printable(u.name))
}

func (u *unit) wrap(err error) error {
	if err == nil || u.name == "" {
		return err
	}
	return fmt.Errorf("submodule %s: %w", Printable(u.name), err)
}

// checkLayout returns an error for a git directory that has its parts, or its
// objects, elsewhere than we put them.
func checkLayout(root *os.Root, borrowed []string) error {
	for _, name := range []string{"commondir", "reftable"} {
		if exists(root, name) {
			return fmt.Errorf("it has a %s", name)
		}
	}
	for _, name := range []string{"objects", "refs"} {
		if !isDir(root, name) {
			return &notPlainError{name: name, want: "a directory"}
		}
	}
	return checkAlternates(root, borrowed)
}

func checkAlternates(root *os.Root, borrowed []string) error {
	content, err := readOptional(root, "objects/info/alternates", maxSmall)
	if err != nil || content == nil {
		return err
	}
	want, err := git.AlternatesFile(borrowed...)
	if err != nil {
		return err
	}
	if !bytes.Equal(content, want) {
		return errors.New("objects/info/alternates names other directories than we wrote")
	}
	return nil
}

// quarantine makes the git directory that a unit is looked at in.
func (v *View) quarantine(ctx context.Context, u *unit) error {
	spec := git.ShadowSpec{Format: v.clone.Repo.Format, Head: u.refs.head}
	var err error
	if u.into != nil {
		if spec, err = v.intoSpec(ctx, u, spec); err != nil {
			return err
		}
	}
	u.q, err = git.MakeShadow(filepath.Join(v.dir, fmt.Sprintf("git-%d", len(v.units))), spec)
	if u.tree != "" {
		u.q.WorkTree = filepath.Join(v.clone.Dir, filepath.FromSlash(u.tree))
	}
	return err
}

// intoSpec adds what comes from the user's repository: objects, line ends, ignored files.
func (v *View) intoSpec(ctx context.Context, u *unit, spec git.ShadowSpec) (git.ShadowSpec, error) {
	refs, err := u.into.Refs(ctx, "refs/heads/", "refs/tags/", "refs/remotes/")
	if err != nil {
		return spec, err
	}
	for _, r := range refs {
		u.kept = append(u.kept, r.Object)
	}
	u.kept = slices.Compact(slices.Sorted(slices.Values(u.kept)))
	spec.Alternates = []string{u.into.Objects()}
	if spec.Config, err = dataConfig(ctx, *u.into); err != nil {
		return spec, err
	}
	if spec.Shallow, err = u.into.ReadFile("shallow"); err != nil {
		return spec, err
	}
	spec.Exclude, err = v.clone.Repo.ReadFile("info/exclude")
	return spec, err
}

// userFiles are settings that name files of the user's that say how files are read. Where the
// repository itself names such files, an agent may have.
var userFiles = []string{"core.excludesfile", "core.attributesfile"}

// dataConfig returns the settings by which the clone's files were written.
func dataConfig(ctx context.Context, r git.Repo) ([]string, error) {
	list, err := r.Settings(ctx)
	if err != nil {
		return nil, err
	}
	config := list.Data(git.Effective)
	users := slices.DeleteFunc(list, func(s git.Setting) bool { return s.Own })
	for _, key := range userFiles {
		if values := users.Get(key, git.Effective); len(values) > 0 {
			config = append(config, key+"="+values[len(values)-1])
		}
	}
	return config, nil
}
