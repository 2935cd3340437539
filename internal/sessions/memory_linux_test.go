package sessions

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGroupMemory(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"memory/docker/abc/memory.usage_in_bytes": "1000\n",
		"memory/docker/abc/memory.stat":           "cache 900\ninactive_file 1\ntotal_inactive_file 300\n",
		"docker-def.scope/memory.current":         "500\n",
		"docker-def.scope/memory.stat":            "anon 1\ninactive_file 100\n",
		"docker-ghi.scope/memory.current":         "max\n",
		"docker-jkl.scope/memory.current":         "500\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	for name, tt := range map[string]struct {
		groups, id string
		want       int64
		known      bool
	}{
		"version 1":            {"3:cpu:/docker/abc\n4:memory:/docker/abc\n", "abc", 700, true},
		"both versions":        {"0::/docker/abc\n4:memory:/docker/abc\n", "abc", 700, true},
		"version 2":            {"0::/docker-def.scope\n", "def", 400, true},
		"without statistics":   {"0::/docker-jkl.scope\n", "jkl", 500, true},
		"another's":            {"0::/docker-def.scope\n", "abc", 0, false},
		"without an id":        {"0::/docker-def.scope\n", "", 0, false},
		"no number":            {"0::/docker-ghi.scope\n", "ghi", 0, false},
		"no group":             {"", "abc", 0, false},
		"a group that is gone": {"4:memory:/docker/xyz\n", "xyz", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, known := groupMemory(root, tt.groups, tt.id)
			require.Equal(t, tt.known, known)
			require.Equal(t, tt.want, got)
		})
	}
}
