package egress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func openLog(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := OpenLog(dir, "s1234567")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	l.repeat = time.Hour // the tests say when
	return l
}

func readLog(t *testing.T, l *Log) []Entry {
	t.Helper()
	entries, err := ReadLog(l.file.Name())
	require.NoError(t, err)
	return entries
}

func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "network")
	l := openLog(t, dir)
	name := l.file.Name()
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
	name := l.file.Name()
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
	name := l.file.Name()
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
	require.Less(t, l.size, int64(1500))
	for key := range l.refusals {
		require.Less(t, len(key.method)+len(key.host), 300)
	}
}

// TestLogOnAFullDisk: a container that fills the disk, and frees it again, is written
// down from then on, and what is missing is counted.
func TestLogOnAFullDisk(t *testing.T) {
	l := openLog(t, t.TempDir())
	name, file := l.file.Name(), l.file
	l.Record(Entry{Host: "before.example"})
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no full device: ", err)
	}
	defer full.Close()
	_, err = file.WriteString(`{"host":"half`) // of a line, which is what fitted
	require.NoError(t, err)
	l.file = full
	l.Record(Entry{Host: "evil.example"})
	l.Record(Entry{Host: "good.example", Allowed: true})
	l.file = file
	l.Record(Entry{Host: "after.example"})
	require.ErrorIs(t, l.Close(), syscall.ENOSPC)
	entries, err := ReadLog(name)
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, "after.example", entries[1].Host)
	require.Equal(t, "2 entries found no room, 1 of them refused", entries[2].Reason)
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

func TestOpenLogRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, session := range []string{"", ".", "..", "../x", "a/b", `a\b`} {
		_, err := OpenLog(dir, session)
		require.Error(t, err, session)
	}
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := OpenLog(file, "s1234567")
	require.ErrorContains(t, err, "open the network log")
}

func TestOldLogsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for i := range maxLogs + 10 {
		name := filepath.Join(dir, fmt.Sprintf("s%03d.jsonl", i))
		require.NoError(t, os.WriteFile(name, []byte("{}\n"), 0o600))
		then := time.Now().Add(time.Duration(i-1000) * time.Hour)
		require.NoError(t, os.Chtimes(name, then, then))
	}
	other := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	openLog(t, dir).Record(Entry{Allowed: true})
	logs, err := Logs(dir)
	require.NoError(t, err)
	require.Len(t, logs, maxLogs)
	require.Equal(t, "s1234567", logs[0].Session)
	require.Equal(t, "s059", logs[1].Session)
	require.Equal(t, "s011", logs[maxLogs-1].Session)
	require.FileExists(t, other)
	none, err := Logs(filepath.Join(dir, "none"))
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestFollow reads on while lines come, one of them in two parts.
func TestFollow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.jsonl")
	file, err := os.Create(name)
	require.NoError(t, err)
	defer file.Close()
	put := func(s string) {
		_, err := file.WriteString(s)
		require.NoError(t, err)
	}
	put(`{"host":"one"}` + "\nno entry\n")
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err = Follow(ctx, name, func(e Entry) error {
		switch got = append(got, e.Host); e.Host {
		case "one":
			put(`{"host":"tw`)
			time.AfterFunc(3*followTime/2, func() { put(`o\u001b"}` + "\n" + `{"host":"three"}` + "\n") })
		case "three":
			cancel()
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two?", "three"}, got)
	gone := errors.New("gone")
	require.ErrorIs(t, Follow(t.Context(), name, func(Entry) error { return gone }), gone)
	require.ErrorContains(t, Follow(t.Context(), name+"x", nil), "no such file")
}

func FuzzReadLog(f *testing.F) {
	f.Add(`{"host":"\u001b[31m","port":-1,"time":"2026-11-29T09:00:00Z"}` + "\n")
	f.Add("{\n}\n[]\nnull\n")
	f.Fuzz(func(t *testing.T, data string) {
		whole, err := parseEntries([]byte(data), func(e Entry) error {
			if strings.ContainsAny(e.Host+e.Reason+e.Rule+e.Container+e.Method+e.Session+e.Code, "\x1b\n\r\t\x00") {
				t.Fatalf("%+v", e)
			}
			return nil
		})
		if err != nil || whole > len(data) || strings.Contains(data[whole:], "\n") {
			t.Fatalf("%d of %q, %v", whole, data, err)
		}
	})
}
