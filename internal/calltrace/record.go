// Package calltrace keeps what is known of each tool call of a session: in a file that
// aifo-coder trace shows, and for whoever else is to have it. A call never waits for it:
// what cannot be written as fast as it comes is counted and left out. An agent chooses the
// words of its calls, so these are cut, cleaned, and freed of secrets that can be told.
package calltrace

import (
	"cmp"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

// State says what became of a call.
type State string

// The states of calls.
const (
	Running State = "running" // it has begun, and was under way when that was written
	Ended   State = "ended"   // the tool ended by itself
	Failed  State = "failed"  // it did not, or was never started; Code says why
	Refused State = "refused" // the call was not let through
	Lost    State = "lost"    // it was under way when the session was killed
)

// The states of lines that are about no call. They are not shown as calls.
const (
	stateSession State = "session" // the first line
	stateNotice  State = "notice"  // what is missing, in Reason
)

// Record is one tool call. The names in JSON stay; null is unknown.
type Record struct {
	Time    time.Time `json:"time"` // when it began
	Session string    `json:"session"`
	ID      string    `json:"id"` // exec id; empty for a refused one
	State   State     `json:"state"`
	Tool    string    `json:"tool"` // as it was called, by its name or a path
	// Args are its arguments, without secrets that can be told; nil where they are not kept.
	Args     []string `json:"args"`
	ArgsCut  bool     `json:"args_cut,omitempty"` // there are more, or longer ones
	Kind     string   `json:"kind"`
	Cwd      string   `json:"cwd"`
	Protocol string   `json:"protocol"`
	Streams  string   `json:"streams"`
	// DurationMS is the time from the request to the tool's end, and WaitMS the part of it
	// for which the sidecar was waited for, in milliseconds.
	DurationMS float64 `json:"duration_ms"`
	WaitMS     float64 `json:"wait_ms"`
	// Bytes that went to the tool and came from it. A tool that has the caller's own files
	// reads and writes these itself, and nobody knows how much. Where both outputs are one,
	// all is in StdoutBytes.
	StdinBytes  *int64 `json:"stdin_bytes"`
	StdoutBytes *int64 `json:"stdout_bytes"`
	StderrBytes *int64 `json:"stderr_bytes"`
	ExitCode    *int   `json:"exit_code"`        // nil while it runs
	Signal      string `json:"signal,omitempty"` // that an exit code of 128+n stands for
	// Code says in a word why the call was refused or failed, and Reason says it to people.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// header is the first line of a log: whose calls are in it.
type header struct {
	Time      time.Time `json:"time"`
	Session   string    `json:"session"`
	State     State     `json:"state"`
	Workspace string    `json:"workspace"`
}

const (
	// maxText bounds each text of a record that an agent chooses, in bytes.
	maxText = 512
	// maxArgs and maxArgBytes bound the arguments of one call.
	maxArgs     = 64
	maxArgBytes = 2048
)

// clean returns the record fit for a terminal, whoever wrote the file.
func (r Record) clean() Record {
	for _, text := range []*string{&r.Session, &r.ID, &r.Tool, &r.Kind, &r.Cwd, &r.Protocol, &r.Streams, &r.Signal, &r.Code, &r.Reason, (*string)(&r.State)} {
		*text = jsonlog.Clean(*text, maxText)
	}
	for i, a := range r.Args {
		r.Args[i] = jsonlog.Clean(a, maxArgBytes)
	}
	return r
}

// Call reports whether the record is one of a call, and not a line about the log itself.
func (r Record) Call() bool { return r.State != stateSession && r.State != stateNotice }

// Failed reports whether the call did not come to a good end.
func (r Record) Failed() bool {
	switch r.State {
	case Running:
		return false
	case Ended:
		return r.ExitCode == nil || *r.ExitCode != 0
	}
	return true
}

// Duration returns how long the call took.
func (r Record) Duration() time.Duration {
	return time.Duration(r.DurationMS * float64(time.Millisecond))
}

// At returns the record with the time that the call has taken until now, if it still runs:
// what was written of it says how long it had run by then.
func (r Record) At(now time.Time) Record {
	if r.State == Running {
		r.DurationMS = float64(now.Sub(r.Time)) / float64(time.Millisecond)
	}
	return r
}

// key tells calls apart: an id may be used again when its call is over.
type key struct {
	id   string
	time int64
}

func (r Record) key() key { return key{r.ID, r.Time.UnixNano()} }

// Calls returns one record for each call, in the order in which they began: of those that
// have ended the one of their end. The rest run while live is set, or else are lost.
func Calls(records []Record, live bool) []Record {
	ended := map[key]bool{}
	for _, r := range records {
		if r.State != Running && r.ID != "" {
			ended[r.key()] = true
		}
	}
	calls := []Record{}
	for _, r := range records {
		switch {
		case !r.Call(), r.State == Running && ended[r.key()]:
			continue
		case r.State == Running && !live:
			r.State = Lost
		}
		calls = append(calls, r)
	}
	sortByTime(calls)
	return calls
}

func byTime(a, b Record) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) }
