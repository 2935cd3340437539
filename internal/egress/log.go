package egress

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
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
)

// Logs returns the logs of all sessions, which are in dir.
func Logs(dir string) jsonlog.Store {
	return jsonlog.Store{Dir: dir, Name: "network log", Keep: maxLogs}
}

// Log is the file of what one session asked for.
type Log struct {
	session string
	repeat  time.Duration
	max     struct{ all, allowed int64 }

	mu       sync.Mutex
	file     *jsonlog.File // nil: closed
	refusals map[refused]*repeats
	flushing bool // flush will be called
	full     bool // an entry says so
	dropped  int  // entries that found no room
	denied   int  // and those of them that were refused
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

// OpenLog opens, or makes, the log of a session. The session is a name of the form that
// ids of sessions have.
func OpenLog(logs jsonlog.Store, session string) (*Log, error) {
	file, err := logs.Open(session)
	if err != nil {
		return nil, err
	}
	l := &Log{session: session, file: file, refusals: map[refused]*repeats{}, repeat: repeatTime}
	l.max.all, l.max.allowed = maxLog, maxLogAllowed
	return l, nil
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
	e.Method, e.Host = jsonlog.Clean(e.Method, maxMethodShown), jsonlog.Clean(e.Host, maxHostShown)
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
	if l.file.Size() < limit && l.file.Append(e) {
		return
	}
	l.dropped += stands
	if !e.Allowed {
		l.denied += stands
	}
	if l.file.Size() >= limit && !l.full {
		l.full = true
		l.file.Append(l.notice("the log is full; what follows is not in it, or only what is refused"))
	}
}

func (l *Log) notice(reason string) Entry {
	return Entry{Time: time.Now(), Session: l.session, Allowed: true, Code: CodeLogFull, Reason: reason}
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
		l.file.Append(l.notice(fmt.Sprintf("%d entries found no room, %d of them refused", l.dropped, l.denied)))
	}
	err := l.file.Close()
	l.file = nil
	if err != nil {
		return fmt.Errorf("write the network log: %w", err)
	}
	return nil
}
