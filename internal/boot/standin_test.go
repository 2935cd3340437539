//go:build linux

package boot

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestStandIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "usr", "bin")
	s := standIn{dir, []string{"python3", "pip"}}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pip"), []byte("the image's own"), 0o755))
	for range 2 { // a restarted container
		require.NoError(t, s.link("/opt/aifo/bin"))
	}
	target, err := os.Readlink(filepath.Join(dir, "python3"))
	require.NoError(t, err)
	require.Equal(t, "/opt/aifo/bin/python3", target)
	own, err := os.ReadFile(filepath.Join(dir, "pip"))
	require.NoError(t, err)
	require.Equal(t, "the image's own", string(own))
	require.NoError(t, standIn{filepath.Join(dir, "new"), []string{"go"}}.link("/opt/aifo/bin"))
	_, err = os.Readlink(filepath.Join(dir, "new", "go"))
	require.NoError(t, err)
}

func TestParseStandIn(t *testing.T) {
	o, err := parse([]string{"--user", "1:1", "--stand-in", "/usr/bin/:a,b", "--stand-in", "/x:g++", "--stay"})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]standIn{{"/usr/bin", []string{"a", "b"}}, {"/x", []string{"g++"}}}, o.StandIns))
	for _, bad := range []string{"", "/usr/bin", "bin:a", "/usr/bin:", "/usr/bin:a,", "/usr/bin:../a", "/usr/bin:a\nb"} {
		_, err := parse([]string{"--user", "1:1", "--stand-in", bad, "--stay"})
		require.Error(t, err, bad)
	}
}
