package calltrace

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

const (
	// maxLog bounds the file of one session, in bytes. Calls that failed or were refused
	// may use all of it, and others less: nobody can hide them behind a flood of others.
	maxLog       = 8 << 20
	maxLogUsual  = 6 << 20
	maxLogs      = 50
	maxHeaderLen = 64 << 10
)

// Logs returns the traces of all sessions, which are in dir.
func Logs(dir string) jsonlog.Store { return jsonlog.Store{Dir: dir, Name: "trace", Keep: maxLogs} }

// Log is the file of one session. It is a Sink.
type Log struct {
	session string
	file    *jsonlog.File
	max     struct{ all, usual int64 }
	begun   int64 // bytes before the first call
	full    bool  // a notice says so
	dropped int64
}

// OpenLog opens, or makes, the trace of a session on a workspace.
func OpenLog(logs jsonlog.Store, session, workspace string) (*Log, error) {
	file, err := logs.Open(session)
	if err != nil {
		return nil, err
	}
	l := &Log{session: session, file: file}
	l.max.all, l.max.usual = maxLog, maxLogUsual
	fresh := file.Size() == 0
	file.Append(header{Time: time.Now().UTC(), Session: session, State: stateSession, Workspace: workspace})
	if fresh {
		l.begun = file.Size()
	}
	return l, nil
}

// Record implements Sink.
func (l *Log) Record(r Record) {
	limit := l.max.all
	if !r.Failed() {
		limit = l.max.usual
	}
	if l.file.Size() < limit && l.file.Append(r) {
		return
	}
	l.dropped++
	if l.file.Size() >= limit && !l.full {
		l.full = true
		l.notice("the trace is full; what follows is not in it, or only what fails")
	}
}

// Missed implements Sink.
func (l *Log) Missed(n int64) { l.dropped += n }

func (l *Log) notice(reason string) {
	l.file.Append(Record{Time: time.Now().UTC(), Session: l.session, State: stateNotice, Reason: reason})
}

// Close closes the file; one without a call is removed. It returns the first error of a
// write.
func (l *Log) Close() error {
	if l.dropped > 0 {
		l.notice(fmt.Sprintf("%d calls found no room", l.dropped))
	}
	empty := l.file.Size() == l.begun
	err := l.file.Close()
	if empty && err == nil {
		err = os.Remove(l.file.Path())
	}
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

// Read returns the records of a trace, and the reasons for which some are missing.
func Read(path string) (records []Record, notices []string, err error) {
	err = jsonlog.Read(path, func(r Record) error {
		switch r = r.clean(); {
		case r.State == stateNotice:
			notices = append(notices, r.Reason)
		case r.Call():
			records = append(records, r)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the trace: %w", err)
	}
	return records, notices, nil
}

// Follow calls f with each record of a call, and then with those that come, until ctx ends,
// over says that the session has, or f fails.
func Follow(ctx context.Context, path string, over func() bool, f func(Record) error) error {
	err := jsonlog.Follow(ctx, path, over, func(r Record) error {
		if r = r.clean(); !r.Call() {
			return nil
		}
		return f(r)
	})
	if err != nil {
		return fmt.Errorf("follow the trace: %w", err)
	}
	return nil
}

// Workspace returns the workspace of the session whose trace is at path, or "".
func Workspace(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	line, err := bufio.NewReaderSize(file, maxHeaderLen).ReadSlice('\n')
	var h header
	if err != nil || json.Unmarshal(line, &h) != nil || h.State != stateSession {
		return ""
	}
	return h.Workspace
}

func sortByTime(records []Record) { slices.SortStableFunc(records, byTime) }
