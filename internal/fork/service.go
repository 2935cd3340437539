package fork

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// Service does what the commands of fork mode do.
type Service struct {
	Store      Store
	Self       hostfacts.Owner
	RuntimeDir string // private, for locks
	Step       Steps
	// Warn tells the user in one line what to know.
	Warn func(string)
	// Begin shows the user that something is under way.
	Begin func(string) *ui.Work
}

// BusyError says that another command works on a session.
type BusyError struct {
	What string
	Err  error
}

func (e *BusyError) Error() string { return "another command of aifo-coder works on " + e.What }
func (e *BusyError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *BusyError) Hint() string { return "wait until it ends, and try again" }

// lockSession keeps other commands from changing the session until release is called.
func (s Service) lockSession(sid string) (release func(), err error) {
	path, _ := lock.Session(s.RuntimeDir, "fork-"+sid)
	return s.acquire(path, "fork session "+sid)
}

// lockMerges keeps other merges off the repository.
func (s Service) lockMerges(root string) (release func(), err error) {
	return s.acquire(lock.Workspace(s.RuntimeDir, "merge:"+root), "the merge of a fork session of this repository")
}

// lockWorkspace keeps agents off the repository itself.
func (s Service) lockWorkspace(root string) (release func(), err error) {
	release, err = s.acquire(lock.Workspace(s.RuntimeDir, root), "the repository "+root)
	var busy *BusyError
	if errors.As(err, &busy) {
		busy.What = "the repository itself"
	}
	return release, err
}

func (s Service) acquire(path, what string) (func(), error) {
	if err := hostfacts.PrivateDir(s.RuntimeDir); err != nil {
		return nil, err
	}
	l, err := lock.Acquire(path, lock.Holder{PID: s.Self.PID, Since: time.Now(), Workspace: what})
	var held *lock.HeldError
	if errors.As(err, &held) {
		return nil, &BusyError{What: what, Err: err}
	}
	if err != nil {
		return nil, err
	}
	return func() {
		if err := l.Release(); err != nil {
			s.Warn(err.Error())
		}
	}, nil
}

// tempPrefix begins the names of temporary directories in a session's directory of
// the store; the process that they belong to follows.
const tempPrefix = "tmp-"

// temp makes a private directory for git directories of ours. It lies on disk: what is put
// there can be as large as the repository.
func (s Service) temp(sid string) (dir string, remove func(), err error) {
	name := fmt.Sprintf("%s%d-%s.*", tempPrefix, s.Self.PID, s.Self.Start)
	if err := os.MkdirAll(s.Store.sessionDir(sid), 0o700); err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp(s.Store.sessionDir(sid), name)
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	return dir, func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Warn(fmt.Sprintf("remove %s: %v", dir, err))
		}
	}, nil
}

// sweepTemp removes the temporary directories of processes that were killed.
func (s Service) sweepTemp(sid string) error {
	dirs, err := filepath.Glob(filepath.Join(s.Store.sessionDir(sid), tempPrefix+"*"))
	for _, dir := range dirs {
		pid, rest, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), tempPrefix), "-")
		start := rest[:max(0, strings.LastIndex(rest, "."))]
		owner, ok := hostfacts.ParseOwner(s.Self.Host, pid, start)
		if ok && owner.Dead(s.Self) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}

// newSID returns an id that neither the store nor the repository has.
func (s Service) newSID(root string) (string, error) {
	const length = 6
	for range 10 {
		sid := strings.ToLower(rand.Text())[:length]
		if !exists(s.Store.sessionDir(sid)) && !exists(sessionDir(root, sid)) {
			return sid, nil
		}
	}
	return "", errors.New("make an id for the session: every one that was tried is taken")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// repo opens the repository of a session, and checks that it is the same.
func (s Service) repo(ctx context.Context, r Record) (git.Repo, error) {
	repo, err := git.Open(ctx, r.RepoRoot)
	if err != nil {
		return repo, err
	}
	if r.known() && (repo.CommonDir != r.CommonDir || repo.Root != r.RepoRoot) {
		return repo, fmt.Errorf("the repository of session %s was %s; there is another one now", r.SID, r.RepoRoot)
	}
	return repo, nil
}

// title names a pane for people.
func (p Pane) title() string { return "pane " + strconv.Itoa(p.Index) }

// Pane returns the pane of that number.
func (r Record) Pane(index int) (Pane, error) {
	for _, p := range r.Panes {
		if p.Index == index {
			return p, nil
		}
	}
	return Pane{}, fmt.Errorf("session %s has no pane %d; it has panes 1 to %d", r.SID, index, len(r.Panes))
}

// present returns the panes that were not removed.
func (r Record) present() []Pane {
	var list []Pane
	for _, p := range r.Panes {
		if !p.Removed {
			list = append(list, p)
		}
	}
	return list
}

// RepositoryRoot returns the top of the repository around dir, or "" where there is none. It
// returns a *git.NotRepositoryError for one that cannot be worked with: it is bare, or somebody else's.
func RepositoryRoot(ctx context.Context, dir string) (string, error) {
	repo, err := git.Open(ctx, dir)
	var none *git.NotRepositoryError
	if errors.As(err, &none) && strings.Contains(none.Error(), "not a git repository") {
		return "", nil
	}
	return repo.Root, err
}

// Chosen returns the record with the panes of the numbers, or where there are none with all
// that have a clone. It returns an error for a number that no pane has, and a *RemovedError.
func (r Record) Chosen(numbers []int) (Record, error) {
	panes := r.present()
	if len(numbers) > 0 {
		panes = nil
	}
	for i, n := range numbers {
		p, err := r.Pane(n)
		switch {
		case err != nil:
			return r, err
		case p.Removed:
			return r, &RemovedError{SID: r.SID, Index: n}
		case !slices.Contains(numbers[:i], n):
			panes = append(panes, p)
		}
	}
	r.Panes = panes
	return r, nil
}

// Only returns the record with the panes of those numbers, or with all when there is none.
func (r Record) Only(numbers []int) Record {
	if len(numbers) == 0 {
		return r
	}
	r.Panes = slices.DeleteFunc(slices.Clone(r.Panes), func(p Pane) bool { return !slices.Contains(numbers, p.Index) })
	return r
}

// Living returns the record with those panes whose process lives.
func (s Service) Living(r Record) (Record, error) {
	var living []Pane
	for _, p := range r.present() {
		lives, err := PaneLives(s.Store, r.SID, p.Index)
		if err != nil {
			return r, err
		}
		if lives {
			living = append(living, p)
		}
	}
	r.Panes = living
	return r, nil
}

// Dirty returns the files of the user's that are not committed.
func (s Service) Dirty(ctx context.Context, repo git.Repo) ([]string, error) {
	temp, err := os.MkdirTemp("", "aifo-fork-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(temp)
	return repo.Dirty(ctx, filepath.Join(temp, "git"))
}

// FirstFailure returns the exit code of the first pane whose agent did not end with 0: 1 for
// one that was killed or could not be run.
func (s Service) FirstFailure(r Record) (int, error) {
	for _, p := range r.Panes {
		st, err := PaneState(s.Store, r.SID, p.Index, s.Self)
		switch {
		case err != nil:
			return 1, err
		case st.State == Ended && st.Code != 0:
			return st.Code, nil
		case st.State != Ended || st.Error != "":
			return 1, nil
		}
	}
	return 0, nil
}

// Resumable returns the record with the panes whose agents can be run again: those of the
// numbers, or all whose process is gone.
func (s Service) Resumable(r Record, numbers []int) (Record, error) {
	if !r.known() {
		return r, &StrayError{Record: r}
	}
	if !r.Ready {
		return r, fmt.Errorf("the clones of session %s were not all made; remove it: aifo-coder fork clean --session %s", r.SID, r.SID)
	}
	chosen, err := r.Chosen(numbers)
	if err != nil {
		return r, err
	}
	var again []Pane
	for _, p := range chosen.Panes {
		lives, err := PaneLives(s.Store, r.SID, p.Index)
		switch {
		case err != nil:
			return r, err
		case !lives:
			again = append(again, p)
		case len(numbers) > 0:
			return r, &PaneRunsError{Index: p.Index}
		}
	}
	if len(again) == 0 {
		return r, fmt.Errorf("every agent of session %s runs", r.SID)
	}
	r.Panes = again
	return r, nil
}

// SetSocket writes down which tmux server has the panes of a session.
func (s Service) SetSocket(sid, socket string) error {
	r, err := s.Store.Load(sid)
	if err != nil {
		return err
	}
	r.TmuxSocket = socket
	return s.save(r)
}
