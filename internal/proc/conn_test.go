//go:build unix

package proc_test

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

func TestConnectBothWays(t *testing.T) {
	c, err := proc.Connect(proc.Cmd{Argv: []string{"cat"}, Detached: true})
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "hello")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

// TestConnectReadsToTheEnd: what the program wrote before its end arrives, then
// how it ended.
func TestConnectReadsToTheEnd(t *testing.T) {
	c, err := proc.Connect(sh("echo last; echo reason >&2; exit 3"))
	require.NoError(t, err)
	defer c.Close()
	require.Error(t, c.Wait())
	got, err := io.ReadAll(c)
	require.Equal(t, "last\n", string(got))
	var exit *proc.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 3, exit.Code)
	require.EqualError(t, err, "reason")

	c, err = proc.Connect(sh("echo well"))
	require.NoError(t, err)
	defer c.Close()
	got, err = io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "well\n", string(got))
}

// TestConnectClose: Close ends the program and what it started, a stubborn one
// too, and a Read that waits.
func TestConnectClose(t *testing.T) {
	for _, trap := range []string{"", "trap '' TERM; "} {
		c, err := proc.Connect(sh(trap + `sh -c '` + trap + `echo $$; while :; do sleep 1; done' & wait; wait`))
		require.NoError(t, err)
		var line strings.Builder
		_, err = io.CopyN(&line, c, 2)
		require.NoError(t, err)
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c)
			read <- err
		}()
		start := time.Now()
		require.NoError(t, c.Close())
		require.NoError(t, c.Close(), "twice is once")
		require.Less(t, time.Since(start), bound)
		require.Error(t, <-read)
		require.Error(t, c.Wait())
	}
}

func TestConnectCannotStart(t *testing.T) {
	var notFound *proc.NotFoundError
	_, err := proc.Connect(proc.Cmd{Argv: []string{"aifo-no-such-program"}})
	require.ErrorAs(t, err, &notFound)
	_, err = proc.Connect(proc.Cmd{Argv: []string{"cat"}, Dir: "/no/such/directory"})
	require.ErrorIs(t, err, syscall.ENOENT)
}
