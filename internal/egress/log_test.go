package egress

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
)

func openLog(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := OpenLog(Logs(dir), "s1234567")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	l.repeat = time.Hour // the tests say when
	return l
}

func readLog(t *testing.T, l *Log) []Entry {
	t.Helper()
	entries, err := ReadLog(l.file.Path())
	require.NoError(t, err)
	return entries
}

func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "network")
	l := openLog(t, dir)
	name := l.file.Path()
	require.Equal(t, filepath.Join(dir, "s1234567.jsonl"), name)
	for path, mode := range map[string]os.FileMode{dir: os.ModeDir | 0o700, name: 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
	}
	e := Entry{Time: time.Unix(1, 2).UTC(), Container: "rust", Method: "CONNECT", Host: "example.org", Port: 443, Allowed: true, Rule: "@crates example.org", Status: 200, Sent: 1, Received: 2, DurationMS: 3}
	l.Record(e)
	e.Session = "s1234567"
	require.Equal(t, []Entry{e}, readLog(t, l))
	require.NoError(t, l.Close())
	l.Record(e) // too late, and no harm
	require.NoError(t, l.Close())

	again := openLog(t, dir) // the next pane of the same name
	again.Record(e)
	require.Equal(t, []Entry{e, e}, readLog(t, again))
}

func TestLogWithoutEntriesIsRemoved(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	require.NoError(t, l.Close())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestLogCountsRepeats(t *testing.T) {
	l := openLog(t, t.TempDir())
	refused := Entry{Container: "agent", Method: "CONNECT", Host: "evil.example", Port: 443, Code: CodePolicy}
	other := refused
	other.Port = 80
	for i := range 100 {
		refused.DurationMS = int64(i)
		l.Record(refused)
	}
	l.Record(other)
	l.Record(other)
	require.Len(t, readLog(t, l), 2, "the first of each is written at once")
	l.mu.Lock()
	l.flush()
	l.mu.Unlock()
	got := readLog(t, l)
	require.Len(t, got, 4)
	require.Equal(t, []any{99, int64(99), 443}, []any{got[2].Count + got[3].Count, got[2].DurationMS + got[3].DurationMS, 443})
	l.Record(refused)
	require.Len(t, readLog(t, l), 5, "and the next one at once again")
	l.Record(refused)
	name := l.file.Path()
	require.NoError(t, l.Close())
	all, err := ReadLog(name)
	require.NoError(t, err)
	require.Len(t, all, 6, "nothing is lost at the end")
}

// TestLogFlushesByItself: who follows a log sees the counts.
func TestLogFlushesByItself(t *testing.T) {
	l := openLog(t, t.TempDir())
	l.repeat = time.Millisecond
	for range 3 {
		l.Record(Entry{Host: "evil.example"})
	}
	require.Eventually(t, func() bool {
		seen := 0
		for _, e := range readLog(t, l) {
			seen += max(1, e.Count)
		}
		return seen == 3
	}, patience, time.Millisecond)
}

// TestLogIsBounded: neither many hosts nor many requests fill a disk, and a flood of what
// is allowed leaves room for what is refused.
func TestLogIsBounded(t *testing.T) {
	l := openLog(t, t.TempDir())
	l.max.all, l.max.allowed = 20000, 10000
	for range 1000 {
		l.Record(Entry{Allowed: true, Host: "example.org"})
	}
	for i := range 3 * maxRepeats {
		l.Record(Entry{Host: fmt.Sprint("evil", i, ".example"), Code: CodePolicy})
		require.LessOrEqual(t, len(l.refusals), maxRepeats)
	}
	name := l.file.Path()
	require.NoError(t, l.Close())
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(21000))
	entries, err := ReadLog(name)
	require.NoError(t, err)
	var allowed, refused, full int
	for _, e := range entries {
		switch {
		case e.Code == CodeLogFull:
			full++
		case e.Allowed:
			allowed++
		default:
			refused++
		}
	}
	require.Equal(t, 2, full)
	require.Greater(t, refused, 20)
	require.Equal(t, fmt.Sprintf("%d entries found no room, %d of them refused", 1000+3*maxRepeats-allowed-refused, 3*maxRepeats-refused), entries[len(entries)-1].Reason)
}

// TestLogTakesNoLongWords: neither the file nor the memory is a container's to fill by a
// few requests, such as those with a method of 60 KB.
func TestLogTakesNoLongWords(t *testing.T) {
	l := openLog(t, t.TempDir())
	long := strings.Repeat("X", 60000)
	l.Record(Entry{Method: long, Host: "good.example", Allowed: true})
	l.Record(Entry{Method: long + "Y", Host: long})
	require.Less(t, l.file.Size(), int64(1500))
	for key := range l.refusals {
		require.Less(t, len(key.method)+len(key.host), 300)
	}
}

func TestLogConcurrently(t *testing.T) {
	l := openLog(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for range 100 {
				l.Record(Entry{Allowed: i%2 == 0, Host: "example.org", Port: i})
			}
		})
	}
	wg.Wait()
	require.Len(t, readLog(t, l), 5*100+5)
}

func FuzzReadLog(f *testing.F) {
	f.Add(`{"host":"\u001b[31m","port":-1,"time":"2026-11-29T09:00:00Z"}` + "\n")
	f.Add("{\n}\n[]\nnull\n")
	f.Fuzz(func(t *testing.T, data string) {
		whole, err := jsonlog.Parse([]byte(data), func(e Entry) error {
			if e = e.clean(); strings.ContainsAny(e.Host+e.Reason+e.Rule+e.Container+e.Method+e.Session+e.Code, "\x1b\n\r\t\x00") {
				t.Fatalf("%+v", e)
			}
			return nil
		})
		if err != nil || whole > len(data) || strings.Contains(data[whole:], "\n") {
			t.Fatalf("%d of %q, %v", whole, data, err)
		}
	})
}
