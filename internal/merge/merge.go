// Package merge makes one merge commit of what several panes committed, on the tip of
// the branch that they started from, and has that branch take it when nothing of the user's is in
// the way. The merge itself needs no files and no index; it happens beside the repository,
// with no configuration of it, so no merge driver runs.
//
// The commit is on a branch of its own, merge/<sid>, before anything else is touched, and until
// the base branch has it. So whoever is killed at any point loses nothing, and doing it again
// goes on where it ended.
package merge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Side is what is merged of one pane.
type Side struct {
	Pane   int    `json:"pane"`
	Branch string `json:"branch"` // full name, for words
	Commit string `json:"commit"`
}

// Request says what to merge into what.
type Request struct {
	Repo git.Repo
	Keep string // full name of the branch that has the merge meanwhile, or for good
	// KeepAlways leaves that branch where it is when the base branch has the merge too.
	KeepAlways bool
	BaseRef    string // full name of the branch to merge into; "" when the session started from none
	Base       string // commit that the panes started from
	Sides      []Side
	Objects    []string // further directories that have the commits of the sides, for a preview
	Scratch    string   // an existing private directory
	// Step is called before each change of the repository, with its name; an error stops there.
	// Nil: nothing is called.
	Step func(name string) error
}

func (r Request) step(name string) error {
	if r.Step == nil {
		return nil
	}
	return r.Step(name)
}

// Result is what a merge did, or would do.
type Result struct {
	Commit  string `json:"commit,omitempty"` // the merge; "" when there was nothing to merge
	Merged  []Side `json:"merged,omitempty"`
	Skipped []Side `json:"skipped,omitempty"` // have nothing that is not in the branch
	Title   string `json:"title,omitempty"`
	// Target is the full name of the branch that has the merge: the base branch, or, when Left
	// says why that could not take it, the one of its own.
	Target string `json:"target,omitempty"`
	Left   string `json:"left,omitempty"`
}

// ConflictError says that two sides changed the same. Nothing was changed.
type ConflictError struct {
	Side  Side
	Other string // what it conflicts with: a branch
	Files []string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("pane %d (%s) conflicts with %s in %s", e.Side.Pane, short(e.Side.Branch), e.Other, strings.Join(e.Files, ", "))
}

// Hint returns what to do about it.
func (e *ConflictError) Hint() string {
	return fmt.Sprintf("nothing was merged; merge the other panes alone (fork merge --pane), or merge %s yourself and resolve the conflict", short(e.Side.Branch))
}

// UnrelatedError says that a side has no commit in common with what it is merged into, as when its agent
// began a history of its own or the branch was replaced. Nothing was changed.
type UnrelatedError struct {
	Side Side
	Base string // the branch, or commit, for people
}

func (e *UnrelatedError) Error() string {
	return fmt.Sprintf("pane %d (%s) has no commit in common with %s", e.Side.Pane, short(e.Side.Branch), e.Base)
}

// Hint returns what to do about it.
func (e *UnrelatedError) Hint() string {
	return fmt.Sprintf("nothing was merged; merge the other panes alone (fork merge --pane), or this one yourself: git merge --allow-unrelated-histories %s", short(e.Side.Branch))
}

func short(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

// merger is a merge under way.
type merger struct {
	Request
	dir    string
	shadow git.Shadow
	tip    string
}

// Preview returns what Octopus would do, and changes nothing.
func Preview(ctx context.Context, r Request) (Result, error) {
	m, err := newMerger(ctx, r)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = m.close() }()
	result, err := m.compute(ctx)
	if err != nil || result.Commit == "" {
		return result, err
	}
	place, err := m.place(ctx)
	if err != nil {
		return Result{}, err
	}
	result.Target, result.Left = r.BaseRef, place.left
	if place.files {
		if result.Left, err = m.previewFiles(ctx, result.Commit); err != nil {
			return Result{}, err
		}
	}
	if result.Left != "" {
		result.Target = r.Keep
	}
	return result, nil
}

// Octopus merges the sides, in their order, on the tip of the base branch. It returns a
// *ConflictError, with nothing changed, when they do not fit together.
func Octopus(ctx context.Context, r Request) (Result, error) {
	m, err := newMerger(ctx, r)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = m.close() }()
	return m.octopus(ctx)
}

func newMerger(ctx context.Context, r Request) (*merger, error) {
	dir, err := os.MkdirTemp(r.Scratch, "merge-*")
	if err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	m := &merger{Request: r, dir: dir}
	if err := m.open(ctx); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *merger) close() error { return os.RemoveAll(m.dir) }

func (m *merger) open(ctx context.Context) error {
	refs, err := m.Repo.Refs(ctx, m.BaseRef)
	if err != nil {
		return err
	}
	m.tip = m.Base
	if len(refs) == 1 && refs[0].Name == m.BaseRef {
		m.tip = refs[0].Object
	}
	shallow, err := m.Repo.ReadFile("shallow")
	if err != nil {
		return err
	}
	m.shadow, err = git.MakeShadow(filepath.Join(m.dir, "git"), git.ShadowSpec{
		Format: m.Repo.Format, Alternates: append([]string{m.Repo.Objects()}, m.Objects...), Shallow: shallow,
	})
	return err
}

// compute makes the merge commit in the shadow.
func (m *merger) compute(ctx context.Context) (Result, error) {
	var r Result
	merged := m.tip // a commit with all that is merged so far
	identity := m.Repo.Committer(ctx)
	for _, s := range m.Sides {
		known, err := m.contains(ctx, merged, s.Commit)
		if err != nil {
			return Result{}, err
		}
		if known {
			r.Skipped = append(r.Skipped, s)
			continue
		}
		if err := m.checkRelated(ctx, merged, s); err != nil {
			return Result{}, err
		}
		tree, err := m.mergeTree(ctx, merged, s, r.Merged)
		if err != nil {
			return Result{}, err
		}
		r.Merged = append(r.Merged, s)
		if merged, err = m.commit(ctx, identity, tree, "merge\n", merged, s.Commit); err != nil {
			return Result{}, err
		}
	}
	if len(r.Merged) == 0 {
		return r, nil
	}
	return r, m.final(ctx, &r, identity, merged+"^{tree}")
}

// final makes the one commit with all sides as parents.
func (m *merger) final(ctx context.Context, r *Result, identity []string, tree string) error {
	logs := make([][]commit, len(r.Merged))
	parents := []string{m.tip}
	for i, s := range r.Merged {
		var err error
		if logs[i], err = m.log(ctx, s.Commit, m.tip); err != nil {
			return err
		}
		parents = append(parents, s.Commit)
	}
	var err error
	r.Title = title(logs)
	r.Commit, err = m.commit(ctx, identity, tree, message(r.Title, r.Merged, logs), parents...)
	return err
}

// contains reports whether commit a reaches commit b.
func (m *merger) contains(ctx context.Context, a, b string) (bool, error) {
	err := m.shadow.Git("merge-base", "--is-ancestor", b, a).Run(ctx)
	if git.Code(err) == 1 {
		return false, nil
	}
	return err == nil, err
}

// checkRelated returns an *UnrelatedError for a side that git would not merge.
func (m *merger) checkRelated(ctx context.Context, merged string, s Side) error {
	err := m.shadow.Git("merge-base", merged, s.Commit).Run(ctx)
	if git.Code(err) != 1 {
		return err
	}
	return &UnrelatedError{Side: s, Base: cmp.Or(short(m.BaseRef), m.Base)}
}

// mergeTree merges a side and returns the tree.
func (m *merger) mergeTree(ctx context.Context, merged string, s Side, before []Side) (string, error) {
	tree, files, err := m.tryMerge(ctx, merged, s.Commit)
	if err != nil || len(files) == 0 {
		return tree, err
	}
	e := &ConflictError{Side: s, Other: "the branch it started from", Files: files}
	if m.BaseRef != "" {
		e.Other = short(m.BaseRef)
	}
	// The message names whom the side meets first when it is merged with each alone.
	for _, other := range append([]Side{{Commit: m.tip, Branch: m.BaseRef}}, before...) {
		if _, files, err := m.tryMerge(ctx, other.Commit, s.Commit); err != nil {
			return "", err
		} else if len(files) > 0 {
			if other.Pane != 0 {
				e.Other = fmt.Sprintf("pane %d (%s)", other.Pane, short(other.Branch))
			}
			break
		}
	}
	return "", e
}

// tryMerge returns the tree of a merge of two commits, or the files with conflicts
// (git-merge-tree(1): the tree, then the files; exit code 1).
func (m *merger) tryMerge(ctx context.Context, a, b string) (tree string, conflicts []string, err error) {
	out, err := m.shadow.Git("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", a, b).Output(ctx)
	if err != nil && git.Code(err) != 1 {
		return "", nil, fmt.Errorf("merge %s into %s: %w", b, a, err)
	}
	parts := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	if err == nil {
		return parts[0], nil, nil
	}
	for _, name := range parts[1:] {
		if name = clean(name); !slices.Contains(conflicts, name) {
			conflicts = append(conflicts, name)
		}
	}
	if len(conflicts) == 0 {
		conflicts = []string{"their directories"}
	}
	return "", conflicts, nil
}

func (m *merger) commit(ctx context.Context, identity []string, tree, text string, parents ...string) (string, error) {
	args := []string{"commit-tree", tree}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	c := m.shadow.Git(args...)
	c.Env, c.Stdin = identity, strings.NewReader(text)
	return c.Line(ctx)
}
