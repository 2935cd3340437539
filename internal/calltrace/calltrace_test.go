package calltrace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

// patience is how long a test waits for what is about to happen.
const patience = 20 * time.Second

// memory is a Sink.
type memory struct {
	mu      sync.Mutex
	records []Record
	missed  int64
	block   chan struct{} // if not nil, taking a record waits for it
}

func (m *memory) Record(r Record) {
	if m.block != nil {
		<-m.block
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, r)
}

func (m *memory) Missed(n int64) { m.missed = n }

func (m *memory) all() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Record(nil), m.records...)
}

var began = time.Date(2026, 11, 29, 9, 0, 0, 123456789, time.UTC)

func observed(argv ...string) execproxy.Observed {
	return execproxy.Observed{ID: "abc", Kind: "rust", Argv: argv, Cwd: "/workspace", Proto: "3", Began: began}
}

func pointer[T any](v T) *T { return &v }

func TestRecorder(t *testing.T) {
	sink := &memory{}
	r := NewRecorder(Config{Session: "s1", Secrets: []string{"0123456789abcdef"}, Sinks: []Sink{sink}})
	r.Observe(observed("cargo", "build", "--token", "x", "y=0123456789abcdef"))(execproxy.Ended{
		Duration: 1234567 * time.Nanosecond, Waited: time.Millisecond, Code: 101, Streams: execproxy.StreamsPipes,
		Stdin: pointer(int64(1)), Stdout: pointer(int64(2)), Stderr: pointer(int64(3)),
	})
	r.Observe(observed("cargo"))(execproxy.Ended{Code: 137, Streams: execproxy.StreamsFiles})
	r.Observe(observed("cargo"))(execproxy.Ended{Code: 124, Cause: execproxy.CauseTimeout, Message: "too long"})
	refused := observed("npm")
	refused.ID, refused.Kind = "", ""
	r.Observe(refused)(execproxy.Ended{Code: 86, Cause: execproxy.CauseRefused, Message: "none"})
	r.Close()
	r.Close()
	r.Observe(observed("late"))(execproxy.Ended{})
	base := Record{Time: began, Session: "s1", ID: "abc", State: Ended, Tool: "cargo", Args: []string{}, Kind: "rust", Cwd: "/workspace", Protocol: "3"}
	first, killed, slow, none := base, base, base, base
	first.Args = []string{"build", "--token", "***", "y=***"}
	first.DurationMS, first.WaitMS, first.Streams, first.ExitCode = 1.235, 1, "pipes", pointer(101)
	first.StdinBytes, first.StdoutBytes, first.StderrBytes = pointer(int64(1)), pointer(int64(2)), pointer(int64(3))
	killed.Streams, killed.ExitCode, killed.Signal = "files", pointer(137), "KILL"
	slow.State, slow.Code, slow.Reason, slow.ExitCode = Failed, "timeout", "too long", pointer(124)
	none.State, none.Code, none.Reason, none.ExitCode, none.ID, none.Kind, none.Tool = Refused, "refused", "none", pointer(86), "", "", "npm"
	require.Equal(t, []Record{first, killed, slow, none}, sink.records)
	require.Zero(t, sink.missed)
}

// TestRecorderWithoutArgs keeps none of them.
func TestRecorderWithoutArgs(t *testing.T) {
	sink := &memory{}
	r := NewRecorder(Config{NoArgs: true, Sinks: []Sink{sink}})
	r.Observe(observed("cargo", "secret"))(execproxy.Ended{})
	r.Close()
	require.Len(t, sink.records, 1)
	require.Nil(t, sink.records[0].Args)
}

// TestRecorderTellsOfLongCalls: they are written when they have run for a while, and again.
func TestRecorderTellsOfLongCalls(t *testing.T) {
	sink := &memory{}
	r := NewRecorder(Config{Sinks: []Sink{sink}})
	r.underWay = time.Millisecond
	end := r.Observe(observed("cargo", "test"))
	require.Eventually(t, func() bool { return len(sink.all()) == 1 }, patience, time.Millisecond)
	running := sink.all()[0]
	require.Equal(t, Running, running.State)
	require.Nil(t, running.ExitCode)
	require.Equal(t, []string{"test"}, running.Args)
	end(execproxy.Ended{})
	r.Close()
	require.Len(t, sink.records, 2)
	require.Equal(t, running.key(), sink.records[1].key())
}

// TestRecorderNeverWaits: a sink that is stuck costs records, and no call any time, and not
// the host's memory.
func TestRecorderNeverWaits(t *testing.T) {
	sink := &memory{block: make(chan struct{})}
	r := NewRecorder(Config{Sinks: []Sink{sink}})
	huge := strings.Repeat("x", 1<<20)
	for range queueSize + 100 {
		r.Observe(observed("cargo", huge, huge))(execproxy.Ended{})
	}
	close(sink.block)
	r.Close()
	require.LessOrEqual(t, len(sink.records), queueSize+1)
	require.EqualValues(t, queueSize+100-len(sink.records), sink.missed)
	require.True(t, sink.records[0].ArgsCut)
}

func TestRecorderCutsAndCleans(t *testing.T) {
	sink := &memory{}
	secret := strings.Repeat("s3cret", 20)
	r := NewRecorder(Config{Sinks: []Sink{sink}, Secrets: []string{secret}})
	many := append([]string{"cargo"}, make([]string, 1000)...)
	r.Observe(observed(many...))(execproxy.Ended{})
	edge := strings.Repeat("x", maxArgBytes-50) + secret + strings.Repeat("y", maxArgBytes)
	r.Observe(observed("car\x1b[31mgo\n", edge, "more"))(execproxy.Ended{Message: "a\nb" + strings.Repeat("m", 4*maxText)})
	r.Close()
	require.Len(t, sink.records[0].Args, maxArgs)
	require.True(t, sink.records[0].ArgsCut)
	got := sink.records[1]
	require.Equal(t, "car?[31mgo?", got.Tool)
	require.True(t, got.ArgsCut)
	require.NotContains(t, strings.Join(got.Args, ""), "s3cret", "a secret that is cut in two is still one")
	require.LessOrEqual(t, len(strings.Join(got.Args, "")), maxArgBytes+2*len("…"))
	require.LessOrEqual(t, len(got.Reason), maxText+len("…"))
	require.True(t, strings.HasPrefix(got.Reason, "a?bmmm"))
}

func TestRecorderConcurrently(t *testing.T) {
	sink := &memory{}
	r := NewRecorder(Config{Sinks: []Sink{sink}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				r.Observe(observed("cargo", "x"))(execproxy.Ended{})
			}
		})
	}
	wg.Wait()
	r.Close()
	require.EqualValues(t, 400, int64(len(sink.records))+sink.missed)
}

func openLog(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := OpenLog(Logs(dir), "s1234567", "/home/ann/project")
	require.NoError(t, err)
	return l
}

func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trace")
	l := openLog(t, dir)
	rec := Record{Time: began, Session: "s1234567", ID: "1", State: Ended, Tool: "cargo", Args: []string{"a"}, ExitCode: pointer(0)}
	l.Record(rec)
	path := l.file.Path()
	require.Equal(t, "/home/ann/project", Workspace(path))
	l.Missed(3)
	require.NoError(t, l.Close())
	records, notices, err := Read(path)
	require.NoError(t, err)
	require.Equal(t, []Record{rec}, records)
	require.Equal(t, []string{"3 calls found no room"}, notices)

	require.NoError(t, openLog(t, dir).Close())
	require.FileExists(t, path, "what an earlier session of the same id has written stays")
	require.Empty(t, Workspace(path+"x"))
	_, _, err = Read(path + "x")
	require.ErrorContains(t, err, "read the trace")
}

func TestLogWithoutCallsIsRemoved(t *testing.T) {
	l := openLog(t, t.TempDir())
	require.NoError(t, l.Close())
	require.NoFileExists(t, l.file.Path())
}

// TestLogIsBounded: a flood of calls does not fill a disk, and hides none that failed.
func TestLogIsBounded(t *testing.T) {
	l := openLog(t, t.TempDir())
	l.max.all, l.max.usual = 20000, 10000
	for range 1000 {
		l.Record(Record{State: Ended, ExitCode: pointer(0)})
	}
	usual := l.file.Size()
	for range 1000 {
		l.Record(Record{State: Refused})
	}
	require.Less(t, usual, int64(11000))
	require.Greater(t, l.file.Size(), usual+9000)
	require.NoError(t, l.Close())
	require.Less(t, l.file.Size(), int64(21000))
	records, notices, err := Read(l.file.Path())
	require.NoError(t, err)
	require.Equal(t, []string{"the trace is full; what follows is not in it, or only what fails", fmt.Sprintf("%d calls found no room", 2000-len(records))}, notices)
}

func TestCalls(t *testing.T) {
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	running := func(id string, s int) Record { return Record{ID: id, Time: at(s), State: Running} }
	ended := func(id string, s int) Record {
		return Record{ID: id, Time: at(s), State: Ended, ExitCode: pointer(0)}
	}
	records := []Record{
		{State: stateSession}, running("a", 1), ended("b", 2), ended("a", 1), running("a", 3), {State: Refused, Time: at(4)}, {State: stateNotice, Reason: "x"},
	}
	states := func(live bool) (list []string) {
		for _, c := range Calls(records, live) {
			list = append(list, c.ID+" "+string(c.State))
		}
		return list
	}
	require.Equal(t, []string{"a ended", "b ended", "a running", " refused"}, states(true))
	require.Equal(t, []string{"a ended", "b ended", "a lost", " refused"}, states(false))
	require.NotNil(t, Calls(nil, false), "a JSON array, and not null")
}

func TestFailed(t *testing.T) {
	for want, list := range map[bool][]Record{
		false: {{State: Running}, {State: Ended, ExitCode: pointer(0)}},
		true:  {{State: Ended, ExitCode: pointer(1)}, {State: Ended}, {State: Failed, ExitCode: pointer(0)}, {State: Refused}, {State: Lost}},
	} {
		for _, r := range list {
			require.Equal(t, want, r.Failed(), "%+v", r)
		}
	}
}

func TestFollow(t *testing.T) {
	l := openLog(t, t.TempDir())
	l.Record(Record{ID: "1", State: Ended, Tool: "\x1b"})
	over := false
	var got []string
	require.NoError(t, Follow(t.Context(), l.file.Path(), func() bool { return over }, func(r Record) error {
		if got = append(got, r.ID+r.Tool); len(got) == 1 {
			l.notice("not a call")
			l.Record(Record{ID: "2", State: Running})
			over = true
		}
		return nil
	}))
	require.Equal(t, []string{"1?", "2"}, got)
	require.ErrorContains(t, Follow(context.Background(), "/no/where", nil, nil), "follow the trace")
	require.NoError(t, l.Close())
}

func FuzzRead(f *testing.F) {
	f.Add(`{"state":"ended","tool":"\u001b[31m","args":["\n"],"exit_code":null}` + "\n")
	f.Add(`{"args":null,"stdin_bytes":-1}` + "\n{\n")
	path := filepath.Join(f.TempDir(), "x.jsonl")
	f.Fuzz(func(t *testing.T, data string) {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		records, notices, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		Workspace(path)
		for _, r := range Calls(records, false) {
			text := strings.Join(append(append(r.Args, notices...), r.ID, r.Session, r.Tool, r.Kind, r.Cwd, r.Code, r.Reason, r.Signal, string(r.State)), "")
			if strings.ContainsAny(text, "\x1b\n\r\t\x00") {
				t.Fatalf("%+v", r)
			}
		}
	})
}
