package cutlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// numbered returns lines from first on, of more than size bytes.
func numbered(first, size int) []byte {
	var b bytes.Buffer
	for i := first; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %0994d\n", i)
	}
	return b.Bytes()
}

// lineSize is how long they are, in bytes.
const lineSize = 1000

// TestBeginningAndEndAreKept: whatever comes, and in whatever pieces, also of a log that is
// there already.
func TestBeginningAndEndAreKept(t *testing.T) {
	for _, size := range []int{0, 100, maxSize, maxSize + 1, 14 << 20} {
		for _, piece := range []int{32<<10 + 7, 20 << 20} {
			path := filepath.Join(t.TempDir(), "log")
			all := numbered(0, size)
			for rest := all; len(rest) > 0; {
				half := max(len(rest)/2, 1)
				write(t, path, rest[:half], piece)
				rest = rest[half:]
			}
			requireKept(t, path, all)
		}
	}
}

func write(t *testing.T, path string, data []byte, piece int) {
	t.Helper()
	f, err := Open(path)
	require.NoError(t, err)
	for len(data) > 0 {
		n, err := f.Write(data[:min(piece, len(data))])
		require.NoError(t, err)
		data = data[n:]
	}
	require.NoError(t, f.Close())
}

func requireKept(t *testing.T, path string, all []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if len(all) == 0 {
		require.ErrorIs(t, err, os.ErrNotExist)
		return
	}
	require.NoError(t, err)
	require.LessOrEqual(t, len(got), maxSize)
	if len(all) <= maxSize {
		require.True(t, bytes.Equal(all, got))
		return
	}
	left := int64(len(all)) - int64(len(got)) + markSize
	want := append(append(bytes.Clone(all[:headSize]), mark(left)...), all[headSize+left:]...)
	require.True(t, bytes.Equal(want, got))
	require.GreaterOrEqual(t, len(got), headSize+tailSize)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing else stays")
}

// follow reads what there is from f on, as internal/logs does.
func follow(t *testing.T, path string, f *os.File, to io.Writer) *os.File {
	t.Helper()
	for {
		_, err := io.Copy(to, f)
		require.NoError(t, err)
		next, err := Current(path, f)
		require.NoError(t, err)
		if next == f {
			return f
		}
		f = next
	}
}

// TestReadersMissNothing: a reader that looks often enough gets every byte once, over many cuts.
func TestReadersMissNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w, err := Open(path)
	require.NoError(t, err)
	f, err := os.Open(path)
	require.NoError(t, err)
	all := numbered(0, 20<<20)
	var got bytes.Buffer
	for rest := all; len(rest) > 0; {
		n := min(1<<20+11, len(rest))
		_, err := w.Write(rest[:n])
		require.NoError(t, err)
		rest = rest[n:]
		f = follow(t, path, f, &got)
	}
	require.NoError(t, f.Close())
	require.NoError(t, w.Close())
	require.True(t, bytes.Equal(all, got.Bytes()))
}

// TestSlowReadersAreTold: one that looks too seldom gets the line in place of what it has
// missed, and then every byte again.
func TestSlowReadersAreTold(t *testing.T) {
	for _, before := range []int{100 * lineSize, 2000 * lineSize} {
		path := filepath.Join(t.TempDir(), "log")
		w, err := Open(path)
		require.NoError(t, err)
		all := numbered(0, 24<<20)
		_, err = w.Write(all[:before])
		require.NoError(t, err)
		f, err := os.Open(path)
		require.NoError(t, err)
		var got bytes.Buffer
		f = follow(t, path, f, &got)
		require.Equal(t, before, got.Len())
		_, err = w.Write(all[before:])
		require.NoError(t, err)
		f = follow(t, path, f, &got)
		_, err = w.Write([]byte("last\n"))
		require.NoError(t, err)
		f = follow(t, path, f, &got)
		require.NoError(t, f.Close())
		require.NoError(t, w.Close())
		require.True(t, bytes.Equal(all[:before], got.Bytes()[:before]))
		_, end, found := strings.Cut(got.String(), " bytes left out ...]\n")
		require.True(t, found)
		require.True(t, strings.HasSuffix(string(all)+"last\n", end))
		require.Greater(t, len(end), tailSize)
	}
}

// TestForgedLine: what looks like our line, and is the program's, leads nobody astray.
func TestForgedLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, append(bytes.Repeat([]byte("x"), headSize), mark(999999999999999)...), 1<<20)
	write(t, path, numbered(0, 10<<20), 1<<20)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	write(t, path, numbered(0, 10<<20), 1<<20)
	var got bytes.Buffer
	_ = follow(t, path, f, &got)
	require.NotZero(t, got.Len())
}

// TestFailuresEndNothing: the writer goes on, the log is tried again, and Close tells.
func TestFailuresEndNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	f, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(path+".new", 0o700))
	data := numbered(0, 10<<20)
	n, err := f.Write(data)
	require.NoError(t, err)
	require.Equal(t, len(data), n)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, maxSize, info.Size(), "it does not grow")
	require.NoError(t, os.Remove(path+".new"))
	time.Sleep(retryPause)
	_, err = f.Write([]byte("again\n"))
	require.NoError(t, err)
	require.ErrorContains(t, f.Close(), "write the log: cut the log: ")
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(got, []byte("again\n")))
	_, err = Open(dir)
	require.ErrorContains(t, err, "open the log")
}
