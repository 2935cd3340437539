package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	var b strings.Builder
	b.WriteString("[core]\n\trepositoryformatversion = 1\n\tbare = false\n[extensions]\n\tobjectFormat = " + spec.format() + "\n")
	for _, s := range spec.Config {
		key, value, _ := strings.Cut(s, "=")
		section, name, _ := strings.Cut(key, ".")
		fmt.Fprintf(&b, "[%s]\n\t%s = %s\n", section, name, quoteConfig(value))
	}
	return []byte(b.String())
}

func (spec ShadowSpec) format() string {
	if spec.Format == "" {
		return "sha1"
	}
	return spec.Format
}

// quoteConfig returns a value as git-config(1) reads it back.
func quoteConfig(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(v) + `"`
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

// dataKeys are the settings of a repository that say how its files are to be read,
// or whose they are, and start nothing.
var dataKeys = []string{
	"core.autocrlf", "core.eol", "core.safecrlf", "core.filemode", "core.ignorecase", "core.symlinks",
	"core.precomposeunicode", "core.protectHFS", "core.protectNTFS", "core.bigFileThreshold",
	"user.name", "user.email",
}

// DataConfig returns those settings of the repository's own, as NAME=VALUE.
func (r Repo) DataConfig(ctx context.Context) ([]string, error) {
	var list []string
	for _, key := range dataKeys {
		v, err := r.Git("config", "--local", "--includes", "--get", key).Line(ctx)
		if Code(err) == 1 {
			continue // not set
		}
		if err != nil {
			return nil, err
		}
		list = append(list, key+"="+v)
	}
	return list, nil
}

// Shadow makes in dir, which must not exist, a git directory that looks at the
// repository: its objects, to which it also writes, its work tree, its index, its HEAD and
// what it ignores. The user's own configuration holds there, that of the repository does not.
// Nothing writes the index but commands that are told to.
func (r Repo) Shadow(ctx context.Context, dir string) (Shadow, error) {
	config, err := r.DataConfig(ctx)
	if err != nil {
		return Shadow{}, err
	}
	spec := ShadowSpec{Format: r.Format, Head: r.HeadCommit, Config: config}
	for name, content := range map[string]*[]byte{"info/exclude": &spec.Exclude, "shallow": &spec.Shallow} {
		*content, err = os.ReadFile(filepath.Join(r.CommonDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Shadow{}, fmt.Errorf("read the repository: %w", err)
		}
	}
	if spec.Head == "" {
		spec.Head = r.HeadRef
	}
	s, err := MakeShadow(dir, spec)
	s.Objects, s.WorkTree, s.Index, s.UserConfig = r.Objects(), r.Root, r.Index(), true
	return s, err
}
