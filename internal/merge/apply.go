package merge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// BusyError says that the branch that keeps the merge is checked out and has something else.
type BusyError struct{ Branch string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("an earlier merge is on the branch %s, which is checked out", short(e.Branch))
}

// Hint returns what to do about it.
func (e *BusyError) Hint() string { return "switch to another branch and merge again" }

// octopus makes the merge, keeps it, and has the base branch take it.
func (m *merger) octopus(ctx context.Context) (Result, error) {
	r, err := m.compute(ctx)
	if err != nil {
		return Result{}, err
	}
	if r.Commit == "" {
		return r, m.tidy(ctx)
	}
	resumed, err := m.keep(ctx, &r)
	if err != nil {
		return Result{}, err
	}
	r.Target = m.Keep
	p, err := m.place(ctx)
	if err != nil {
		return r, err
	}
	if r.Left = p.left; r.Left != "" {
		return r, nil
	}
	if p.files {
		if r.Left, err = m.writeFiles(ctx, r.Commit, resumed); err != nil || r.Left != "" {
			r.Left = half(r.Left, resumed)
			return r, err
		}
	}
	if err := m.moveBranch(ctx, r.Commit, p); err != nil {
		return r, err
	}
	r.Target = m.BaseRef
	return r, nil
}

// half adds to a reason what may be behind it when an earlier merge did not come to its end.
func half(left string, resumed bool) string {
	if left == "" || !resumed {
		return left
	}
	return left + "; if that is no work of yours, an earlier merge stopped while it wrote these files: " +
		"remove or restore them, and merge again"
}

// tidy removes the branch of a merge that the base branch has.
func (m *merger) tidy(ctx context.Context) error {
	kept, busy, err := m.kept(ctx)
	if err != nil || kept == "" || busy || m.KeepAlways {
		return err
	}
	if done, err := m.contains(ctx, m.tip, kept); err != nil || !done {
		return err
	}
	if err := m.step("merge: remove the branch of the merge"); err != nil {
		return err
	}
	return m.Repo.UpdateRefs(ctx, reason, git.Update{Ref: m.Keep, Old: kept})
}

const reason = "aifo-coder: merge panes"

// kept returns what the branch of the merge has, "" for nothing, and whether it is checked out.
func (m *merger) kept(ctx context.Context) (commit string, busy bool, err error) {
	refs, err := m.Repo.Refs(ctx, m.Keep)
	if err != nil {
		return "", false, err
	}
	for _, r := range refs {
		if r.Name == m.Keep {
			commit = r.Object
		}
	}
	trees, err := m.Repo.Worktrees(ctx)
	busy = slices.ContainsFunc(trees, func(t git.Worktree) bool { return t.Branch == m.Keep })
	return commit, busy, err
}

// keep brings the merge into the repository and onto its branch. When that has the same merge
// from an earlier time, that one is taken, and resumed is true.
func (m *merger) keep(ctx context.Context, r *Result) (resumed bool, err error) {
	old, busy, err := m.kept(ctx)
	if err != nil {
		return false, err
	}
	if old != "" {
		same, err := m.sameParents(ctx, old, r.Commit)
		if err != nil {
			return false, err
		}
		if same {
			r.Commit = old
			return true, nil
		}
		if busy {
			return false, &BusyError{Branch: m.Keep}
		}
	}
	if err := m.transfer(ctx, r.Commit); err != nil {
		return false, err
	}
	updates, err := m.keepUpdates(ctx, old, r.Commit)
	if err != nil {
		return false, err
	}
	if err := m.step("merge: set the branch of the merge"); err != nil {
		return false, err
	}
	return false, m.Repo.UpdateRefs(ctx, reason, updates...)
}

// keepUpdates sets the branch of the merge. What it had may be built upon, so it stays under
// a further name unless the base branch has it.
func (m *merger) keepUpdates(ctx context.Context, old, commit string) ([]git.Update, error) {
	list := []git.Update{{Ref: m.Keep, New: commit, Old: old}}
	if old == "" {
		return list, nil
	}
	known, err := m.contains(ctx, m.tip, old)
	if !known {
		list = append(list, git.Update{Ref: m.Keep + "--kept-" + old[:12], New: old})
	}
	return list, err
}

func (m *merger) sameParents(ctx context.Context, a, b string) (bool, error) {
	parentsA, err := m.shadow.Git("rev-parse", a+"^@").Output(ctx)
	if err != nil {
		return false, err
	}
	parentsB, err := m.shadow.Git("rev-parse", b+"^@").Output(ctx)
	return string(parentsA) == string(parentsB), err
}

func (m *merger) transfer(ctx context.Context, commit string) error {
	refs, err := m.Repo.Refs(ctx)
	if err != nil {
		return err
	}
	t := git.Transfer{From: m.shadow, Want: []string{commit}, Scratch: m.dir}
	for _, r := range refs {
		t.Have = append(t.Have, r.Object)
	}
	if err := m.step("merge: write objects"); err != nil {
		return err
	}
	return m.Repo.Transfer(ctx, t)
}

// moveBranch has the base branch take the merge, and removes the merge's own branch, at once. When it
// cannot, for somebody else moved it, the files go back.
func (m *merger) moveBranch(ctx context.Context, commit string, p place) error {
	if err := m.step("merge: move the branch"); err != nil {
		return err
	}
	updates := []git.Update{{Ref: m.BaseRef, New: commit, Old: m.tip}}
	if !m.KeepAlways {
		updates = append(updates, git.Update{Ref: m.Keep, Old: commit})
	}
	err := m.Repo.UpdateRefs(ctx, reason, updates...)
	if err != nil && p.files {
		return errors.Join(err, m.undoFiles(ctx, commit))
	}
	return err
}

// files makes a git directory that works on the user's files and index as the user's own git would, but with
// no configuration of the repository.
func (m *merger) files(ctx context.Context, name string) (git.Shadow, error) {
	return m.Repo.Shadow(ctx, filepath.Join(m.dir, name))
}

// writeFiles brings the user's files and index from the tip to the merge. Where that would
// overwrite something of the user's git refuses and changes nothing, which left then tells.
func (m *merger) writeFiles(ctx context.Context, commit string, resumed bool) (left string, err error) {
	if path, locked := lockFile(m.Repo); locked {
		return fmt.Sprintf("another git is changing the files, or was killed: when none runs, remove %s and merge again", path), nil
	}
	s, err := m.files(ctx, "files")
	if err != nil {
		return "", err
	}
	if err := m.step("merge: write files"); err != nil {
		return "", err
	}
	if resumed {
		if err := m.settle(ctx, s, commit); err != nil {
			return "", err
		}
	}
	return m.tryFiles(ctx, s, commit)
}

// previewFiles returns what writeFiles would, and writes nothing.
func (m *merger) previewFiles(ctx context.Context, commit string) (left string, err error) {
	s, err := m.files(ctx, "preview")
	if err != nil {
		return "", err
	}
	// The merge is not among the repository's objects.
	s.Objects = ""
	lines, err := git.AlternatesFile(append([]string{m.Repo.Objects(), filepath.Join(m.shadow.Dir, "objects")}, m.Objects...)...)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "objects/info/alternates"), lines, 0o600); err != nil {
		return "", fmt.Errorf("look at the files: %w", err)
	}
	return m.tryFiles(ctx, s, commit, "--dry-run")
}

// tryFiles brings the files to the merge, or says why not.
func (m *merger) tryFiles(ctx context.Context, s git.Shadow, commit string, opts ...string) (left string, err error) {
	if left, err = m.inTheWay(ctx, s, commit); err != nil || left != "" {
		return left, err
	}
	err = m.readTree(ctx, s, m.tip, commit, opts...)
	if git.Code(err) == 128 {
		return refusal(errors.Unwrap(err).Error()), nil
	}
	return "", err
}

// changedRE is how git-read-tree names a file whose changes it would overwrite.
var changedRE = regexp.MustCompile(`Entry '(.+)' not uptodate`)

// refusal says in our words, where we have them, why git did not change the files.
func refusal(said string) string {
	if m := changedRE.FindStringSubmatch(said); m != nil {
		return "changes of yours that are not committed are in the way, first in " + clean(m[1])
	}
	return "git did not bring the files to the merge: " + clean(strings.Join(strings.Fields(said), " "))
}

// readTree is the two-tree merge of git-read-tree(1): files that are the same in both trees
// keep what the user changed in them, and untracked files are not overwritten.
func (m *merger) readTree(ctx context.Context, s git.Shadow, from, to string, opts ...string) error {
	c := s.Git(append(append([]string{"read-tree", "-m", "-u"}, opts...), from, to)...)
	// The user's Git LFS takes contents from the repository, and fetches none: where from, a
	// file .lfsconfig of what was merged may say. What is missing stays a pointer. Its own switches
	// to fetch nothing have it write pointers only.
	c.Config = []string{"lfs.storage=" + filepath.Join(m.Repo.CommonDir, "lfs"), "lfs.url=none"}
	c.Env = []string{"GIT_LFS_SKIP_DOWNLOAD_ERRORS=1"}
	return c.Run(ctx)
}

// inTheWay says which files would be overwritten that git knows nothing of. Git itself looks after
// those only that are not ignored.
func (m *merger) inTheWay(ctx context.Context, s git.Shadow, commit string) (left string, err error) {
	entries, err := changedEntries(ctx, s, m.tip, commit)
	if err != nil {
		return "", err
	}
	out, err := s.Git("ls-files", "-z").Output(ctx)
	if err != nil {
		return "", err
	}
	tracked := map[string]bool{}
	for name := range strings.SplitSeq(string(out), "\x00") {
		tracked[name] = true
	}
	var files []string
	for _, e := range entries {
		found, err := untrackedAt(m.Repo.Root, e.path, tracked)
		if err != nil {
			return "", fmt.Errorf("look at %s: %w", e.path, err)
		}
		if found != "" && !slices.Contains(files, clean(found)) {
			files = append(files, clean(found))
		}
	}
	if len(files) == 0 {
		return "", nil
	}
	const shown = 10
	if more := len(files) - shown; more > 0 {
		files = append(files[:shown], fmt.Sprintf("and %d more", more))
	}
	return "files are in the way that git knows nothing of: " + strings.Join(files, ", "), nil
}

// untrackedAt returns an untracked file at a path, above it or below it; "" when there is none.
func untrackedAt(root, name string, tracked map[string]bool) (string, error) {
	parts := strings.Split(name, "/")
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		fi, err := os.Lstat(filepath.Join(root, at))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", err
		case fi.IsDir():
			continue
		case tracked[at]:
			return "", nil // git compares it
		}
		return at, nil
	}
	return untrackedBelow(root, name, tracked)
}

func untrackedBelow(root, dir string, tracked map[string]bool) (found string, err error) {
	if tracked[dir] { // a submodule
		return "", nil
	}
	err = filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		name := dir + filepath.ToSlash(strings.TrimPrefix(path, filepath.Join(root, dir)))
		if err != nil || d.IsDir() || tracked[name] {
			return err
		}
		found = name
		return fs.SkipAll
	})
	return found, err
}

func (m *merger) undoFiles(ctx context.Context, commit string) error {
	s, err := m.files(ctx, "undo")
	if err != nil {
		return err
	}
	return m.readTree(ctx, s, commit, m.tip)
}

// settle goes on where a merge was killed while it wrote files: those that are as the merge has
// them become so in the index too, so that they do not look like the user's own changes.
func (m *merger) settle(ctx context.Context, s git.Shadow, commit string) error {
	entries, err := changedEntries(ctx, s, m.tip, commit)
	if err != nil || len(entries) == 0 {
		return err
	}
	part := s
	part.Index = filepath.Join(m.dir, "index")
	if err := indexInfo(ctx, part, entries); err != nil {
		return err
	}
	// It ends with 1 when some differ, which is the question.
	if err := part.Git("update-index", "-q", "--refresh").Run(ctx); err != nil && git.Code(err) != 1 {
		return err
	}
	out, err := part.Git("diff-files", "--name-only", "-z").Output(ctx)
	if err != nil {
		return err
	}
	differ := strings.Split(string(out), "\x00")
	entries = slices.DeleteFunc(entries, func(e entry) bool { return slices.Contains(differ, e.path) })
	return indexInfo(ctx, s, entries)
}

// entry is a file of a tree.
type entry struct{ mode, object, path string }

// changedEntries returns the files that commit b has otherwise than commit a (git-diff-tree(1): records
// ":MODE_A MODE_B OBJECT_A OBJECT_B STATUS", PATH).
func changedEntries(ctx context.Context, s git.Shadow, a, b string) ([]entry, error) {
	out, err := s.Git("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", a, b).Output(ctx)
	if err != nil {
		return nil, err
	}
	var list []entry
	for pair := range slices.Chunk(strings.Split(string(out), "\x00"), 2) {
		words := strings.Fields(pair[0])
		if len(pair) == 2 && len(words) == 5 && words[4] != "D" {
			list = append(list, entry{mode: words[1], object: words[3], path: pair[1]})
		}
	}
	return list, nil
}

func indexInfo(ctx context.Context, s git.Shadow, entries []entry) error {
	var in strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&in, "%s %s\t%s\x00", e.mode, e.object, e.path)
	}
	c := s.Git("update-index", "-z", "--index-info")
	c.Stdin = strings.NewReader(in.String())
	return c.Run(ctx)
}
