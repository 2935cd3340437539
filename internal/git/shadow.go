package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Shadow is a git directory of ours that looks at the objects and files of
// another repository. It has no configuration, hook, attribute or ref of it but those that
// are given.
type Shadow struct {
	Dir string // the git directory
	// Objects is where objects are written; empty: into the shadow itself.
	Objects    string
	WorkTree   string // empty: none
	Index      string // empty: one of the shadow's own
	UserConfig bool   // see Command
}

// ShadowSpec says what a shadow has.
type ShadowSpec struct {
	Format     string   // object format: sha1 or sha256
	Head       string   // full name of a branch, or a commit; empty: refs/heads/none
	Alternates []string // directories of objects to read as well
	Config     []string // NAME=VALUE
	Exclude    []byte   // content of info/exclude
	Attributes []byte   // content of info/attributes
	Shallow    []byte   // content of the file shallow; empty: no such file
	Refs       []Ref
}

// MakeShadow makes the git directory dir, which must not exist.
func MakeShadow(dir string, spec ShadowSpec) (Shadow, error) {
	if err := spec.write(dir); err != nil {
		return Shadow{}, errors.Join(fmt.Errorf("make a git directory: %w", err), os.RemoveAll(dir))
	}
	return Shadow{Dir: dir}, nil
}

func (spec ShadowSpec) write(dir string) error {
	for _, sub := range []string{"objects/info", "objects/pack", "refs/heads", "info"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	head := spec.Head
	switch {
	case head == "":
		head = "ref: refs/heads/none"
	case strings.HasPrefix(head, "refs/"):
		head = "ref: " + head
	}
	files := map[string][]byte{
		"HEAD": []byte(head + "\n"), "config": spec.config(), "packed-refs": spec.packedRefs(), "info/exclude": spec.Exclude,
		"info/attributes": spec.Attributes,
	}
	if len(spec.Alternates) > 0 {
		lines, err := AlternatesFile(spec.Alternates...)
		if err != nil {
			return err
		}
		files["objects/info/alternates"] = lines
	}
	if len(spec.Shallow) > 0 {
		files["shallow"] = spec.Shallow
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (spec ShadowSpec) config() []byte {
	return FormatConfig(ParseSettings(slices.Concat([]string{
		"core.repositoryformatversion=1", "core.bare=false", "extensions.objectFormat=" + spec.format(),
	}, spec.Config)))
}

func (spec ShadowSpec) format() string {
	if spec.Format == "" {
		return "sha1"
	}
	return spec.Format
}

func (spec ShadowSpec) packedRefs() []byte {
	var b strings.Builder
	for _, r := range spec.Refs {
		fmt.Fprintf(&b, "%s %s\n", r.Object, r.Name)
	}
	return []byte(b.String())
}

// AlternatesFile returns the content of a file objects/info/alternates for
// absolute directories (gitrepository-layout(5)).
func AlternatesFile(dirs ...string) ([]byte, error) {
	var b strings.Builder
	for _, dir := range dirs {
		if strings.ContainsAny(dir, "\n") {
			return nil, fmt.Errorf("the directory %q has a line break in its name, which git cannot refer to", dir)
		}
		b.WriteString(dir + "\n")
	}
	return []byte(b.String()), nil
}

// Git returns a command in the shadow.
func (s Shadow) Git(args ...string) Command {
	dir := s.WorkTree
	if dir == "" {
		dir = s.Dir
	}
	return Command{
		Dir: dir, GitDir: s.Dir, WorkTree: s.WorkTree, Index: s.Index, Objects: s.Objects, UserConfig: s.UserConfig, Args: args,
	}
}

// Remove removes the shadow.
func (s Shadow) Remove() error { return os.RemoveAll(s.Dir) }

// Shadow makes in dir, which must not exist, a git directory that looks at the
// repository: its objects, to which it also writes, its work tree, its index, its HEAD and
// what it ignores. The user's own configuration holds there, that of the repository does not.
// Nothing writes the index but commands that are told to.
func (r Repo) Shadow(ctx context.Context, dir string) (Shadow, error) {
	s, err := r.makeShadow(ctx, dir)
	if err != nil {
		return s, err
	}
	s.Objects, s.Index = r.Objects(), r.Index()
	if err := checkRegular(r.GitDir, filepath.Base(r.Index())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Shadow{}, errors.Join(err, s.Remove())
	}
	return s, nil
}

// Quarantine makes in dir a Shadow from which nothing reaches the repository: it has a copy
// of the index, and what it writes of objects stays in it.
func (r Repo) Quarantine(ctx context.Context, dir string) (Shadow, error) {
	s, err := r.makeShadow(ctx, dir, r.Objects())
	if err != nil {
		return s, err
	}
	s.Index = filepath.Join(dir, "index")
	if err := copyIndex(r.GitDir, dir, filepath.Base(r.Index())); err != nil {
		return Shadow{}, errors.Join(err, s.Remove())
	}
	return s, nil
}

func (r Repo) makeShadow(ctx context.Context, dir string, alternates ...string) (Shadow, error) {
	spec, err := r.shadowSpec(ctx)
	if err != nil {
		return Shadow{}, err
	}
	spec.Alternates = alternates
	s, err := MakeShadow(dir, spec)
	if err != nil {
		return s, err
	}
	s.WorkTree, s.UserConfig = r.Root, true
	if err := r.copySharedIndexes(dir); err != nil {
		return Shadow{}, errors.Join(err, s.Remove())
	}
	return s, nil
}

func (r Repo) shadowSpec(ctx context.Context) (ShadowSpec, error) {
	settings, err := r.Settings(ctx)
	if err != nil {
		return ShadowSpec{}, err
	}
	spec := ShadowSpec{Format: r.Format, Head: r.HeadCommit, Config: settings.Data(Local)}
	if spec.Head == "" {
		spec.Head = r.HeadRef
	}
	for name, content := range map[string]*[]byte{
		"info/exclude": &spec.Exclude, "info/attributes": &spec.Attributes, "shallow": &spec.Shallow,
	} {
		if *content, err = r.ReadFile(name); err != nil {
			return ShadowSpec{}, err
		}
	}
	spec.Exclude = withExcludeLine(spec.Exclude)
	return spec, nil
}

// copySharedIndexes copies the other half of a split index, which git looks for in the
// git directory (gitrepository-layout(5)).
func (r Repo) copySharedIndexes(dir string) error {
	shared, err := filepath.Glob(filepath.Join(escapeGlob(r.GitDir), "sharedindex.*"))
	if err != nil {
		return fmt.Errorf("read the repository's index: %w", err)
	}
	for _, path := range shared {
		if err := copyIndex(r.GitDir, dir, filepath.Base(path)); err != nil {
			return err
		}
	}
	return nil
}
