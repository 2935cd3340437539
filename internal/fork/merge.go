package fork

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/merge"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// The merge strategies.
const (
	StrategyFetch   = "fetch"   // branches only
	StrategyOctopus = "octopus" // and one merge commit
)

// MergeSpec says what to bring into the repository.
type MergeSpec struct {
	Strategy string
	Panes    []int // their numbers; none: all
	DryRun   bool
	KeepRef  bool // leave the branch merge/SID where it is when the base branch has the merge too
}

// does says what a merge is doing.
func (m MergeSpec) does() string {
	if m.DryRun {
		return "looking at the work of the panes"
	}
	return "bringing the work of the panes into the repository"
}

// MergeReport is what came into the repository, or would.
type MergeReport struct {
	SID      string       `json:"sid"`
	Strategy string       `json:"strategy"`
	DryRun   bool         `json:"dry_run,omitempty"`
	Base     string       `json:"base"` // the base branch, or commit, for people
	Panes    []PaneFetch  `json:"panes"`
	Target   string       `json:"merge_target,omitempty"` // full name of the branch with the merge
	Commit   string       `json:"merge_commit_sha,omitempty"`
	Left     string       `json:"left,omitempty"` // why the merge is not on the base branch
	Merged   []merge.Side `json:"merged,omitempty"`
	Error    string       `json:"error,omitempty"` // why it did not come to its end
}

// ShortTarget is the target for people.
func (m MergeReport) ShortTarget() string { return strings.TrimPrefix(m.Target, "refs/heads/") }

// PaneFetch is what came from one pane.
type PaneFetch struct {
	Index int    `json:"index"`
	Head  string `json:"head"`  // what its HEAD is
	Ahead int    `json:"ahead"` // commits beyond the base
	foreign.Fetched
	// Uncommitted counts the files whose changes are not among it.
	Uncommitted int    `json:"uncommitted"`
	Problem     string `json:"problem,omitempty"` // why nothing came
}

// Lines tells it to people.
func (p PaneFetch) Lines() []string {
	var list []string
	say := func(format string, args ...any) {
		list = append(list, fmt.Sprintf("pane %d: "+format, append([]any{p.Index}, args...)...))
	}
	if p.Problem != "" {
		say("%s", p.Problem)
		return list
	}
	for _, r := range p.Refs {
		name := strings.TrimPrefix(r.Ref, "refs/heads/")
		if r.Submodule != "" {
			name += " in submodule " + r.Submodule
		}
		say("%s", name)
	}
	if p.Ahead > 0 && len(p.Refs) == 0 { // a preview, or all of it came before
		say("commits beyond the base: %d", p.Ahead)
	}
	if p.Ahead == 0 && len(p.Refs) == 0 {
		say("no commits")
	}
	for _, left := range p.Left {
		say("left in the clone: %s", left)
	}
	if p.Uncommitted > 0 {
		say("left in the clone: changes that are not committed (files: %d)", p.Uncommitted)
	}
	return list
}

// Merge brings the work of panes into the repository. No agent may run in them. It returns
// a *merge.ConflictError when two sides do not fit together; what was fetched stays then.
func (s Service) Merge(ctx context.Context, r Record, spec MergeSpec) (MergeReport, error) {
	report := MergeReport{SID: r.SID, Strategy: spec.Strategy, DryRun: spec.DryRun, Base: baseName(r), Panes: []PaneFetch{}}
	if !r.known() {
		return report, &StrayError{Record: r}
	}
	release, err := s.lockMerging(r)
	if err != nil {
		return report, err
	}
	defer release()
	if r, err = s.Store.Load(r.SID); err != nil {
		return report, err
	}
	chosen, err := s.mergeable(r, spec.Panes)
	if err != nil {
		return report, err
	}
	repo, err := s.repo(ctx, r)
	if err != nil {
		return report, err
	}
	temp, remove, err := s.temp(r.SID)
	if err != nil {
		return report, err
	}
	defer remove()
	work := s.Begin(spec.does()).Of(len(chosen))
	m := merging{service: s, repo: repo, record: &r, temp: temp, spec: spec, report: &report, work: work}
	err = m.run(ctx, chosen)
	work.End(err)
	return report, err
}

// baseName is the base of a session for people.
func baseName(r Record) string { return strings.TrimPrefix(r.BaseRef, "refs/heads/") }

func (s Service) lockMerging(r Record) (release func(), err error) {
	session, err := s.lockSession(r.SID)
	if err != nil {
		return nil, err
	}
	merges, err := s.lockMerges(r.RepoRoot)
	if err != nil {
		session()
		return nil, err
	}
	workspace, err := s.lockWorkspace(r.RepoRoot)
	if err != nil {
		merges()
		session()
		return nil, err
	}
	return func() {
		workspace()
		merges()
		session()
	}, nil
}

// mergeable returns the panes that were chosen, or all, and an error while an agent runs
// in one.
func (s Service) mergeable(r Record, numbers []int) ([]Pane, error) {
	chosen, err := r.Chosen(numbers)
	if err != nil {
		return nil, err
	}
	for _, p := range chosen.Panes {
		if st, err := PaneState(s.Store, r.SID, p.Index, s.Self); err == nil && s.busy(r, p, st) {
			return nil, &RunningError{SID: r.SID, Index: p.Index}
		}
	}
	return chosen.Panes, nil
}

// RemovedError says that a pane has no clone any more.
type RemovedError struct {
	SID   string
	Index int
}

func (e *RemovedError) Error() string {
	return fmt.Sprintf("the clone of pane %d of session %s was removed, for its work is in the repository or was thrown away", e.Index, e.SID)
}

// Hint says which panes there are.
func (e *RemovedError) Hint() string {
	return "aifo-coder fork status --session " + e.SID + " shows the panes that are left"
}

// RunningError says that a pane's agent runs.
type RunningError struct {
	SID   string
	Index int
}

func (e *RunningError) Error() string {
	return fmt.Sprintf("the agent of pane %d of session %s runs", e.Index, e.SID)
}

// Hint says what to do.
func (e *RunningError) Hint() string {
	return "wait until it ends, end it (aifo-coder fork stop --session " + e.SID + "), or choose other panes (--pane)"
}

// merging is one merge.
type merging struct {
	service Service
	repo    git.Repo
	record  *Record
	temp    string
	spec    MergeSpec
	report  *MergeReport
	work    *ui.Work // counts the panes
}

func (m merging) run(ctx context.Context, chosen []Pane) error {
	var sides []merge.Side
	var views []*foreign.View // a preview reads from their quarantines
	defer func() {
		for _, v := range views {
			_ = v.Close() // it lies in the temporary directory
		}
	}()
	for _, p := range chosen {
		fetched, view, err := m.fetch(ctx, p)
		m.work.Advance()
		if view != nil {
			views = append(views, view)
		}
		m.report.Panes = append(m.report.Panes, fetched)
		if err != nil {
			return err
		}
		if fetched.Problem == "" && fetched.Ahead > 0 {
			sides = append(sides, merge.Side{Pane: p.Index, Branch: p.Branch, Commit: fetched.Head})
		}
	}
	if m.spec.Strategy != StrategyOctopus {
		return m.remember(nil)
	}
	return m.octopus(ctx, sides, views)
}

// fetch brings the commits of one pane. That one cannot be looked at is told, and does not
// keep the others.
func (m merging) fetch(ctx context.Context, p Pane) (PaneFetch, *foreign.View, error) {
	f := PaneFetch{Index: p.Index}
	c, err := m.service.clone(m.repo, *m.record, p, m.temp)
	if err != nil {
		f.Problem = err.Error()
		return f, nil, nil
	}
	view, err := foreign.Open(ctx, c)
	var refused *foreign.RefusedError
	if errors.As(err, &refused) {
		f.Problem = err.Error()
		return f, nil, nil
	}
	if err != nil {
		return f, nil, err
	}
	look, err := view.Look(ctx)
	if err != nil {
		return f, view, err
	}
	f.Head, f.Ahead, f.Uncommitted = look.Head, look.Ahead, look.Changed
	if !m.spec.DryRun {
		f.Fetched, err = view.Fetch(ctx)
	}
	return f, view, err
}

func (m merging) octopus(ctx context.Context, sides []merge.Side, views []*foreign.View) error {
	request := merge.Request{
		Repo: m.repo, Keep: m.record.MergeRef(), KeepAlways: m.spec.KeepRef, Base: m.record.BaseCommit, Sides: sides, Scratch: m.temp, Step: m.service.Step.At,
	}
	if strings.HasPrefix(m.record.BaseRef, "refs/") {
		request.BaseRef = m.record.BaseRef
	}
	do := merge.Octopus
	if m.spec.DryRun {
		do = merge.Preview
		for _, v := range views {
			request.Objects = append(request.Objects, v.Objects())
		}
	}
	result, err := do(ctx, request)
	if err != nil {
		return errors.Join(err, m.remember(err))
	}
	m.report.Target, m.report.Commit, m.report.Left, m.report.Merged = result.Target, result.Commit, result.Left, result.Merged
	return m.remember(nil)
}

// remember writes down how the merge went.
func (m merging) remember(failure error) error {
	if m.spec.DryRun {
		return nil
	}
	r := m.record
	r.MergeStrategy, r.MergeFailed = m.spec.Strategy, failure != nil
	if m.report.Commit != "" {
		r.MergeTarget, r.MergeCommit = m.report.Target, m.report.Commit
	}
	if failure == nil {
		r.MergedAt = time.Now().Unix()
	}
	return m.service.save(*r)
}

// Diff writes the changes of a pane against its base.
func (s Service) Diff(ctx context.Context, r Record, index int, d foreign.Diff) error {
	p, err := r.Pane(index)
	if err != nil {
		return err
	}
	if p.Removed {
		return &RemovedError{SID: r.SID, Index: index}
	}
	if !r.known() {
		return &StrayError{Record: r}
	}
	repo, err := s.repo(ctx, r)
	if err != nil {
		return err
	}
	temp, remove, err := s.temp(r.SID)
	if err != nil {
		return err
	}
	defer remove()
	c, err := s.clone(repo, r, p, temp)
	if err != nil {
		return err
	}
	view, err := foreign.Open(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(view.Diff(ctx, d), view.Close())
}
