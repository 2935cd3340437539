//go:build unix

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPaneLogIsBounded: a pane writes without end, and so does what it starts, which has the
// same streams. The file has the beginning and the end of it.
func TestPaneLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("==== pane 1\n"), 0o600))
	a := &app{}
	end, err := a.keepLog(path)
	require.NoError(t, err)
	_, err = a.streams.Err.WriteString("begun\n")
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), "sh", "-c", "yes 0123456 | head -c 50000000; echo ended >&2")
	c.Stdout, c.Stderr = a.streams.Out, a.streams.Err
	require.NoError(t, c.Run())
	end()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Less(t, len(got), 10<<20)
	require.True(t, strings.HasPrefix(string(got), "==== pane 1\nbegun\n0123456\n"))
	require.Contains(t, string(got), " bytes left out ...]\n")
	require.True(t, strings.HasSuffix(string(got), "0123456\nended\n"))
}
