//go:build linux

package boot

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestConfigFile: the newer of the user's file and the agent's stays.
func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	c := configFile{filepath.Join(dir, "source"), filepath.Join(dir, "home", ".config", "x", "file")}
	write := func(path, text string, minute int) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		at := time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	requireText := func(want string) {
		t.Helper()
		require.NoError(t, c.copy())
		got, err := os.ReadFile(c.Path)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		entries, err := os.ReadDir(filepath.Dir(c.Path))
		require.NoError(t, err)
		require.Len(t, entries, 1, "nothing else is left there")
	}
	require.Error(t, c.copy())
	write(c.Source, "first", 1)
	requireText("first")
	write(c.Path, "the agent's", 2)
	requireText("the agent's")
	write(c.Source, "second", 3)
	requireText("second")

	// A link that the agent left is replaced, not followed.
	other := filepath.Join(dir, "other")
	write(other, "untouched", 1)
	require.NoError(t, os.Remove(c.Path))
	require.NoError(t, os.Symlink(other, c.Path))
	write(c.Source, "third", 59)
	at := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(c.Source, at, at))
	requireText("third")
	text, err := os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, "untouched", string(text))

	info, err := os.Stat(c.Path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it may hold a key")
}

func TestParseConfig(t *testing.T) {
	o, err := parse([]string{"--user", "1:1", "--config", "/a/b:/c/d", "--stay"})
	require.NoError(t, err)
	require.Equal(t, []configFile{{"/a/b", "/c/d"}}, o.Config)
	for _, bad := range []string{"", "/a", "a:/b", "/a:b"} {
		_, err := parse([]string{"--user", "1:1", "--config", bad, "--stay"})
		require.Error(t, err, bad)
	}
}
