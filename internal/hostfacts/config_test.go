//go:build unix

package hostfacts_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

func TestConfigDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_CONFIG_HOME", "AIFO_CONFIG_HOST_DIR", "AIFO_CODER_CONFIG_HOST_DIR"} {
		t.Setenv(name, "")
	}
	require.Equal(t, filepath.Join(home, ".config", "aifo-coder"), read(t, "").ConfigDir)
	t.Setenv("XDG_CONFIG_HOME", "/x")
	require.Equal(t, "/x/aifo-coder", read(t, "").ConfigDir)
	require.Equal(t, "/x", read(t, "").ConfigHome)
	t.Setenv("AIFO_CONFIG_HOST_DIR", "/y")
	require.Equal(t, "/y", read(t, "").ConfigDir)
	t.Setenv("AIFO_CODER_CONFIG_HOST_DIR", "/z")
	require.Equal(t, "/z", read(t, "").ConfigDir)
	t.Setenv("AIFO_CODER_CONFIG_HOST_DIR", "relative")
	_, err := hostfacts.Host(t.Context(), "")
	require.ErrorContains(t, err, "AIFO_CODER_CONFIG_HOST_DIR")
}

func TestReadFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	file := filepath.Join(dir, "file")
	link := filepath.Join(dir, "link")
	large := filepath.Join(dir, "large")
	odd := filepath.Join(dir, "odd\n")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(odd, []byte("x"), 0o600))
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, os.WriteFile(large, bytes.Repeat([]byte("x"), 256<<10+1), 0o600))
	var f hostfacts.Facts
	f.ReadFiles([]string{file, link, large, odd, dir, filepath.Join(dir, "none")})
	require.Equal(t, map[string]string{file: file, link: file}, f.Files)
	require.Len(t, f.Warnings, 3)
	require.True(t, strings.Contains(f.Warnings[0], large), f.Warnings)
}
