// Package lock lets one agent at a time work on a repository, and tells the
// sessions that run from those that were killed. A lock is an advisory one on a
// file in the user's private runtime directory, which a container never sees;
// the kernel releases it when its holder dies. The file is removed on release
// without the race in which two processes hold locks on two files of the same
// name.
//
// It does not keep out another user of the machine, whose runtime directory is
// another one.
package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/publish"
)

// Holder is what the lock's file says of the process that holds it.
type Holder struct {
	PID       int       `json:"pid"`
	Start     string    `json:"start,omitempty"` // of the process, as hostfacts.Owner has it
	Since     time.Time `json:"since"`
	Workspace string    `json:"workspace"`
	Engine    string    `json:"engine,omitempty"` // of a session: the command line of the one that has its containers
	// Ports are those of this machine that a session leads to its own, with what the system chose.
	Ports []publish.Port `json:"ports,omitempty"`
}

// HeldError says that another process holds the lock.
type HeldError struct{ Holder Holder }

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return "another agent is starting on this repository"
	}
	return fmt.Sprintf("an agent already works on %s (pid %d, since %s)",
		e.Holder.Workspace, e.Holder.PID, e.Holder.Since.Local().Format("2006-01-02 15:04:05"))
}

// Lock is a held lock.
type Lock struct {
	flock *flock.Flock
	path  string
}

// Workspace returns the file of the lock on a workspace: its canonical path, hashed.
func Workspace(runtimeDir, workspace string) string {
	h := fnv.New64a()
	h.Write([]byte(workspace))
	return filepath.Join(runtimeDir, fmt.Sprintf("aifo-coder.%016x"+suffix, h.Sum64()))
}

const suffix = ".lock"

// Session returns the file of the lock that a session holds while it runs, and
// the directory of its own beside it, which Sweep removes with it.
func Session(runtimeDir, id string) (path, dir string) {
	dir = filepath.Join(runtimeDir, "aifo-"+id)
	return dir + suffix, dir
}

// A sweep holds a lock that is free for a moment: heldTime is how long we wait
// for that where a process that lives says that it is the holder, and sweepTime where none
// does, so that it can only be a sweep, on a machine that may be busy. We look every sweepPause.
const (
	heldTime   = 250 * time.Millisecond
	sweepTime  = 5 * time.Second
	sweepPause = 5 * time.Millisecond
)

// Acquire takes the lock on the file path, whose directory must exist, or
// returns a *HeldError when somebody else keeps it.
func Acquire(path string, h Holder) (*Lock, error) {
	for began := time.Now(); ; time.Sleep(sweepPause) {
		l, err := try(path)
		var held *HeldError
		if errors.Is(err, errReplaced) || errors.As(err, &held) && time.Since(began) < held.Holder.patience() {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := l.write(h); err != nil {
			return nil, errors.Join(err, l.Release())
		}
		return l, nil
	}
}

// patience is how long to wait for a lock whose file names the holder. One that has not written
// yet soon has.
func (h Holder) patience() time.Duration {
	self := hostfacts.Self()
	if h.PID <= 0 || (hostfacts.Owner{Host: self.Host, PID: h.PID, Start: h.Start}).Dead(self) {
		return sweepTime
	}
	return heldTime
}

// errReplaced says that the locked file is no longer the one at its path: its
// holder removed it between our opening and our locking it.
var errReplaced = errors.New("lock file was replaced")

// try takes the lock on path, or returns a *HeldError at once.
func try(path string) (*Lock, error) {
	f := flock.New(path, flock.SetPermissions(0o600))
	ok, err := f.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		return nil, &HeldError{Holder: read(path)}
	}
	if !current(f, path) {
		return nil, errors.Join(errReplaced, f.Close())
	}
	return &Lock{flock: f, path: path}, nil
}

func current(f *flock.Flock, path string) bool {
	ours, err1 := f.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(ours, there)
}

func (l *Lock) write(h Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write lock %s: %w", l.path, err)
	}
	return nil
}

func read(path string) Holder {
	var h Holder
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &h) // half-written: the message then names no holder
	}
	return h
}

// Release removes the file while the lock is still held, then gives it up.
func (l *Lock) Release() error {
	err := os.Remove(l.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.flock.Close())
}

// giveUp releases a lock that was only looked at: its file stays as it was.
func (l *Lock) giveUp() error {
	if isEmpty(l.path) {
		return l.Release() // its holder removed it before we opened it, which made it anew
	}
	return l.flock.Close()
}

// Sweep removes the files of locks in runtimeDir that nobody holds, left by
// processes that were killed, and the directories of their sessions.
func Sweep(runtimeDir string) error {
	paths, err := filepath.Glob(filepath.Join(runtimeDir, "aifo-*"+suffix))
	dirs, dirsErr := lockless(runtimeDir)
	err = errors.Join(err, dirsErr)
	for _, dir := range dirs {
		paths = append(paths, dir+suffix) // which is taken first: a new session may have the name by then
	}
	for _, path := range paths {
		l, lockErr := try(path)
		if lockErr != nil {
			continue // held, or replaced and so not left behind
		}
		err = errors.Join(err, os.RemoveAll(strings.TrimSuffix(path, suffix)), l.Release())
	}
	return err
}

// Running returns the holders of the sessions' locks in runtimeDir, by the sessions' ids.
// It removes nothing, and takes a free lock for a moment, which Acquire of another waits for.
func Running(runtimeDir string) (map[string]Holder, error) {
	running := map[string]Holder{}
	err := each(runtimeDir, func(path string, h *Holder) {
		if id, ok := sessionOf(path); ok && h != nil {
			running[id] = *h
		}
	})
	return running, err
}

// Left returns the files of locks in runtimeDir that nobody holds, and the directories of
// sessions beside them: what Sweep removes.
func Left(runtimeDir string) ([]string, error) {
	var left []string
	err := each(runtimeDir, func(path string, h *Holder) {
		if h != nil {
			return
		}
		left = append(left, path)
		if dir := strings.TrimSuffix(path, suffix); isDir(dir) {
			left = append(left, dir)
		}
	})
	dirs, dirsErr := lockless(runtimeDir)
	return append(left, dirs...), errors.Join(err, dirsErr)
}

// lockless returns the directories of sessions beside which there is no lock. None is a
// session's that runs: it takes its lock before it makes its directory, and keeps it longer.
func lockless(runtimeDir string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(runtimeDir, "aifo-*"))
	return slices.DeleteFunc(dirs, func(dir string) bool {
		_, lockErr := os.Lstat(dir + suffix)
		return !errors.Is(lockErr, os.ErrNotExist) || !isDir(dir)
	}), err
}

// each calls f with each lock in runtimeDir and who holds it, nil for nobody.
func each(runtimeDir string, f func(path string, h *Holder)) error {
	paths, err := filepath.Glob(filepath.Join(runtimeDir, "aifo-*"+suffix))
	for _, path := range paths {
		l, lockErr := try(path)
		var held *HeldError
		switch {
		case errors.As(lockErr, &held):
			f(path, &held.Holder)
		case lockErr == nil:
			free := !isEmpty(path)
			err = errors.Join(err, l.giveUp())
			if free {
				f(path, nil)
			}
		} // otherwise replaced by a holder that has gone since
	}
	return err
}

func isEmpty(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == 0
}

// sessionOf returns the id of the session whose lock the file is. Those on workspaces have
// a dot in their names, which no id has.
func sessionOf(path string) (string, bool) {
	id := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "aifo-"), suffix)
	return id, !strings.Contains(id, ".")
}

// Name returns the session that a file or directory of Left belongs to, "" for a workspace's.
func Name(path string) string {
	if id, ok := sessionOf(path); ok {
		return id
	}
	return ""
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// Held reports whether somebody holds the lock on the file path. It takes a free one
// for a moment, which Acquire of another waits for, and leaves its file to Sweep, which
// finds by it what else is left.
func Held(path string) (bool, error) {
	for {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		l, err := try(path)
		var held *HeldError
		switch {
		case errors.As(err, &held):
			return true, nil
		case errors.Is(err, errReplaced):
			continue
		case err != nil:
			return false, err
		}
		return false, l.giveUp()
	}
}
