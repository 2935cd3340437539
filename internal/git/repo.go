package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Repo is the user's repository.
type Repo struct {
	Root      string // top of the work tree, canonical
	GitDir    string // of this work tree, canonical
	CommonDir string // shared by all its work trees, canonical
	Format    string // object format: sha1 or sha256
	Shallow   bool

	HeadRef    string // full name of the branch that is checked out; "" when detached
	HeadCommit string // "" on a branch without a commit
}

// NotRepositoryError says that there is no repository with a work tree around a directory.
type NotRepositoryError struct {
	Dir string
	Err error
}

func (e *NotRepositoryError) Error() string {
	return fmt.Sprintf("%q is in no git repository with a work tree: %v", e.Dir, e.Err)
}
func (e *NotRepositoryError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *NotRepositoryError) Hint() string {
	return "go to a repository, name one with --workspace, or make this directory one: git init, and commit what is in it"
}

// Open returns the repository around dir, an absolute path. It returns a
// *VersionError when git is too old, a *NotRepositoryError when there is no repository, or
// when it belongs to somebody else, a *LayoutError when it leads to files that are not its
// own, and a *PartialCloneError when it lacks objects.
func Open(ctx context.Context, dir string) (Repo, error) {
	if err := checkVersion(ctx); err != nil {
		return Repo{}, err
	}
	r, err := discover(ctx, dir)
	if err != nil {
		return Repo{}, err
	}
	settings, err := r.Settings(ctx)
	if err != nil {
		return Repo{}, err
	}
	// Before anything looks at an object: a missing one would be fetched.
	if err := errors.Join(r.checkLayout(settings), checkComplete(settings)); err != nil {
		return Repo{}, err
	}
	return r, r.readHead(ctx)
}

// discoverTime is far more than git takes to find a repository. Where an agent has made its configuration a pipe, git
// waits for ever for who writes there.
const discoverTime = 20 * time.Second

// discover has git find the repository, with its check of who owns the directory, for
// which the user's safe.directory counts.
func discover(ctx context.Context, dir string) (Repo, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, discoverTime, fmt.Errorf("git did not answer within %s; is a file of its configuration a pipe?", discoverTime))
	defer cancel()
	out, err := Command{Dir: dir, UserConfig: true, Args: []string{"rev-parse", "--path-format=absolute", "--show-toplevel",
		"--absolute-git-dir", "--git-common-dir", "--show-object-format", "--is-shallow-repository"}}.Line(ctx)
	if err != nil {
		if Code(err) < 0 {
			return Repo{}, err
		}
		return Repo{}, &NotRepositoryError{Dir: dir, Err: errors.Unwrap(err)}
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 5 {
		return Repo{}, fmt.Errorf("the repository around %q has a name with a line break, which is not supported", dir)
	}
	r := Repo{Root: lines[0], GitDir: lines[1], CommonDir: lines[2], Format: lines[3], Shallow: lines[4] == "true"}
	for _, path := range []*string{&r.Root, &r.GitDir, &r.CommonDir} {
		if *path, err = filepath.EvalSymlinks(*path); err != nil {
			return Repo{}, fmt.Errorf("find the repository: %w", err)
		}
	}
	return r, nil
}

func (r *Repo) readHead(ctx context.Context) error {
	ref, err := r.Git("symbolic-ref", "--quiet", "HEAD").Line(ctx)
	if err != nil && Code(err) != 1 { // 1: detached
		return err
	}
	r.HeadRef = ref
	commit, err := r.Git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").Line(ctx)
	if err != nil && Code(err) != 1 { // 1: no commit yet
		return err
	}
	r.HeadCommit = commit
	return nil
}

// Git returns a command in the repository itself. It is for commands that read
// or change refs and nothing else: no file, no index, no transfer, no diff.
func (r Repo) Git(args ...string) Command {
	return Command{Dir: r.Root, GitDir: r.GitDir, WorkTree: r.Root, Args: args}
}

// Objects returns the directory of the repository's objects.
func (r Repo) Objects() string { return filepath.Join(r.CommonDir, "objects") }

// Index returns the index file of the work tree.
func (r Repo) Index() string { return filepath.Join(r.GitDir, "index") }

// Ref is a ref and what it points at.
type Ref struct {
	Name   string // full: refs/heads/main
	Object string // hexadecimal
}

// Refs returns the refs below the prefixes ("refs/heads/"), or all, sorted by name.
func (r Repo) Refs(ctx context.Context, prefixes ...string) ([]Ref, error) {
	out, err := r.Git(append([]string{"for-each-ref", "--format=%(objectname) %(refname)"}, prefixes...)...).Output(ctx)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for line := range bytes.Lines(out) {
		object, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		if ok {
			refs = append(refs, Ref{Name: name, Object: object})
		}
	}
	return refs, nil
}

// Update is one change of a ref.
type Update struct {
	Ref string
	New string // "" deletes it
	Old string // what it must be before; "" for a ref that must not exist
}

// RefTakenError says that a ref cannot be made, for another one is where it needs a directory.
type RefTakenError struct{ Ref, By string } // full names

func (e *RefTakenError) Error() string {
	return fmt.Sprintf("%s cannot be made, for there is %s: git has no name below another one", e.Ref, e.By)
}

// Hint says how to make room.
func (e *RefTakenError) Hint() string {
	if branch, ok := strings.CutPrefix(e.By, "refs/heads/"); ok {
		return "give that branch another name: git branch -m " + branch + " NAME"
	}
	return "rename or delete " + e.By
}

// CheckFree returns a *RefTakenError when one of the refs cannot be made beside those there are.
func (r Repo) CheckFree(ctx context.Context, refs ...string) error {
	parents := map[string]string{}
	for _, ref := range refs {
		for up := path.Dir(ref); strings.Count(up, "/") > 1; up = path.Dir(up) {
			parents[up] = ref
		}
	}
	if len(parents) == 0 {
		return nil
	}
	found, err := r.Refs(ctx, slices.Sorted(maps.Keys(parents))...)
	for _, f := range found {
		if ref, ok := parents[f.Name]; ok {
			return &RefTakenError{Ref: ref, By: f.Name}
		}
	}
	return err
}

// UpdateRefs makes all changes or none. reason goes into the reflogs. It returns a *RefTakenError when another ref
// is in the way, and a *LayoutError when a file that git would write is a link, and so maybe one elsewhere.
func (r Repo) UpdateRefs(ctx context.Context, reason string, updates ...Update) error {
	err := r.updateRefs(ctx, reason, updates)
	if err == nil {
		return nil
	}
	var refs []string
	for _, u := range updates {
		if u.New != "" {
			refs = append(refs, u.Ref)
		}
	}
	var taken *RefTakenError
	if errors.As(r.CheckFree(ctx, refs...), &taken) {
		return taken
	}
	return err
}

func (r Repo) updateRefs(ctx context.Context, reason string, updates []Update) error {
	if err := r.checkRefFiles(updates); err != nil {
		return err
	}
	var in bytes.Buffer
	zero := strings.Repeat("0", r.hexLen())
	for _, u := range updates {
		old := u.Old
		if old == "" {
			old = zero
		}
		if u.New == "" {
			fmt.Fprintf(&in, "delete %s\x00%s\x00", u.Ref, old)
		} else {
			fmt.Fprintf(&in, "update %s\x00%s\x00%s\x00", u.Ref, u.New, old)
		}
	}
	c := r.Git("update-ref", "--no-deref", "-m", reason, "--stdin", "-z")
	c.Stdin = &in
	return c.Run(ctx)
}

func (r Repo) hexLen() int {
	if r.Format == "sha256" {
		return 64
	}
	return 40
}

// Nobody are the variables by which commits of ours have no person as author and committer.
var Nobody = []string{
	"GIT_AUTHOR_NAME=aifo-coder", "GIT_AUTHOR_EMAIL=aifo-coder@localhost",
	"GIT_COMMITTER_NAME=aifo-coder", "GIT_COMMITTER_EMAIL=aifo-coder@localhost",
}

// Committer returns Identity, or Nobody when git does not know who the user is.
func (r Repo) Committer(ctx context.Context) []string {
	if id := r.Identity(ctx); id != nil {
		return id
	}
	return Nobody
}

// Identity returns the variables by which commits of ours have the user as author and
// committer, or nil when git does not know who that is.
func (r Repo) Identity(ctx context.Context) []string {
	c := r.Git("var", "GIT_COMMITTER_IDENT")
	c.UserConfig = true
	ident, err := c.Line(ctx)
	name, rest, ok := strings.Cut(ident, " <")
	email, _, closed := strings.Cut(rest, ">")
	if err != nil || !ok || !closed {
		return nil
	}
	return []string{
		"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + email,
		"GIT_COMMITTER_NAME=" + name, "GIT_COMMITTER_EMAIL=" + email,
	}
}
