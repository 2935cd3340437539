//go:build linux

package gendocs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/gendocs"
)

// TestInstall puts the program and all that belongs to it below DESTDIR and PREFIX, and takes all of it
// away again.
func TestInstall(t *testing.T) {
	if _, err := os.Stat(filepath.Join(repository, "bin", "aifo-coder")); err != nil {
		t.Skip("make build has not been run: ", err)
	}
	dest := filepath.Join(t.TempDir(), "a b")
	run := func(target string) {
		t.Helper()
		// The program is there: to build it once more is not this test's.
		out, err := exec.Command("make", "-C", repository, "-o", "build", target, "PREFIX=/opt/x", "DESTDIR="+dest).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("install")
	files, err := gendocs.Files(repository)
	require.NoError(t, err)
	for name := range files {
		if filepath.Dir(name) == gendocs.ManDir {
			require.FileExists(t, filepath.Join(dest, "opt/x/share/man/man1", filepath.Base(name)))
		}
	}
	for _, name := range []string{
		"bin/aifo-coder", "share/bash-completion/completions/aifo-coder", "share/zsh/site-functions/_aifo-coder",
		"share/fish/vendor_completions.d/aifo-coder.fish",
	} {
		info, err := os.Stat(filepath.Join(dest, "opt/x", name))
		require.NoError(t, err)
		require.Positive(t, info.Size(), name)
	}
	run("uninstall")
	require.NoError(t, filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left: %s", path)
		}
		return err
	}))
}
