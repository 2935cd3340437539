package samehost

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadAndParse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	w, err := Read(dir, file)
	require.NoError(t, err)
	again, err := Parse(w.String())
	require.NoError(t, err)
	require.Equal(t, w, again)
	if runtime.GOOS == "linux" {
		require.True(t, w.SameKernel(again))
		require.NotEqual(t, w.Files[0], w.Files[1])
	}
	_, err = Read(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	for _, bad := range []string{"", "boot", "file 1 2\nboot x"} {
		_, err := Parse(bad)
		require.Error(t, err, bad)
	}
}

func TestSameKernel(t *testing.T) {
	require.True(t, Where{Boot: "a"}.SameKernel(Where{Boot: "a"}))
	require.False(t, Where{Boot: "a"}.SameKernel(Where{Boot: "b"}))
	require.False(t, Where{}.SameKernel(Where{}), "a kernel that tells no boot is not known to be the same")
}
