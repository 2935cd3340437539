package jsonlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// line is an object of these tests' logs.
type line struct {
	Word string `json:"word"`
}

func store(dir string) Store { return Store{Dir: dir, Name: "test log", Keep: 3} }

func words(t *testing.T, path string) []string {
	t.Helper()
	var list []string
	require.NoError(t, Read(path, func(l line) error {
		list = append(list, l.Word)
		return nil
	}))
	return list
}

func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "logs")
	f, err := store(dir).Open("s1234567")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "s1234567.jsonl"), f.Path())
	for path, mode := range map[string]os.FileMode{dir: os.ModeDir | 0o700, f.Path(): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
	}
	require.True(t, f.Append(line{"one"}))
	require.Equal(t, int64(len(`{"word":"one"}`)+1), f.Size())
	require.NoError(t, f.Close())

	again, err := store(dir).Open("s1234567") // the next pane of the same name
	require.NoError(t, err)
	require.Equal(t, int64(15), again.Size())
	require.True(t, again.Append(line{"two"}))
	require.False(t, again.Append(func() {}), "no JSON")
	require.ErrorContains(t, again.Close(), "unsupported type")
	require.Equal(t, []string{"one", "two"}, words(t, again.Path()))
}

func TestEmptyFileIsRemoved(t *testing.T) {
	dir := t.TempDir()
	f, err := store(dir).Open("s1234567")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoFileExists(t, f.Path())
}

// TestFullDisk: a container that fills the disk, and frees it again, is written down from
// then on.
func TestFullDisk(t *testing.T) {
	f, err := store(t.TempDir()).Open("s1234567")
	require.NoError(t, err)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no full device: ", err)
	}
	defer full.Close()
	file := f.file
	require.True(t, f.Append(line{"before"}))
	_, err = file.WriteString(`{"word":"half`) // of a line, which is what fitted
	require.NoError(t, err)
	f.file = full
	require.False(t, f.Append(line{"lost"}))
	f.file = file
	require.True(t, f.Append(line{"after"}))
	require.ErrorIs(t, f.Close(), syscall.ENOSPC)
	require.Equal(t, []string{"before", "after"}, words(t, file.Name()))
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, session := range []string{"", ".", "..", "../x", "a/b", `a\b`} {
		_, err := store(dir).Open(session)
		require.ErrorContains(t, err, "open the test log: ", session)
		require.ErrorContains(t, err, "is not the id of a session", session)
	}
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := store(file).Open("s1234567")
	require.ErrorContains(t, err, "open the test log: ")
}

func TestOldLogsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		name := filepath.Join(dir, fmt.Sprintf("s%03d.jsonl", i))
		require.NoError(t, os.WriteFile(name, []byte("{}\n"), 0o600))
		then := time.Now().Add(time.Duration(i-1000) * time.Hour)
		require.NoError(t, os.Chtimes(name, then, then))
	}
	other := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	f, err := store(dir).Open("s1234567")
	require.NoError(t, err)
	require.True(t, f.Append(line{"new"}))
	require.NoError(t, f.Close())
	logs, err := store(dir).List()
	require.NoError(t, err)
	require.Len(t, logs, 3)
	require.Equal(t, []string{"s1234567", "s009", "s008"}, []string{logs[0].Session, logs[1].Session, logs[2].Session})
	require.FileExists(t, other)
	none, err := store(filepath.Join(dir, "none")).List()
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
	put(`{"word":"one"}` + "\nno object\n")
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err = Follow(ctx, name, nil, func(l line) error {
		switch got = append(got, l.Word); l.Word {
		case "one":
			put(`{"word":"tw`)
			time.AfterFunc(3*followTime/2, func() { put(`o"}` + "\n" + `{"word":"three"}` + "\n") })
		case "three":
			cancel()
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two", "three"}, got)
	gone := errors.New("gone")
	require.ErrorIs(t, Follow(t.Context(), name, nil, func(line) error { return gone }), gone)
	require.ErrorContains(t, Follow(t.Context(), name+"x", nil, func(line) error { return nil }), "no such file")
}

// TestFollowEnds: what is written just before the end is read.
func TestFollowEnds(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.jsonl")
	require.NoError(t, os.WriteFile(name, []byte(`{"word":"one"}`+"\n"), 0o600))
	asked, got := 0, []string{}
	over := func() bool {
		if asked++; asked == 2 {
			require.NoError(t, os.WriteFile(name, []byte(`{"word":"one"}`+"\n"+`{"word":"last"}`+"\n"), 0o600))
		}
		return asked == 2
	}
	require.NoError(t, Follow(t.Context(), name, over, func(l line) error {
		got = append(got, l.Word)
		return nil
	}))
	require.Equal(t, []string{"one", "last"}, got)
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mb\nc\u202ed\xff": "a?[31mb?c?d?",
		"aaaaaaaaaaaaaaaaaaaaa":    "aaaaaaaaaaaaaaaa…",
		"ääääääääääää":             "ääääääää…",
		"":                         "",
	} {
		require.Equal(t, want, Clean(in, 16))
	}
}
