// Package fork runs several agents at once, each on a clone of its own of one
// repository, and brings their work back. A session of fork mode has panes, each with a
// clone, a branch, and an agent's session (internal/session) in it. What is known of it is a
// record in the user's state directory, where no container sees it; what an agent wrote
// is looked at by internal/foreign only.
package fork

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// Record is a session of fork mode as it is written to disk. Names of fields are those
// of the existing program where it has the same (reference: its .meta.json).
type Record struct {
	SID           string   `json:"sid"`
	CreatedAt     int64    `json:"created_at"` // seconds since 1970
	RepoRoot      string   `json:"repo_root"`
	CommonDir     string   `json:"common_dir"`
	Format        string   `json:"object_format"`
	BaseLabel     string   `json:"base_label"`
	BaseRef       string   `json:"base_ref_or_sha"` // full name of the branch, or a commit
	BaseCommit    string   `json:"base_commit_sha"` // what the panes start from: the snapshot, if there is one
	Snapshot      string   `json:"snapshot_sha,omitempty"`
	Layout        string   `json:"layout"`
	Runner        Runner   `json:"runner"`
	TmuxSession   string   `json:"tmux_session,omitempty"`
	Dissociate    bool     `json:"dissociate,omitempty"` // the clones have all objects of their own
	Subdir        string   `json:"subdir,omitempty"`     // the caller's directory below RepoRoot
	Agent         string   `json:"agent"`
	Argv          []string `json:"argv"` // of each pane: flags, agent, "--" and its words
	Panes         []Pane   `json:"panes"`
	Ready         bool     `json:"ready"` // every clone was made
	MergeStrategy string   `json:"merge_strategy,omitempty"`
	MergeTarget   string   `json:"merge_target,omitempty"` // full name of the ref that has the merge
	MergeCommit   string   `json:"merge_commit_sha,omitempty"`
	MergedAt      int64    `json:"merged_at,omitempty"`
	MergeFailed   bool     `json:"merge_failed,omitempty"`
	TmuxSocket    string   `json:"tmux_socket,omitempty"` // of the server that has TmuxSession

	movedFrom string // of one made up: where the repository of its record was
}

// Pane is one clone with its agent.
type Pane struct {
	Index  int    `json:"index"`  // from 1
	Dir    string `json:"dir"`    // the clone
	Branch string `json:"branch"` // full name, the same in the clone and, once fetched, in the repository
	// Borrowed are the directories of objects that the clone reads beside its own.
	Borrowed []string `json:"borrowed,omitempty"`
	// Removed says that its work is in the repository, or was given up, and its clone may go.
	Removed bool `json:"removed,omitempty"`
}

// Runner is how the panes of a session run.
type Runner string

// The runners.
const (
	RunnerTmux    Runner = "tmux"
	RunnerPlain   Runner = "plain"  // in the background, each with a log
	RunnerInline  Runner = "inline" // one pane, on the caller's terminal
	RunnerWindows Runner = "windows"
)

// baseRefName is the ref in the repository that keeps a session's base from being collected.
func (r Record) baseRefName() string { return "refs/aifo-coder/fork/" + r.SID }

// MergeRef is the branch that has the merge of all panes where the base branch cannot take it.
func (r Record) MergeRef() string { return "refs/heads/merge/" + r.SID }

// Dir is the directory of the session's clones.
func (r Record) Dir() string { return sessionDir(r.RepoRoot, r.SID) }

// sessionDir is the directory of the clones of session sid in a repository.
func sessionDir(root, sid string) string {
	return filepath.Join(root, hostfacts.ForksDir, "forks", sid)
}

// PaneDir is the directory of a clone.
func PaneDir(root, sid string, index int) string {
	return filepath.Join(sessionDir(root, sid), "pane-"+strconv.Itoa(index))
}

// PaneBranch is the full name of a pane's branch.
func PaneBranch(label, sid string, index int) string {
	return fmt.Sprintf("refs/heads/fork/%s/%s-%d", label, sid, index)
}

// maxLabel is how long a base label may be.
const maxLabel = 48

var notLabel = regexp.MustCompile(`[^a-z0-9]+`)

// BaseLabel returns the part of branch names that stands for the base: its branch in lower
// case with hyphens for what is no letter or digit, or "detached".
func BaseLabel(headRef string) string {
	if headRef == "" {
		return "detached"
	}
	label := notLabel.ReplaceAllString(strings.ToLower(strings.TrimPrefix(headRef, "refs/heads/")), "-")
	label = strings.Trim(label[:min(len(label), maxLabel)], "-")
	if label == "" {
		return "base"
	}
	return label
}

// sidRE is what the ids of sessions look like; it is a plain file name and part of container names.
var sidRE = regexp.MustCompile(`^[a-z0-9]{1,12}$`)

// SIDError says that a word is no id of a session.
type SIDError struct{ SID string }

func (e *SIDError) Error() string {
	return fmt.Sprintf("%q is not the id of a fork session: ids are up to 12 lower-case letters and digits", e.SID)
}

// checkSID returns a *SIDError for a word that is no id.
func checkSID(sid string) error {
	if !sidRE.MatchString(sid) {
		return &SIDError{SID: sid}
	}
	return nil
}

// Store keeps the records, each in a directory of its own.
type Store struct{ Dir string }

// NewStore returns the store below the user's state directory.
func NewStore(f hostfacts.Facts) Store { return Store{Dir: filepath.Join(f.StateDir, "forks")} }

// sessionDir is the directory of what belongs to a session, outside of any clone.
func (s Store) sessionDir(sid string) string { return filepath.Join(s.Dir, sid) }

// PaneDir is the directory of what belongs to a pane: its status, its log, its agent's state.
func (s Store) PaneDir(sid string, index int) string {
	return filepath.Join(s.sessionDir(sid), "pane-"+strconv.Itoa(index))
}

// LogFile is where a pane that runs in the background writes.
func (s Store) LogFile(sid string, index int) string {
	return filepath.Join(s.PaneDir(sid, index), "log")
}

const recordName = "session.json"

// NotFoundError says that there is no session of that id.
type NotFoundError struct{ SID string }

func (e *NotFoundError) Error() string { return "there is no fork session " + e.SID }

// Save writes the record so that a reader, and a crash, meets the old one or the new one.
func (s Store) Save(r Record) error {
	if err := checkSID(r.SID); err != nil {
		return err
	}
	if err := os.MkdirAll(s.sessionDir(r.SID), 0o700); err != nil {
		return fmt.Errorf("write the record of session %s: %w", r.SID, err)
	}
	return writeJSON(filepath.Join(s.sessionDir(r.SID), recordName), r)
}

// Load returns the record of session sid, or a *SIDError or *NotFoundError.
func (s Store) Load(sid string) (Record, error) {
	var r Record
	if err := checkSID(sid); err != nil {
		return r, err
	}
	err := readJSON(filepath.Join(s.sessionDir(sid), recordName), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return r, &NotFoundError{SID: sid}
	}
	if err == nil && r.SID != sid {
		err = fmt.Errorf("the record of session %s names session %q", sid, r.SID)
	}
	return r, err
}

// List returns all records, oldest first, and the errors of those that cannot be read.
func (s Store) List() ([]Record, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Record
	for _, e := range entries {
		r, loadErr := s.Load(e.Name())
		var missing *NotFoundError
		if errors.As(loadErr, &missing) {
			continue // being made, or half removed
		}
		if loadErr != nil {
			err = errors.Join(err, loadErr)
			continue
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b Record) int { return int(a.CreatedAt - b.CreatedAt) })
	return list, err
}

// Remove forgets a session with everything of it in the store.
func (s Store) Remove(sid string) error {
	if err := checkSID(sid); err != nil {
		return err
	}
	// The record goes last: whoever is killed half-way can go on.
	entries, err := os.ReadDir(s.sessionDir(sid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() != recordName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.sessionDir(sid), e.Name())))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what belongs to session %s: %w", sid, err)
	}
	return os.RemoveAll(s.sessionDir(sid))
}

// PaneStatus is what a pane's process says of itself, and the last word of it.
type PaneStatus struct {
	State   State           `json:"state"`
	Owner   hostfacts.Owner `json:"owner"`             // the pane's process
	Started time.Time       `json:"started,omitzero"`  // of the latest run
	Ended   time.Time       `json:"ended,omitzero"`    // zero: runs, or was killed
	Code    int             `json:"exit_code"`         // of the agent, once ended
	Error   string          `json:"error,omitempty"`   // why there is no exit code
	Session string          `json:"session,omitempty"` // id of the agent's session
}

// State is where a pane's run is.
type State string

// The states of a pane. A pane that has not Ended and whose owner is dead was Killed.
const (
	Waiting State = "waiting" // not started yet
	Running State = "running"
	Ended   State = "ended"
	Killed  State = "killed"
)

const statusName = "status.json"

// SaveStatus writes a pane's status.
func (s Store) SaveStatus(sid string, index int, st PaneStatus) error {
	if err := os.MkdirAll(s.PaneDir(sid, index), 0o700); err != nil {
		return fmt.Errorf("write the status of pane %d: %w", index, err)
	}
	return writeJSON(filepath.Join(s.PaneDir(sid, index), statusName), st)
}

// Status returns a pane's status; that of one that was never started is Waiting.
func (s Store) Status(sid string, index int, self hostfacts.Owner) (PaneStatus, error) {
	st := PaneStatus{State: Waiting}
	err := readJSON(filepath.Join(s.PaneDir(sid, index), statusName), &st)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if st.State != Ended && st.Owner.Dead(self) {
		st.State = Killed
	}
	return st, err
}

// writeJSON writes v to path atomically: to a file beside it, synced, and renamed.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return WriteFile(path, append(data, '\n'))
}

// WriteFile writes a private file atomically.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// readJSON reads a file that writeJSON wrote.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
