package clone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// SnapshotSpec says what is to be a commit.
type SnapshotSpec struct {
	Repo    git.Repo
	SID     string                  // of the session, for the message
	Scratch string                  // private directory, in which nothing is left
	Step    func(what string) error // see Spec
}

// Snapshot is a commit of a work tree as it is.
type Snapshot struct {
	Commit   string // HEAD when nothing differs from it
	Warnings []string
}

// UnmergedError says that a merge has left conflicts.
type UnmergedError struct{ Files []string }

func (e *UnmergedError) Error() string {
	return "the work tree has conflicts of a merge that is under way, in " + count(e.Files)
}

// Hint says what to do.
func (e *UnmergedError) Hint() string {
	return "resolve them and commit, or abort (git merge --abort, git rebase --abort), or leave changes out: without --fork-include-dirty"
}

// Take makes a commit on top of HEAD of all tracked and untracked files that are not
// ignored. Neither the index, nor a file, nor a ref is changed, and when it fails nothing
// of it is left. Repositories that lie in the work tree without being submodules are left
// out with a warning: as a commit they would be names of commits that nobody has. It returns a
// *UnmergedError when there are conflicts. No ref names the commit yet.
func (spec SnapshotSpec) Take(ctx context.Context) (Snapshot, error) {
	dir, err := os.MkdirTemp(spec.Scratch, "snapshot-*")
	if err != nil {
		return Snapshot{}, fmt.Errorf("take a snapshot of the work tree: %w", err)
	}
	s, err := spec.take(ctx, filepath.Join(dir, "git"))
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return Snapshot{}, fmt.Errorf("take a snapshot of the work tree: %w", err)
	}
	return s, nil
}

func (spec SnapshotSpec) take(ctx context.Context, dir string) (Snapshot, error) {
	q, err := spec.Repo.Quarantine(ctx, dir)
	if err != nil {
		return Snapshot{}, err
	}
	warnings, err := spec.addAll(ctx, q)
	if err != nil {
		return Snapshot{}, err
	}
	commit, err := spec.commit(ctx, q)
	if err != nil || commit == spec.Repo.HeadCommit {
		return Snapshot{Commit: commit, Warnings: warnings}, err
	}
	return Snapshot{Commit: commit, Warnings: warnings}, spec.keep(ctx, q, commit)
}

// addAll brings the files into the quarantine's index.
func (spec SnapshotSpec) addAll(ctx context.Context, q git.Shadow) (warnings []string, err error) {
	unmerged, err := list(ctx, q, "ls-files", "--unmerged", "-z")
	if err != nil {
		return nil, err
	}
	if len(unmerged) > 0 {
		return nil, &UnmergedError{Files: unmergedPaths(unmerged)}
	}
	// Not git add: it runs git status in submodules.
	changed, err := list(ctx, q, "diff-files", "--name-status", "--no-renames", "--ignore-submodules=dirty", "-z")
	if err != nil {
		return nil, err
	}
	others, err := list(ctx, q, "ls-files", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	c := sortChanges(changed, others)
	for _, dir := range c.nested {
		warnings = append(warnings, fmt.Sprintf("%q is a repository of its own, and not part of the snapshot", dir))
	}
	more, err := spec.filterWarnings(ctx, q, c.files)
	if err != nil {
		return nil, err
	}
	return append(warnings, more...), c.apply(ctx, q)
}

// changes are what the index lacks of the work tree.
type changes struct {
	gone   []string
	files  []string // changed, or not tracked
	nested []string // directories that are repositories of their own
}

// sortChanges reads the output of git diff-files --name-status -z, in which a letter precedes
// each path, and of git ls-files --others -z, in which the repositories end in a slash.
func sortChanges(changed, others []string) changes {
	var c changes
	for pair := range slices.Chunk(changed, 2) {
		switch {
		case len(pair) < 2 || git.OurPath(pair[1]):
		case pair[0] == "D":
			c.gone = append(c.gone, pair[1])
		default:
			c.files = append(c.files, pair[1])
		}
	}
	for _, path := range others {
		switch dir, isDir := strings.CutSuffix(path, "/"); {
		case git.OurPath(dir):
		case isDir:
			c.nested = append(c.nested, dir)
		default:
			c.files = append(c.files, path)
		}
	}
	return c
}

// apply writes the changes into the index. A file that vanishes meanwhile is gone.
func (c changes) apply(ctx context.Context, q git.Shadow) error {
	if err := updateIndex(ctx, q, c.gone, "--force-remove"); err != nil {
		return err
	}
	return updateIndex(ctx, q, c.files, "--add", "--remove", "--replace")
}

func updateIndex(ctx context.Context, q git.Shadow, paths []string, options ...string) error {
	if len(paths) == 0 {
		return nil
	}
	c := q.Git(slices.Concat([]string{"update-index"}, options, []string{"-z", "--stdin"})...)
	c.Stdin = pathList(paths)
	return c.Run(ctx)
}

// list returns the output of a command that separates with NUL.
func list(ctx context.Context, s git.Shadow, args ...string) ([]string, error) {
	out, err := s.Git(args...).Output(ctx)
	words := strings.Split(string(out), "\x00")
	return words[:len(words)-1], err
}

// unmergedPaths returns the paths in the output of git ls-files --unmerged, each once.
func unmergedPaths(lines []string) []string {
	var files []string
	for _, line := range lines {
		_, file, _ := strings.Cut(line, "\t")
		files = append(files, file)
	}
	return slices.Compact(files)
}

func (spec SnapshotSpec) filterWarnings(ctx context.Context, q git.Shadow, files []string) ([]string, error) {
	settings, err := spec.Repo.Settings(ctx)
	if err != nil {
		return nil, err
	}
	asked, err := askedFilters(ctx, q, files)
	return filterWarnings(settings, asked), err
}

// commit makes the commit in the quarantine, or returns HEAD when nothing differs from it.
func (spec SnapshotSpec) commit(ctx context.Context, q git.Shadow) (string, error) {
	tree, err := q.Git("write-tree").Line(ctx)
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", "-F", "-", tree}
	if head := spec.Repo.HeadCommit; head != "" {
		same, err := q.Git("rev-parse", "--verify", head+"^{tree}").Line(ctx)
		if err != nil || same == tree {
			return head, err
		}
		args = append(args, "-p", head)
	}
	c := q.Git(args...)
	c.Env = spec.Repo.Committer(ctx)
	c.Stdin = strings.NewReader("aifo-coder: the work tree at the start of fork session " + spec.SID + "\n")
	return c.Line(ctx)
}

// keep brings the commit from the quarantine into the repository: what Git LFS has stored
// first, then all objects as one pack, which is there or not.
func (spec SnapshotSpec) keep(ctx context.Context, q git.Shadow, commit string) error {
	in := commit + "\n"
	if spec.Repo.HeadCommit != "" {
		in += "^" + spec.Repo.HeadCommit + "\n"
	}
	base := filepath.Join(q.Dir, "pack")
	c := q.Git("pack-objects", "--revs", "--local", "--quiet", base)
	c.Stdin = strings.NewReader(in)
	hash, err := c.Line(ctx)
	if err != nil {
		return err
	}
	return spec.install(q, "pack-"+hash)
}

// install copies the objects of Git LFS and a pack into the repository, or nothing.
func (spec SnapshotSpec) install(q git.Shadow, pack string) error {
	common, err := os.OpenRoot(spec.Repo.CommonDir)
	if err != nil {
		return err
	}
	k := keeper{from: q.Dir, to: common, step: spec.Step}
	err = k.lfs()
	if err == nil {
		err = k.pack(pack)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("write the objects: %w", err), removeFiles(common, k.made))
	}
	return errors.Join(err, common.Close())
}

// keeper brings files from a quarantine into a repository.
type keeper struct {
	from string
	to   *os.Root
	step func(string) error
	made []string
}

// file copies a file, unless it is there: the same name is the same content.
func (k *keeper) file(name, to string) error {
	if _, err := k.to.Lstat(to); err == nil {
		return nil
	}
	if k.step != nil {
		if err := k.step("write " + to); err != nil {
			return err
		}
	}
	if err := addFile(k.to, to, k.from, name); err != nil {
		return err
	}
	k.made = append(k.made, to)
	return nil
}

// pack copies a pack. Its index comes last and makes it known.
func (k *keeper) pack(name string) error {
	for _, ext := range []string{".pack", ".idx"} {
		if err := k.file(name+ext, path.Join("objects/pack", name+ext)); err != nil {
			return err
		}
	}
	return nil
}

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// lfs copies the objects that the user's git-lfs has stored in the quarantine.
func (k *keeper) lfs() error {
	return fs.WalkDir(os.DirFS(k.from), "lfs/objects", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !hexSHA256.MatchString(e.Name()) {
			return err
		}
		if err := k.to.MkdirAll(path.Dir(name), 0o777); err != nil {
			return err
		}
		return k.file(name, name)
	})
}

// addFile copies a file so that it is there whole or not at all. What a killed process
// leaves has a name that git gc removes.
func addFile(root *os.Root, to, from, name string) error {
	in, err := git.OpenRegular(from, name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	temp := path.Join(path.Dir(to), fmt.Sprintf("tmp_%d_%s", os.Getpid(), path.Base(to)))
	if err := copyTo(root, temp, in); err != nil {
		return errors.Join(err, removeFiles(root, []string{temp}))
	}
	if err := errors.Join(syncFile(root, temp), root.Rename(temp, to)); err != nil {
		return errors.Join(err, removeFiles(root, []string{temp}))
	}
	return nil
}

func syncFile(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeFiles(root *os.Root, names []string) error {
	var err error
	for _, name := range names {
		if removeErr := root.Remove(name); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
