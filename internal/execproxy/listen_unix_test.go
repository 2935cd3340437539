//go:build unix

package execproxy

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// privateDir is a private directory with a short path, which t.TempDir has not.
func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aifo") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenUnix(t *testing.T) {
	dir := privateDir(t)
	l, err := ListenUnix(dir)
	require.NoError(t, err)
	path := filepath.Join(dir, "toolexec.sock")
	fi, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o600, fi.Mode())

	p := New(testConfig(exit(6, "")))
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	assert.Equal(t, result{code: 6}, upgradeOn(t, c, form("cargo")).rest())
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, <-done)
	assert.NoFileExists(t, path)
}

func TestListenUnixRefusesOpenDirectories(t *testing.T) {
	dir := privateDir(t)
	file, link, open := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "open")
	require.NoError(t, os.WriteFile(file, nil, 0o700))
	require.NoError(t, os.Symlink(dir, link))
	require.NoError(t, os.Mkdir(open, 0o700))
	require.NoError(t, os.Chmod(open, 0o750))
	for _, tt := range []struct{ dir, want string }{
		{file, "not a directory"}, {link, "not a directory"}, {open, "mode is -rwxr-x---, want 0700"},
		{filepath.Join(dir, "none"), "no such file"}, {filepath.Join(dir, strings.Repeat("x", 110)), "are possible"},
	} {
		_, err := ListenUnix(tt.dir)
		assert.ErrorContains(t, err, tt.want)
	}
}

// TestListenUnixInUse: another proxy's socket is not taken away.
func TestListenUnixInUse(t *testing.T) {
	dir := privateDir(t)
	l, err := ListenUnix(dir)
	require.NoError(t, err)
	defer l.Close()
	_, err = ListenUnix(dir)
	assert.ErrorContains(t, err, "in use")
}
