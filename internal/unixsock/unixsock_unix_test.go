//go:build unix

package unixsock

import (
	"io"
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

func TestListen(t *testing.T) {
	dir := privateDir(t)
	l, err := Listen(dir, "x.sock")
	require.NoError(t, err)
	name := filepath.Join(dir, "x.sock")
	fi, err := os.Stat(name)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o600, fi.Mode())

	client, err := net.Dial("unix", name)
	require.NoError(t, err)
	defer client.Close()
	server, err := l.Accept()
	require.NoError(t, err)
	require.IsType(t, &net.UnixConn{}, server, "others pass file descriptors over it")
	_, err = io.WriteString(server, "hello")
	require.NoError(t, err)
	require.NoError(t, server.Close())
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, l.Close())
	assert.NoFileExists(t, name)
}

func TestListenRefusesOpenDirectories(t *testing.T) {
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
		_, err := Listen(tt.dir, "x.sock")
		assert.ErrorContains(t, err, tt.want)
	}
}

// TestListenInUse: another listener's socket is not taken away.
func TestListenInUse(t *testing.T) {
	dir := privateDir(t)
	l, err := Listen(dir, "x.sock")
	require.NoError(t, err)
	defer l.Close()
	_, err = Listen(dir, "x.sock")
	assert.ErrorContains(t, err, "in use")
}
