// Package jsonlog keeps logs of sessions: a directory of files, one for each
// session, with a JSON object a line. A file and its directory are for their owner
// alone, only the newest files are kept, and whoever reads one gets no control
// characters of somebody else. It bounds no file: who writes knows what may go when there
// is no more room.
package jsonlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// suffix ends the name of a session's log.
const suffix = ".jsonl"

// Store is a directory of logs.
type Store struct {
	Dir  string // may not exist
	Name string // of such a log, for messages
	Keep int    // how many logs Open leaves there
}

// Log is the log of one session.
type Log struct {
	Session string
	Path    string
	Changed time.Time
}

// List returns the logs, the newest first; none when the directory is not there.
func (s Store) List() ([]Log, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the %ss: %w", s.Name, err)
	}
	var list []Log
	for _, e := range entries {
		session, ok := strings.CutSuffix(e.Name(), suffix)
		info, err := e.Info()
		if !ok || err != nil || !info.Mode().IsRegular() { // or it has been removed meanwhile
			continue
		}
		list = append(list, Log{Session: session, Path: filepath.Join(s.Dir, e.Name()), Changed: info.ModTime()})
	}
	slices.SortFunc(list, func(a, b Log) int {
		return cmp.Or(b.Changed.Compare(a.Changed), cmp.Compare(a.Session, b.Session))
	})
	return list, nil
}

// Open opens, or makes, the log of a session and its directory, and removes the oldest
// logs there. The session is a name of the form that ids of sessions have.
func (s Store) Open(session string) (*File, error) {
	f, err := s.open(session)
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", s.Name, err)
	}
	return f, nil
}

func (s Store) open(session string) (*File, error) {
	if session == "" || strings.ContainsAny(session, `/\`) || strings.HasPrefix(session, ".") {
		return nil, fmt.Errorf("%q is not the id of a session", session)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.Dir, session+suffix), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = s.removeOld()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &File{file: file, size: info.Size()}, nil
}

// removeOld removes all logs but the newest.
func (s Store) removeOld() error {
	logs, err := s.List()
	if err != nil {
		return err
	}
	for _, old := range logs[min(s.Keep, len(logs)):] {
		if err := os.Remove(old.Path); err != nil && !errors.Is(err, fs.ErrNotExist) { // another session did it
			return err
		}
	}
	return nil
}

// File is the log of one session, open for writing. It is for one goroutine at a time.
type File struct {
	file   *os.File
	size   int64
	torn   bool // the last line may be half of one
	failed error
}

// Path returns the name of the file.
func (f *File) Path() string { return f.file.Name() }

// Size returns how many bytes the file has.
func (f *File) Size() int64 { return f.size }

// Append writes v as a line, and reports whether it could. After a failure the next one
// is tried again: a container that fills the disk for a moment must not be rid of the
// log for good. Close tells the first failure.
func (f *File) Append(v any) bool {
	line, err := json.Marshal(v)
	if err == nil {
		if f.torn {
			line = append([]byte{'\n'}, line...)
		}
		var n int
		n, err = f.file.Write(append(line, '\n'))
		f.size += int64(n)
		f.torn = err != nil
	}
	if err != nil && f.failed == nil {
		f.failed = err
	}
	return err == nil
}

// Close closes the file, and removes one without a line. It returns the first error of
// a write.
func (f *File) Close() error {
	err := errors.Join(f.failed, f.file.Close())
	if f.size == 0 {
		err = errors.Join(err, os.Remove(f.file.Name()))
	}
	return err
}
