package gendocs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/gendocs"
)

const repository = "../.."

// TestDocumentsAreCurrent: what is in the repository is what the program makes now.
func TestDocumentsAreCurrent(t *testing.T) {
	files, err := gendocs.Files(repository)
	require.NoError(t, err)
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Errorf("%v\nrun: make docs", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is out of date; run: make docs\n%s", name, diff)
		}
	}
	stale, err := gendocs.Stale(repository, files)
	require.NoError(t, err)
	require.Empty(t, stale, "pages of no command; run: make docs")
}
