//go:build unix

package unixsock

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDialWaits: for a socket that is to come, and for nothing else.
func TestDialWaits(t *testing.T) {
	dir := privateDir(t)
	name := filepath.Join(dir, "x.sock")
	dialed := make(chan error, 1)
	go func() {
		c, err := Dial(name, time.Minute)
		if err == nil {
			err = c.Close()
		}
		dialed <- err
	}()
	select {
	case err := <-dialed:
		t.Fatalf("connected to nothing: %v", err)
	case <-time.After(5 * lookPause):
	}
	// It must not be seen before it listens.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "draft"), Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, os.Rename(filepath.Join(dir, "draft"), name))
	require.NoError(t, <-dialed)

	require.NoError(t, l.Close())
	_, err = Dial(name, time.Minute)
	require.ErrorContains(t, err, "refused", "it is there no more")
	_, err = Dial(filepath.Join(dir, "none", "x.sock"), time.Minute)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Dial(filepath.Join(dir, "y.sock"), 3*lookPause)
	require.ErrorIs(t, err, os.ErrNotExist)
}
