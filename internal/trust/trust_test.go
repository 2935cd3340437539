package trust_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/trust"
)

const limit = 64 << 10

func TestReadRepository(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("plain", "a: b\n")
	data, err := trust.ReadRepository(dir, "plain", limit)
	require.NoError(t, err)
	assert.Equal(t, "a: b\n", string(data))
	write("full", strings.Repeat("x", limit))
	_, err = trust.ReadRepository(dir, "full", limit)
	require.NoError(t, err)

	_, err = trust.ReadRepository(dir, "none", limit)
	require.ErrorIs(t, err, fs.ErrNotExist)

	require.NoError(t, os.Symlink("plain", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "zero")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755))
	require.NoError(t, exec.Command("mkfifo", filepath.Join(dir, "fifo")).Run())
	write("long", strings.Repeat("x", limit+1))
	write("binary", "a: \xff\n")
	for name, want := range map[string]string{
		"link": "it is a link", "dangling": "it is a link", "zero": "it is a link", "dir": "not a regular file",
		"fifo": "not a regular file", "long": "more than 64 KiB", "binary": "not UTF-8",
	} {
		done := make(chan error, 1)
		go func() {
			_, err := trust.ReadRepository(dir, name, limit)
			done <- err
		}()
		select {
		case err := <-done:
			require.ErrorContains(t, err, want, name)
			assert.True(t, trust.IsUnfit(err), name)
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is waited for", name)
		}
	}
}

func TestReadOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	_, err := trust.ReadOwn(path, limit)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
	link := path + ".link"
	require.NoError(t, os.Symlink(path, link))
	data, err := trust.ReadOwn(link, limit)
	require.NoError(t, err)
	assert.Equal(t, "x", string(data))
	for _, mode := range []os.FileMode{0o664, 0o646, 0o622} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = trust.ReadOwn(link, limit)
		require.ErrorContains(t, err, "others than you can write it", mode)
	}
	if os.Getuid() == 0 {
		require.NoError(t, os.Chmod(path, 0o600))
		require.NoError(t, os.Chown(path, 12345, 0))
		_, err = trust.ReadOwn(path, limit)
		require.ErrorContains(t, err, "belongs to somebody else")
	}
}

func subject(content string) trust.Subject {
	return trust.Subject{Workspace: "/w", File: ".env", Content: []byte(content)}
}

func allowed(t *testing.T, s trust.Store, subject trust.Subject) bool {
	t.Helper()
	ok, err := s.Allowed(subject)
	require.NoError(t, err)
	return ok
}

func TestStore(t *testing.T) {
	s := trust.NewStore(filepath.Join(t.TempDir(), "state"))
	assert.False(t, allowed(t, s, subject("a")), "nothing is allowed at first")
	require.NoError(t, s.Allow(time.Now(), subject("a")))
	assert.True(t, allowed(t, s, subject("a")))
	for _, other := range []trust.Subject{
		subject("b"), subject("a\n"), subject(""), subject("A"),
		{Workspace: "/w2", File: ".env", Content: []byte("a")},
		{Workspace: "/w", File: ".aifo-coder.yaml", Content: []byte("a")},
		{Workspace: "/w.e", File: "nv", Content: []byte("a")},
		{Workspace: "/w", File: ".en", Content: []byte("va")},
	} {
		assert.False(t, allowed(t, s, other), "%+v", other)
	}
	info, err := os.Stat(s.Path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, s.Allow(time.Now(), subject("b"), trust.Subject{Workspace: "/w2", File: ".env", Content: []byte("a")}))
	assert.True(t, allowed(t, s, subject("a")), "an earlier content stays allowed")
	revoked, err := s.Revoke("/w")
	require.NoError(t, err)
	assert.Len(t, revoked, 2)
	assert.False(t, allowed(t, s, subject("a")))
	list, err := s.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "/w2", list[0].Workspace)
}

func TestStoreIsBounded(t *testing.T) {
	s := trust.NewStore(t.TempDir())
	var all []trust.Subject
	for i := range 40 {
		all = append(all, subject(strings.Repeat("x", i)))
	}
	require.NoError(t, s.Allow(time.Now(), all...))
	list, err := s.List()
	require.NoError(t, err)
	assert.Len(t, list, 32)
	assert.False(t, allowed(t, s, all[0]), "the oldest goes first")
	assert.True(t, allowed(t, s, all[39]))
}

// TestConcurrentWriters: each of them counts, and a reader never meets half a file.
func TestConcurrentWriters(t *testing.T) {
	s := trust.NewStore(filepath.Join(t.TempDir(), "state"))
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			assert.NoError(t, s.Allow(time.Now(), trust.Subject{Workspace: "/w" + strings.Repeat("x", i), File: "f"}))
			_, err := s.List()
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	list, err := s.List()
	require.NoError(t, err)
	assert.Len(t, list, 16)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(s.Path), ".trust-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestDamagedStore(t *testing.T) {
	for text, want := range map[string]string{
		"{":                          "unexpected end",
		`{"version":2,"allowed":[]}`: "version 2",
		"":                           "unexpected end",
	} {
		s := trust.NewStore(t.TempDir())
		require.NoError(t, os.WriteFile(s.Path, []byte(text), 0o600))
		ok, err := s.Allowed(subject("a"))
		assert.False(t, ok)
		var damaged *trust.DamagedError
		require.ErrorAs(t, err, &damaged)
		assert.Contains(t, err.Error(), want)
		require.Error(t, s.Allow(time.Now(), subject("a")), "what is not understood is not replaced")
	}
	s := trust.NewStore(t.TempDir())
	require.NoError(t, s.Allow(time.Now(), subject("a")))
	require.NoError(t, os.Chmod(s.Path, 0o666))
	ok, err := s.Allowed(subject("a"))
	assert.False(t, ok, "others could have written it")
	require.Error(t, err)
}
