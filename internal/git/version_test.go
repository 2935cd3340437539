//go:build unix

package git

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNewEnough(t *testing.T) {
	for line, want := range map[string]bool{
		"git version 2.38.0":                   true,
		"git version 2.39.5 (Apple Git-154)":   true,
		"git version 2.47.1.windows.2":         true,
		"git version 3.0.0":                    true,
		"git version 2.50.rc0":                 true,
		"git version 2.37.9":                   false,
		"git version 1.99.0":                   false,
		"git version 2":                        false,
		"git version two.three":                false,
		"git version ":                         false,
		"":                                     false,
		"hub version 2.40.0\ngit version 2.40": false,
	} {
		require.Equal(t, want, newEnough(line), line)
	}
}

func TestOldGit(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/git", []byte("#!/bin/sh\necho git version 2.20.1\n"), 0o755))
	t.Setenv("PATH", dir)
	_, err := Open(context.Background(), dir)
	var old *VersionError
	require.ErrorAs(t, err, &old)
	require.Contains(t, old.Error(), "2.38")
	require.NotEmpty(t, old.Hint())
}
