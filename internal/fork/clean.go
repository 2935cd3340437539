package fork

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/lock"
)

// CleanSpec says how far a clean goes.
type CleanSpec struct {
	Force     bool // throw away work that is in the clones only
	KeepDirty bool // remove the clones that may go although others have work
}

// PaneEnd is what becomes of a pane.
type PaneEnd struct {
	Index     int    `json:"index"`
	Dir       string `json:"dir"`
	Protected bool   `json:"protected"` // something would be lost, or an agent disturbed
	Remove    bool   `json:"will_delete"`
	Reason    string `json:"reason"` // for people
	running   bool
}

// CleanPlan is what a clean of a session would do, or why it does nothing.
type CleanPlan struct {
	Record Record
	Spec   CleanSpec
	Panes  []PaneEnd
}

// Whole reports whether nothing of the session stays.
func (p CleanPlan) Whole() bool {
	return !slices.ContainsFunc(p.Panes, func(e PaneEnd) bool { return !e.Remove })
}

// PlanClean decides what becomes of each pane, and changes nothing.
func (s Service) PlanClean(ctx context.Context, r Record, spec CleanSpec) (CleanPlan, error) {
	p := CleanPlan{Record: r, Spec: spec}
	reports, err := s.look(ctx, r)
	if err != nil {
		return p, err
	}
	for _, pane := range r.Panes {
		p.Panes = append(p.Panes, s.end(r, pane, reports[pane.Index]))
	}
	decide(p.Panes, spec)
	return p, nil
}

// end says whether a pane is protected, and why.
func (s Service) end(r Record, p Pane, report foreign.Report) PaneEnd {
	e := PaneEnd{Index: p.Index, Dir: p.Dir, Reason: string(report.Kind), Protected: !report.Kind.Safe()}
	st, err := PaneState(s.Store, r.SID, p.Index, s.Self)
	switch {
	case p.Removed:
		e.Protected, e.Reason = false, "its removal had begun"
	case s.busy(r, p, st):
		e.Protected, e.running, e.Reason = true, true, "its agent runs"
	case r.known() && !r.Ready && err == nil && st.State == Waiting:
		e.Protected, e.Reason = false, "the session was never started"
	case err != nil:
		e.Protected, e.Reason = true, err.Error()
	case e.Protected:
		e.Reason = strings.Join(report.Reasons, "; ")
	}
	return e
}

// decide sets which panes are removed: all, or with KeepDirty those that may go, or none
// while one is protected. A running one never is.
func decide(panes []PaneEnd, spec CleanSpec) {
	protected := slices.ContainsFunc(panes, func(e PaneEnd) bool { return e.Protected })
	for i := range panes {
		e := &panes[i]
		switch {
		case e.running:
			e.Remove = false
		case spec.Force:
			e.Remove = true
		case spec.KeepDirty:
			e.Remove = !e.Protected
		default:
			e.Remove = !protected
		}
	}
}

// ProtectedError says that a session has work that would be lost.
type ProtectedError struct {
	SID     string
	Panes   []PaneEnd // that are protected
	running bool
}

func (e *ProtectedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "session %s was not removed:", e.SID)
	for i, p := range e.Panes {
		if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " pane %d: %s", p.Index, p.Reason)
	}
	return b.String()
}

// Hint says what to do.
func (e *ProtectedError) Hint() string {
	if e.running {
		return "end the agents first: aifo-coder fork stop --session " + e.SID
	}
	return "bring the work into the repository (aifo-coder fork merge --session " + e.SID +
		"), remove the other clones (--keep-dirty), or throw it away (--force)"
}

// refusal returns a *ProtectedError where the plan does nothing because of work.
func (p CleanPlan) refusal() error {
	e := &ProtectedError{SID: p.Record.SID}
	for _, pane := range p.Panes {
		if pane.Protected && !pane.Remove {
			e.Panes = append(e.Panes, pane)
			e.running = e.running || pane.running
		}
	}
	if len(e.Panes) == 0 || p.Spec.KeepDirty {
		return nil
	}
	return e
}

// Cleaned is what a clean has done.
type Cleaned struct {
	Panes    int
	Session  bool     // nothing of it is left
	Branches []string // short names of its branches that stay, for they are merged nowhere
}

// Clean carries a plan out. What was decided about a pane is decided again when nobody can
// start an agent in it any more.
func (s Service) Clean(ctx context.Context, p CleanPlan) (Cleaned, error) {
	var done Cleaned
	if err := p.refusal(); err != nil {
		return done, err
	}
	release, err := s.lockSession(p.Record.SID)
	if err != nil {
		return done, err
	}
	defer release()
	r, err := s.reload(p.Record)
	if err != nil {
		return done, err
	}
	err = s.sweepTemp(r.SID)
	work := s.Begin("removing the clones")
	for _, e := range p.Panes {
		if !e.Remove {
			continue
		}
		if paneErr := s.cleanPane(ctx, &r, e, p.Spec); paneErr != nil {
			err = errors.Join(err, paneErr)
			continue
		}
		done.Panes++
	}
	work.End(err)
	if err != nil || len(r.present()) > 0 {
		return done, err
	}
	done.Branches, err = s.forget(ctx, r)
	done.Session = err == nil
	return done, err
}

// reload reads the record again: another command may have changed it before we got the lock.
func (s Service) reload(r Record) (Record, error) {
	if !r.known() {
		return r, nil
	}
	return s.Store.Load(r.SID)
}

// cleanPane removes a pane's clone and what belongs to it.
func (s Service) cleanPane(ctx context.Context, r *Record, e PaneEnd, spec CleanSpec) error {
	release, err := s.lockPane(r.SID, e)
	if err != nil {
		return err
	}
	defer release()
	i := slices.IndexFunc(r.Panes, func(p Pane) bool { return p.Index == e.Index })
	if i < 0 {
		return nil // another clean was faster
	}
	if !spec.Force && !r.Panes[i].Removed {
		if err := s.proveAgain(ctx, *r, r.Panes[i]); err != nil {
			return err
		}
	}
	r.Panes[i].Removed = true
	if r.known() {
		if err := s.save(*r); err != nil {
			return err
		}
	}
	return s.removePane(*r, r.Panes[i])
}

// lockPane keeps agents from being started in a pane, and waits for none.
func (s Service) lockPane(sid string, e PaneEnd) (release func(), err error) {
	what := fmt.Sprintf("pane %d of session %s", e.Index, sid)
	canonical, err := filepath.EvalSymlinks(e.Dir)
	if err != nil {
		canonical = e.Dir // gone already
	}
	return s.acquire(lock.Workspace(s.RuntimeDir, canonical), what)
}

func (s Service) proveAgain(ctx context.Context, r Record, p Pane) error {
	plan, err := s.PlanClean(ctx, r.Only([]int{p.Index}), CleanSpec{})
	if err != nil {
		return err
	}
	return plan.refusal()
}

func (s Service) removePane(r Record, p Pane) error {
	if err := foreign.Remove(r.RepoRoot, p.Dir, s.Step.At); err != nil {
		return fmt.Errorf("remove the clone of pane %d: %w", p.Index, err)
	}
	if err := s.Step.At("remove what belongs to the pane"); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(s.Store.PaneDir(r.SID, p.Index)), RemovePaneEnvs(s.RuntimeDir, r.Only([]int{p.Index})))
}

// forget removes what is left of a session whose clones are gone, and returns its branches
// that stay.
func (s Service) forget(ctx context.Context, r Record) ([]string, error) {
	repo, err := s.repo(ctx, r)
	if err != nil {
		return nil, err
	}
	kept, err := s.dropRefs(ctx, repo, r)
	if err != nil {
		return kept, err
	}
	if err := s.Step.At("remove the session's directory"); err != nil {
		return kept, err
	}
	// Only when empty: what is not ours stays.
	for _, dir := range []string{r.Dir(), filepath.Dir(r.Dir()), filepath.Dir(filepath.Dir(r.Dir()))} {
		if os.Remove(dir) != nil {
			break
		}
	}
	if err := s.Step.At("remove the record"); err != nil {
		return kept, err
	}
	return kept, s.Store.Remove(r.SID)
}

// dropRefs removes the ref that keeps the base, and the session's branches that another
// branch contains. It returns the short names of the others.
func (s Service) dropRefs(ctx context.Context, repo git.Repo, r Record) (kept []string, err error) {
	branches, err := s.branches(ctx, repo, r)
	if err != nil {
		return nil, err
	}
	busy, err := repo.CheckedOut(ctx)
	if err != nil {
		return nil, err
	}
	gone, err := repo.Refs(ctx, r.baseRefName())
	if err != nil {
		return nil, err
	}
	for _, b := range branches {
		elsewhere, err := containedElsewhere(ctx, repo, b, branches, r.MergeRef())
		if err != nil {
			return nil, err
		}
		if elsewhere && !busy[b.Name] {
			gone = append(gone, b)
		} else {
			kept = append(kept, strings.TrimPrefix(b.Name, "refs/heads/"))
		}
	}
	return kept, s.dropAll(ctx, repo, r, gone)
}

func (s Service) dropAll(ctx context.Context, repo git.Repo, r Record, refs []git.Ref) error {
	var updates []git.Update
	for _, ref := range refs {
		updates = append(updates, git.Update{Ref: ref.Name, Old: ref.Object})
	}
	if len(updates) == 0 {
		return nil
	}
	if err := s.Step.At("remove the session's refs"); err != nil {
		return err
	}
	return repo.UpdateRefs(ctx, "aifo-coder: fork session "+r.SID+" removed", updates...)
}

// branches returns the branches that the session made in the repository.
func (s Service) branches(ctx context.Context, repo git.Repo, r Record) ([]git.Ref, error) {
	refs, err := repo.Refs(ctx, "refs/heads/fork/", r.MergeRef())
	return slices.DeleteFunc(refs, func(ref git.Ref) bool {
		return ref.Name != r.MergeRef() && !slices.ContainsFunc(r.Panes, func(p Pane) bool {
			return ref.Name == p.Branch || strings.HasPrefix(ref.Name, p.Branch+"--")
		})
	}), err
}

// containedElsewhere reports whether a branch or tag contains b that is none of the
// session's, or its merge.
func containedElsewhere(ctx context.Context, repo git.Repo, b git.Ref, ours []git.Ref, merge string) (bool, error) {
	out, err := repo.Git("for-each-ref", "--contains", b.Object, "--format=%(refname)", "refs/heads/", "refs/tags/").Output(ctx)
	if err != nil {
		return false, err
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSuffix(name, "\n")
		isOurs := slices.ContainsFunc(ours, func(o git.Ref) bool { return o.Name == name })
		if !isOurs || name == merge && b.Name != merge {
			return true, nil
		}
	}
	return false, nil
}
