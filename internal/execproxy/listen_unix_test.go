//go:build unix

package execproxy

import (
	"net"
	"os"
	"path/filepath"
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
