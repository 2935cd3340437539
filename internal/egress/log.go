package egress

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
	"sync"
	"time"
)

const (
	// maxLog bounds the file of one session. Refusals may use all of it, and what is
	// allowed less: nobody can hide a refusal behind a flood of what is allowed.
	maxLog        = 8 << 20
	maxLogAllowed = 6 << 20
	// repeatTime is how long the same refusals are counted before they are written as one.
	repeatTime = 5 * time.Second
	// maxRepeats is how many different refusals are counted at once.
	maxRepeats = 1024
	// maxLogs is how many sessions' logs are kept.
	maxLogs = 50
	// logSuffix ends the name of a session's log, a JSON object a line.
	logSuffix = ".jsonl"
)

// LogDir returns the directory of the logs, below the user's own for state.
func LogDir(stateDir string) string { return filepath.Join(stateDir, "network") }

// Log is the file of what one session asked for.
type Log struct {
	session string
	repeat  time.Duration
	max     struct{ all, allowed int64 }

	mu       sync.Mutex
	file     *os.File // nil: closed
	size     int64
	refusals map[refused]*repeats
	flushing bool // flush will be called
	full     bool // an entry says so
	dropped  int  // entries that found no room
	denied   int  // and those of them that were refused
	torn     bool // the last line may be half of one
	failed   error
}

// refused are refusals that count as the same.
type refused struct {
	container, method, host string
	port                    int
}

// repeats are refusals that are not written yet.
type repeats struct {
	last  Entry
	count int
}

// OpenLog opens, or makes, the log of a session in dir, which it makes as well, and
// removes the oldest logs there. The session is a name of the form that ids of sessions
// have. The file and the directory are for their owner alone.
func OpenLog(dir, session string) (*Log, error) {
	if session == "" || strings.ContainsAny(session, `/\`) || strings.HasPrefix(session, ".") {
		return nil, fmt.Errorf("open the network log: %q is not the id of a session", session)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the network log: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, session+logSuffix), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the network log: %w", err)
	}
	info, err := file.Stat()
	if err == nil {
		err = removeOldLogs(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the network log: %w", err), file.Close())
	}
	l := &Log{session: session, file: file, size: info.Size(), refusals: map[refused]*repeats{}, repeat: repeatTime}
	l.max.all, l.max.allowed = maxLog, maxLogAllowed
	return l, nil
}

// removeOldLogs removes all logs but the newest.
func removeOldLogs(dir string) error {
	logs, err := Logs(dir)
	if err != nil {
		return err
	}
	for _, old := range logs[min(maxLogs, len(logs)):] {
		if err := os.Remove(old.Path); err != nil && !errors.Is(err, fs.ErrNotExist) { // another session did it
			return err
		}
	}
	return nil
}

// Record writes the entry, as one of the log's session. The same refusal again within
// some seconds is counted, and written with the others as one. What a container chooses
// is made fit for a line, whoever hands it in. It is safe for use by several goroutines,
// and does nothing after Close.
func (l *Log) Record(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return
	}
	e.Session = l.session
	e.Method, e.Host = clean(e.Method, maxMethodShown), clean(e.Host, maxHostShown)
	if e.Allowed {
		l.write(e, 1)
		return
	}
	key := refused{e.Container, e.Method, e.Host, e.Port}
	if same := l.refusals[key]; same != nil {
		same.last = e
		same.count++
		return
	}
	if len(l.refusals) >= maxRepeats {
		l.flush()
	}
	l.refusals[key] = &repeats{}
	l.write(e, 1)
	l.flushLater()
}

// flushLater has the refusals that are counted until then written; mu is held.
func (l *Log) flushLater() {
	if l.flushing {
		return
	}
	l.flushing = true
	time.AfterFunc(l.repeat, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.flushing = false
		l.flush()
	})
}

// flush writes what was counted, and counts anew; mu is held.
func (l *Log) flush() {
	var due []*repeats
	for _, r := range l.refusals {
		if r.count > 0 {
			due = append(due, r)
		}
	}
	clear(l.refusals)
	slices.SortFunc(due, func(a, b *repeats) int { return a.last.Time.Compare(b.last.Time) })
	for _, r := range due {
		if r.count > 1 {
			r.last.Count = r.count
		}
		l.write(r.last, r.count)
	}
}

// write appends the entry, which stands for so many; mu is held.
func (l *Log) write(e Entry, stands int) {
	limit := l.max.all
	if e.Allowed {
		limit = l.max.allowed
	}
	if l.size < limit && l.append(e) {
		return
	}
	l.dropped += stands
	if !e.Allowed {
		l.denied += stands
	}
	if l.size >= limit && !l.full {
		l.full = true
		l.append(l.notice("the log is full; what follows is not in it, or only what is refused"))
	}
}

func (l *Log) notice(reason string) Entry {
	return Entry{Time: time.Now(), Session: l.session, Allowed: true, Code: CodeLogFull, Reason: reason}
}

// append writes a line, and reports whether it could; mu is held. After a failure it
// tries again with the next: a container that fills the disk for a moment must not be
// rid of the log for good. Close tells the first failure.
func (l *Log) append(e Entry) bool {
	line, err := json.Marshal(e)
	if err == nil {
		if l.torn {
			line = append([]byte{'\n'}, line...)
		}
		var n int
		n, err = l.file.Write(append(line, '\n'))
		l.size += int64(n)
		l.torn = err != nil
	}
	if err != nil && l.failed == nil {
		l.failed = err
	}
	return err == nil
}

// Close writes what was counted and closes the file. A log without an entry is removed.
// It returns the first error of a write.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	l.flush()
	if l.dropped > 0 {
		l.append(l.notice(fmt.Sprintf("%d entries found no room, %d of them refused", l.dropped, l.denied)))
	}
	err := errors.Join(l.failed, l.file.Close())
	if l.size == 0 {
		err = errors.Join(err, os.Remove(l.file.Name()))
	}
	l.file = nil
	if err != nil {
		return fmt.Errorf("write the network log: %w", err)
	}
	return nil
}

// LogFile is the log of one session.
type LogFile struct {
	Session string
	Path    string
	Changed time.Time
}

// Logs returns the logs in dir, the newest first; none when dir is not there.
func Logs(dir string) ([]LogFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the network logs: %w", err)
	}
	var list []LogFile
	for _, e := range entries {
		session, ok := strings.CutSuffix(e.Name(), logSuffix)
		info, err := e.Info()
		if !ok || err != nil || !info.Mode().IsRegular() { // or it has been removed meanwhile
			continue
		}
		list = append(list, LogFile{Session: session, Path: filepath.Join(dir, e.Name()), Changed: info.ModTime()})
	}
	slices.SortFunc(list, func(a, b LogFile) int {
		return cmp.Or(b.Changed.Compare(a.Changed), cmp.Compare(a.Session, b.Session))
	})
	return list, nil
}
