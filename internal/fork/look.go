package fork

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
)

// Sessions returns the sessions of the repository at root, oldest first: those on
// record, and directories of clones that there is no record of.
func (s Service) Sessions(root string) ([]Record, error) {
	all, err := s.Store.List()
	if err != nil {
		s.Warn(err.Error()) // the others can be worked with
	}
	list := slices.DeleteFunc(all, func(r Record) bool { return r.RepoRoot != root })
	strays, err := s.strays(root, list)
	return append(list, strays...), err
}

// strays returns records made up for the directories of clones that have none: the user's
// state was lost, or the repository moved here. Nothing is known of what they began with, so
// nothing in them is proven to be elsewhere.
func (s Service) strays(root string, known []Record) ([]Record, error) {
	entries, err := os.ReadDir(filepath.Dir(sessionDir(root, "x")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for fork sessions: %w", err)
	}
	var list []Record
	for _, e := range entries {
		sid := e.Name()
		if !e.IsDir() || checkSID(sid) != nil || slices.ContainsFunc(known, func(r Record) bool { return r.SID == sid }) {
			continue
		}
		r, err := s.stray(root, sid)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func (s Service) stray(root, sid string) (Record, error) {
	r := Record{SID: sid, RepoRoot: root, BaseLabel: "unknown", Agent: "unknown"}
	if moved, err := s.Store.Load(sid); err == nil {
		r.movedFrom = moved.RepoRoot
	}
	if info, err := os.Lstat(r.Dir()); err == nil {
		r.CreatedAt = info.ModTime().Unix()
	}
	entries, err := os.ReadDir(r.Dir())
	if err != nil {
		return r, fmt.Errorf("look at fork session %s: %w", sid, err)
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "pane-")
		index, err := strconv.Atoi(number)
		if ok && err == nil && e.IsDir() {
			r.Panes = append(r.Panes, Pane{Index: index, Dir: filepath.Join(r.Dir(), e.Name())})
		}
	}
	slices.SortFunc(r.Panes, func(a, b Pane) int { return a.Index - b.Index })
	return r, nil
}

// known reports whether there is a record of the session.
func (r Record) known() bool { return r.CommonDir != "" }

// StrayError says that there are clones of a session, but no record that fits them.
type StrayError struct{ Record Record }

func (e *StrayError) Error() string {
	if e.Record.movedFrom != "" {
		return fmt.Sprintf("the clones of session %s were made when the repository was at %s", e.Record.SID, e.Record.movedFrom)
	}
	return fmt.Sprintf("there is no record of what the clones of session %s began with", e.Record.SID)
}

// Hint says what to do.
func (e *StrayError) Hint() string {
	if e.Record.movedFrom != "" {
		return "move the repository back there to work with them"
	}
	return "look at them in a container, as in aifo-coder --workspace " + e.Record.Dir() + "/pane-1 shell"
}

// Load returns session sid: its record, or one made up for clones in the repository at root.
func (s Service) Load(root, sid string) (Record, error) {
	r, err := s.Store.Load(sid)
	var missing *NotFoundError
	elsewhere := err == nil && root != "" && r.RepoRoot != root && !exists(r.Dir())
	if (errors.As(err, &missing) || elsewhere) && root != "" {
		if info, statErr := os.Lstat(sessionDir(root, sid)); statErr == nil && info.IsDir() {
			return s.stray(root, sid)
		}
	}
	return r, err
}

// Running counts the panes whose process lives.
func (s Service) Running(r Record) int {
	n := 0
	for _, p := range r.Panes {
		if st, err := PaneState(s.Store, r.SID, p.Index, s.Self); err == nil && s.busy(r, p, st) {
			n++
		}
	}
	return n
}

// busy reports whether a pane's agent runs, or is about to: its process waits for its turn.
func (s Service) busy(r Record, p Pane, st PaneStatus) bool {
	if st.State != Waiting {
		return st.State == Running
	}
	lives, err := PaneLives(s.Store, r.SID, p.Index)
	return lives || err != nil
}

// SessionView is what there is to see of a session.
type SessionView struct {
	SID       string     `json:"sid"`
	RepoRoot  string     `json:"repo_root"`
	BaseLabel string     `json:"base_label"`
	BaseRef   string     `json:"base_ref_or_sha"`
	Agent     string     `json:"agent"`
	Runner    Runner     `json:"runner"`
	Tmux      string     `json:"tmux_session,omitempty"`
	Merged    string     `json:"merge_commit_sha,omitempty"`
	Panes     []PaneView `json:"panes"`
}

// PaneView is what there is to see of a pane.
type PaneView struct {
	Index    int    `json:"index"`
	Dir      string `json:"dir"`
	Branch   string `json:"branch"` // full name of its branch in the repository
	State    State  `json:"state"`
	ExitCode *int   `json:"exit_code"` // null: not ended
	Log      string `json:"log,omitempty"`
	Error    string `json:"error,omitempty"`
	foreign.Report
}

// Verdict says in a few words whether the work is in the repository.
func (p PaneView) Verdict() string {
	if p.Kind.Safe() {
		return string(p.Kind)
	}
	return strings.Join(p.Reasons, "; ")
}

// ShortBranch is the branch for people.
func (p PaneView) ShortBranch() string { return strings.TrimPrefix(p.Branch, "refs/heads/") }

// Status looks at every pane of a session.
func (s Service) Status(ctx context.Context, r Record) (SessionView, error) {
	v := SessionView{
		SID: r.SID, RepoRoot: r.RepoRoot, BaseLabel: r.BaseLabel, BaseRef: r.BaseRef, Agent: r.Agent, Runner: r.Runner,
		Tmux: r.TmuxSession, Merged: r.MergeCommit, Panes: []PaneView{},
	}
	reports, err := s.look(ctx, r)
	if err != nil {
		return v, err
	}
	for _, p := range r.present() {
		one := PaneView{Index: p.Index, Dir: p.Dir, Branch: p.Branch, Report: reports[p.Index]}
		st, err := PaneState(s.Store, r.SID, p.Index, s.Self)
		if err != nil {
			one.Error = err.Error()
		}
		one.State = st.State
		if st.State == Ended {
			one.ExitCode = &st.Code
		}
		if log := s.Store.LogFile(r.SID, p.Index); exists(log) {
			one.Log = log
		}
		v.Panes = append(v.Panes, one)
	}
	return v, nil
}

// look reports on each pane that was not removed, by its number.
func (s Service) look(ctx context.Context, r Record) (map[int]foreign.Report, error) {
	reports := map[int]foreign.Report{}
	if !r.known() {
		reason := "there is no record of what it began with"
		if r.movedFrom != "" {
			reason = "its repository was at " + foreign.Printable(r.movedFrom) + "; move it back there to merge its work"
		}
		for _, p := range r.Panes {
			reports[p.Index] = foreign.Report{Kind: foreign.Unknown, Reasons: []string{reason}}
		}
		return reports, nil
	}
	repo, err := s.repo(ctx, r)
	if err != nil {
		return nil, err
	}
	temp, remove, err := s.temp(r.SID)
	if err != nil {
		return nil, err
	}
	defer remove()
	return s.lookAll(ctx, repo, r, temp)
}

func (s Service) lookAll(ctx context.Context, repo git.Repo, r Record, temp string) (map[int]foreign.Report, error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	reports := map[int]foreign.Report{}
	var errs []error
	turns := newTurns()
	work := s.Begin("looking at the clones").Of(len(r.present()))
	for _, p := range r.present() {
		all.Go(func() {
			defer turns.take()()
			defer work.Advance()
			report, err := s.lookAt(ctx, repo, r, p, temp)
			mu.Lock()
			defer mu.Unlock()
			reports[p.Index] = report
			errs = append(errs, err)
		})
	}
	all.Wait()
	err := errors.Join(errs...)
	work.End(err)
	return reports, err
}

func (s Service) lookAt(ctx context.Context, repo git.Repo, r Record, p Pane, temp string) (foreign.Report, error) {
	if !exists(p.Dir) {
		return foreign.Report{Kind: foreign.Empty, Notes: []string{"its clone is gone"}}, nil
	}
	c, err := s.clone(repo, r, p, temp)
	if err != nil {
		return foreign.Report{Kind: foreign.Unknown, Reasons: []string{err.Error()}}, nil
	}
	return foreign.Look(ctx, c)
}

// clone returns what we know of a pane's clone.
func (s Service) clone(repo git.Repo, r Record, p Pane, temp string) (foreign.Clone, error) {
	c := foreign.Clone{
		Repo: repo, Dir: p.Dir, Branch: p.Branch, Base: r.BaseCommit, Dissociate: r.Dissociate, Scratch: temp, Step: s.Step.At,
	}
	err := readJSON(filepath.Join(s.Store.PaneDir(r.SID, p.Index), madeRefs), &c.Created)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("its clone was not finished")
	}
	return c, err
}
