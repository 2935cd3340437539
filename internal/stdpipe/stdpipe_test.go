//go:build linux

package stdpipe

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestEnds: what is written at one end is read at the other, the tool's end
// blocks, and ours does not.
func TestEnds(t *testing.T) {
	for name, open := range map[string]func() (*os.File, int, error){"input": Input, "output": Output} {
		t.Run(name, func(t *testing.T) {
			ours, tool, err := open()
			require.NoError(t, err)
			theirs := os.NewFile(uintptr(tool), "tool")
			defer func() { _, _ = ours.Close(), theirs.Close() }()
			require.Equal(t, 0, flags(t, theirs)&unix.O_NONBLOCK)
			require.NotEqual(t, 0, flags(t, ours)&unix.O_NONBLOCK)
			from, to := theirs, ours
			if name == "output" {
				from, to = ours, theirs
			}
			_, err = to.WriteString("word")
			require.NoError(t, err)
			buf := make([]byte, 8)
			n, err := from.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "word", string(buf[:n]))
		})
	}
}

// flags returns the status flags of the open file.
func flags(t *testing.T, f *os.File) (got int) {
	t.Helper()
	raw, err := f.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { got, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }))
	require.NoError(t, err)
	return got
}
