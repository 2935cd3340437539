package fork

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/clone"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/panes"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// StartSpec says what a new session is to have.
type StartSpec struct {
	Repo         git.Repo
	Panes        int
	IncludeDirty bool
	Dissociate   bool
	Layout       string
	Runner       Runner
	TmuxName     string // "": aifo-SID
	Strategy     string
	Subdir       string   // the caller's directory below the repository's root
	Argv         []string // of each pane
	AgentState   string   // directory of the agent's usual state
	Agent        string   // its name
}

// NoCommitError says that there is nothing to make clones of.
type NoCommitError struct{ Root string }

func (e *NoCommitError) Error() string {
	return fmt.Sprintf("the repository %s has no commit to begin with", e.Root)
}

// Hint says what to do.
func (e *NoCommitError) Hint() string {
	return "commit something first, or let the panes begin with the files as they are: --fork-include-dirty"
}

// Plan returns the record of a new session: names and places, decided before anything
// is made.
func (s Service) Plan(spec StartSpec) (Record, error) {
	if spec.Repo.HeadCommit == "" && !spec.IncludeDirty {
		return Record{}, &NoCommitError{Root: spec.Repo.Root}
	}
	sid, err := s.newSID(spec.Repo.Root)
	if err != nil {
		return Record{}, err
	}
	r := Record{
		SID: sid, CreatedAt: time.Now().Unix(), RepoRoot: spec.Repo.Root, CommonDir: spec.Repo.CommonDir, Format: spec.Repo.Format,
		BaseLabel: BaseLabel(spec.Repo.HeadRef), BaseRef: spec.Repo.HeadRef, BaseCommit: spec.Repo.HeadCommit,
		Layout: spec.Layout, Runner: spec.Runner, Dissociate: spec.Dissociate || !canBorrow(spec.Repo.Objects(), runtime.GOOS),
		Subdir: spec.Subdir, Argv: spec.Argv, MergeStrategy: spec.Strategy, Agent: spec.Agent,
	}
	if r.BaseRef == "" {
		r.BaseRef = spec.Repo.HeadCommit
	}
	if spec.Runner == RunnerTmux {
		r.TmuxSession = panes.SessionName(cmp.Or(spec.TmuxName, "aifo-"+sid))
	}
	for i := 1; i <= spec.Panes; i++ {
		p := Pane{Index: i, Dir: PaneDir(r.RepoRoot, sid, i), Branch: PaneBranch(r.BaseLabel, sid, i)}
		if !r.Dissociate {
			p.Borrowed = []string{spec.Repo.Objects()}
		}
		r.Panes = append(r.Panes, p)
	}
	return r, nil
}

// canBorrow reports whether a container can have the directory at the same place as the
// host: the clone's list of borrowed directories is read by both.
func canBorrow(objects, goos string) bool {
	in := func(dir string) bool { return execproto.Within(objects, dir) }
	return goos != "windows" && !in(execproto.Workspace) && !slices.ContainsFunc(execproto.OwnDirs, in)
}

// Start makes the clones of a planned session, or nothing.
func (s Service) Start(ctx context.Context, r Record, spec StartSpec) (Record, error) {
	// Better said now than when the agents have done their work.
	if err := spec.Repo.CheckFree(ctx, wantedRefs(r)...); err != nil {
		return r, err
	}
	release, err := s.lockSession(r.SID)
	if err != nil {
		return r, err
	}
	defer release()
	// An agent that works on the repository could change directories under git's hands.
	free, err := s.lockWorkspace(r.RepoRoot)
	if err != nil {
		return r, err
	}
	defer free()
	r, err = s.start(ctx, r, spec)
	if err != nil {
		return r, errors.Join(err, s.discard(context.WithoutCancel(ctx), r))
	}
	return r, nil
}

func (s Service) start(ctx context.Context, r Record, spec StartSpec) (Record, error) {
	// The record comes first: whoever is killed from here on leaves something that
	// clean finds.
	if err := s.save(r); err != nil {
		return r, err
	}
	temp, remove, err := s.temp(r.SID)
	if err != nil {
		return r, err
	}
	defer remove()
	work := s.Begin("making the clones").Of(len(r.Panes))
	if err = s.keepBase(ctx, &r, spec, temp); err == nil {
		err = s.makeClones(ctx, &r, spec, temp, work)
	}
	work.End(err)
	if err != nil {
		return r, err
	}
	r.Ready = true
	return r, s.save(r)
}

// wantedRefs returns the refs that a session may come to have.
func wantedRefs(r Record) []string {
	refs := []string{r.baseRefName(), r.MergeRef()}
	for _, p := range r.Panes {
		refs = append(refs, p.Branch)
	}
	return refs
}

func (s Service) save(r Record) error {
	if err := s.Step.At("write the record"); err != nil {
		return err
	}
	return s.Store.Save(r)
}

// keepBase takes the snapshot, where one is wanted, and keeps the base from being
// collected as long as there are clones that borrow it.
func (s Service) keepBase(ctx context.Context, r *Record, spec StartSpec, temp string) error {
	if spec.IncludeDirty {
		snapshot, err := clone.SnapshotSpec{Repo: spec.Repo, SID: r.SID, Scratch: temp, Step: s.Step.At}.Take(ctx)
		if err != nil {
			return err
		}
		s.warnAll(snapshot.Warnings)
		r.BaseCommit = snapshot.Commit
		if snapshot.Commit != spec.Repo.HeadCommit {
			r.Snapshot = snapshot.Commit
		}
	}
	if err := s.Step.At("keep the base"); err != nil {
		return err
	}
	keeper, err := keeper(ctx, spec.Repo, r.BaseCommit)
	if err == nil {
		err = spec.Repo.UpdateRefs(ctx, "aifo-coder: base of fork session "+r.SID, git.Update{Ref: r.baseRefName(), New: keeper})
	}
	if err != nil {
		return fmt.Errorf("keep the base of the session: %w", err)
	}
	return s.save(*r)
}

// keeper returns a commit that reaches all that clones of the repository borrow: the base,
// and the branches and tags that the base does not contain. Whoever deletes one of those meanwhile
// does not take it from the clones.
func keeper(ctx context.Context, repo git.Repo, base string) (string, error) {
	out, err := repo.Git("for-each-ref", "--no-merged", base, "--format=%(objecttype) %(objectname)%0a%(*objecttype) %(*objectname)",
		"refs/heads/", "refs/tags/").Output(ctx)
	if err != nil {
		return "", err
	}
	parents := []string{base}
	for line := range strings.Lines(string(out)) {
		commit, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "commit ")
		if ok && !slices.Contains(parents, commit) {
			parents = append(parents, commit)
		}
	}
	if len(parents) == 1 {
		return base, nil
	}
	args := []string{"commit-tree", base + "^{tree}"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	c := repo.Git(args...)
	c.Env, c.Stdin = git.Nobody, strings.NewReader("what clones borrow\n")
	return c.Line(ctx)
}

func (s Service) warnAll(list []string) {
	for _, w := range list {
		s.Warn(w)
	}
}

// makeClones makes all clones, as many at once as there are processors.
func (s Service) makeClones(ctx context.Context, r *Record, spec StartSpec, temp string, work *ui.Work) error {
	source, err := clone.Prepare(ctx, spec.Repo, r.BaseCommit, temp)
	if err != nil {
		return err
	}
	s.warnAll(source.Warnings)
	if err := s.Step.At("make the directory of the clones"); err != nil {
		return err
	}
	if err := spec.Repo.Exclude(); err != nil {
		return err
	}
	if _, err := clone.MakeParents(r.RepoRoot, r.SID); err != nil {
		return err
	}
	return s.eachClone(ctx, r, func(ctx context.Context, p *Pane) error {
		defer work.Advance()
		return s.makeClone(ctx, *r, p, spec, source)
	})
}

// eachClone calls make for every pane, and returns the first error, for which the others
// are ended.
func (s Service) eachClone(ctx context.Context, r *Record, make func(context.Context, *Pane) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	turns := newTurns()
	var all sync.WaitGroup
	for i := range r.Panes {
		all.Go(func() {
			defer turns.take()()
			if ctx.Err() != nil {
				return
			}
			if err := make(ctx, &r.Panes[i]); err != nil {
				cancel(fmt.Errorf("make the clone of pane %d: %w", r.Panes[i].Index, err))
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// turns bounds what is done at once.
type turns chan struct{}

func newTurns() turns { return make(turns, max(2, runtime.GOMAXPROCS(0))) }

// take waits for a turn, and returns what gives it back.
func (t turns) take() func() {
	t <- struct{}{}
	return func() { <-t }
}

// madeRefs is the file in a pane's directory of the store that has the refs which its
// clone began with.
const madeRefs = "refs.json"

func (s Service) makeClone(ctx context.Context, r Record, p *Pane, spec StartSpec, source *clone.Source) error {
	made, err := source.Make(ctx, clone.Spec{Dir: p.Dir, Branch: p.Branch, Dissociate: r.Dissociate, Step: s.Step.At})
	if err != nil {
		return err
	}
	p.Borrowed = made.Borrowed
	own := s.Store.PaneDir(r.SID, p.Index)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	if err := s.Step.At("write what the clone began with"); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(own, madeRefs), made.Refs); err != nil {
		return err
	}
	return seedState(filepath.Join(spec.AgentState, spec.Agent), filepath.Join(StateDir(s.Store, r.SID, p.Index), spec.Agent))
}

// discard removes what a start made before it failed. No agent has been there.
func (s Service) discard(ctx context.Context, r Record) error {
	var errs []error
	for _, p := range r.Panes {
		errs = append(errs, s.removePane(r, p))
	}
	_, err := s.forget(ctx, r)
	return errors.Join(append(errs, err)...)
}

// StateDir is the directory of the state of a pane's agent.
func StateDir(s Store, sid string, index int) string {
	return filepath.Join(s.PaneDir(sid, index), "state")
}
