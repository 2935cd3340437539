// Package trust keeps a repository's files apart from the user's. What a repository holds is
// read as the work of somebody hostile; the user's own files are read only if nobody else
// can have written them; and what the user has allowed a repository is written down by
// content, so that one changed byte has to be allowed anew.
package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
)

// Subject is one file of a repository, with the content that it has now.
type Subject struct {
	Workspace string // canonical directory that holds it
	File      string // its name there
	Content   []byte
}

// Digest returns the SHA-256 of the workspace, the name and the content, in
// hexadecimal. Each part is preceded by its length, so that none can be mistaken for another.
func (s Subject) Digest() string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(s.Workspace), []byte(s.File), s.Content} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Entry is one content of one file that the user has allowed.
type Entry struct {
	Workspace string    `json:"workspace"`
	File      string    `json:"file"`
	Digest    string    `json:"sha256"` // of workspace, name and content, see Subject.Digest
	Allowed   time.Time `json:"allowed_at"`
}

// Store is the file that holds what the user has allowed, in the user's state directory,
// which no container sees.
type Store struct{ Path string }

// NewStore returns the store in a state directory.
func NewStore(stateDir string) Store { return Store{Path: filepath.Join(stateDir, "trust.json")} }

// contents is the form of the file.
type contents struct {
	Version int     `json:"version"`
	Allowed []Entry `json:"allowed"`
}

const (
	version = 1
	// maxStore bounds what is read: tens of thousands of entries.
	maxStore = 16 << 20
	// maxPerFile bounds the contents that stay allowed for one file, so that who
	// changes branches is not asked again each time.
	maxPerFile = 32
	// lockTime is how long another process may keep the file; it takes milliseconds.
	lockTime  = 5 * time.Second
	lockPause = 10 * time.Millisecond
)

// DamagedError says that the store cannot be understood. Nothing counts as allowed then.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("what you have allowed repositories cannot be read: %s: %v", e.Path, e.Err)
}
func (e *DamagedError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *DamagedError) Hint() string {
	return "remove " + e.Path + ", and allow what is needed again: aifo-coder trust"
}

// List returns all entries, in the order in which they were allowed. It returns a
// *DamagedError for a file that it does not understand, or that others can write.
func (s Store) List() ([]Entry, error) {
	data, err := ReadOwn(s.Path, maxStore)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var c contents
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err == nil && c.Version != version {
		err = fmt.Errorf("it has version %d, and this aifo-coder knows version %d", c.Version, version)
	}
	if err != nil {
		return nil, &DamagedError{Path: s.Path, Err: err}
	}
	return c.Allowed, nil
}

// Allowed reports whether the user has allowed exactly this content of the file.
func (s Store) Allowed(subject Subject) (bool, error) {
	list, err := s.List()
	digest := subject.Digest()
	return slices.ContainsFunc(list, func(e Entry) bool { return e.Digest == digest }), err
}

// Allow writes down that the user allows the files as they are, at the time now.
func (s Store) Allow(now time.Time, subjects ...Subject) error {
	return s.change(func(list []Entry) []Entry {
		for _, subject := range subjects {
			e := Entry{Workspace: subject.Workspace, File: subject.File, Digest: subject.Digest(), Allowed: now.UTC().Truncate(time.Second)}
			list = append(slices.DeleteFunc(list, func(o Entry) bool { return o.Digest == e.Digest }), e)
			list = bounded(list, e)
		}
		return list
	})
}

// bounded drops the oldest contents of the entry's file beyond the bound.
func bounded(list []Entry, e Entry) []Entry {
	same := func(o Entry) bool { return o.Workspace == e.Workspace && o.File == e.File }
	count := 0
	for _, o := range list {
		if same(o) {
			count++
		}
	}
	return slices.DeleteFunc(list, func(o Entry) bool {
		if !same(o) || count <= maxPerFile {
			return false
		}
		count--
		return true
	})
}

// Revoke takes back all that was allowed for a workspace, and returns it.
func (s Store) Revoke(workspace string) ([]Entry, error) {
	var revoked []Entry
	err := s.change(func(list []Entry) []Entry {
		return slices.DeleteFunc(list, func(e Entry) bool {
			if e.Workspace != workspace {
				return false
			}
			revoked = append(revoked, e)
			return true
		})
	})
	return revoked, err
}

// change replaces the list by what edit makes of it. Processes do so one after the other, and a
// reader, or a crash, meets the old file or the new one.
func (s Store) change(edit func([]Entry) []Entry) error {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return fmt.Errorf("write down what is allowed: %w", err)
	}
	// The lock is on a file of its own that stays: the store itself is replaced.
	lock := flock.New(s.Path+".lock", flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, lockPause); err != nil {
		return fmt.Errorf("write down what is allowed: lock %s.lock: %w", s.Path, err)
	}
	list, err := s.List()
	if err == nil {
		err = s.write(contents{Version: version, Allowed: edit(list)})
	}
	return errors.Join(err, lock.Unlock())
}

func (s Store) write(c contents) error {
	if c.Allowed == nil {
		c.Allowed = []Entry{}
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write down what is allowed: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.Path), ".trust-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write down what is allowed: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.Path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write down what is allowed: %w", err), os.Remove(f.Name()))
	}
	return nil
}
