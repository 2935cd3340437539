//go:build unix

package foreign_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
)

func TestRemove(t *testing.T) {
	f := newFixture(t)
	outside := filepath.Join(t.TempDir(), "outside")
	gittest.Write(t, filepath.Join(outside, "file"), "x")
	require.NoError(t, os.Symlink(outside, filepath.Join(f.pane, "link")))
	gittest.Write(t, filepath.Join(f.pane, "d/e/f"), "x")
	require.NoError(t, os.Chmod(filepath.Join(f.pane, "d/e"), 0))
	require.NoError(t, os.Chmod(filepath.Join(f.pane, "d"), 0o500))
	session := filepath.Dir(f.pane)
	gittest.Write(t, filepath.Join(session, ".removing-1-old/x"), "half of it")
	gittest.Write(t, filepath.Join(session, ".removing-10-old/x"), "another's")
	gittest.Write(t, filepath.Join(session, "pane-10/x"), "another")
	require.NoError(t, foreign.Remove(f.root, f.pane, nil))
	entries, err := os.ReadDir(session)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.FileExists(t, filepath.Join(session, ".removing-10-old/x"))
	require.FileExists(t, filepath.Join(session, "pane-10/x"))
	require.FileExists(t, filepath.Join(outside, "file"))
	require.NoError(t, foreign.Remove(f.root, f.pane, nil), "twice is once")
	require.NoError(t, os.RemoveAll(session))
	require.NoError(t, foreign.Remove(f.root, f.pane, nil))
}

func TestRemoveLinks(t *testing.T) {
	f := newFixture(t)
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.Rename(f.pane, outside))
	require.NoError(t, os.Symlink(outside, f.pane))
	require.NoError(t, foreign.Remove(f.root, f.pane, nil))
	require.DirExists(t, filepath.Join(outside, ".git"))
	require.NoFileExists(t, f.pane)

	session := filepath.Dir(f.pane)
	require.NoError(t, os.RemoveAll(session))
	require.NoError(t, os.Symlink(filepath.Dir(outside), session))
	var refused *foreign.RefusedError
	require.ErrorAs(t, foreign.Remove(f.root, filepath.Join(session, "outside"), nil), &refused)
	require.ErrorAs(t, foreign.Remove(f.root, filepath.Join(f.root, "..", "x", "y"), nil), &refused)
	require.DirExists(t, filepath.Join(outside, ".git"))
}

// TestRemoveWhileWritten: an agent that still runs makes files.
func TestRemoveWhileWritten(t *testing.T) {
	f := newFixture(t)
	root, err := os.OpenRoot(f.pane)
	require.NoError(t, err)
	defer root.Close()
	made, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = root.MkdirAll(filepath.Join("w", string(rune('a'+i%26)), "x"), 0o755)
			if i == 26 {
				close(made)
			}
		}
	}()
	<-made
	err = foreign.Remove(f.root, f.pane, nil)
	close(stop)
	<-stopped
	require.NoDirExists(t, f.pane, "it is no clone any more")
	if err != nil {
		require.NoError(t, foreign.Remove(f.root, f.pane, nil))
	}
	entries, err := os.ReadDir(filepath.Dir(f.pane))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestRemoveFailingSteps(t *testing.T) {
	for _, at := range []string{"remove: rename the clone", "remove: delete its files"} {
		f := newFixture(t)
		reached := false
		err := foreign.Remove(f.root, f.pane, func(name string) error {
			if name == at {
				reached = true
				return syscall.EIO
			}
			return nil
		})
		require.ErrorIs(t, err, syscall.EIO)
		require.True(t, reached)
		require.NoError(t, foreign.Remove(f.root, f.pane, nil))
		entries, err := os.ReadDir(filepath.Dir(f.pane))
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}
