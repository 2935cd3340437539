package hostfacts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppArmorLoaded(t *testing.T) {
	dir := t.TempDir()
	list, file := filepath.Join(dir, "profiles"), filepath.Join(dir, "aifo-coder")
	require.False(t, appArmorLoaded(list, file))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.True(t, appArmorLoaded(list, file), "the kernel cannot be asked")
	require.NoError(t, os.WriteFile(list, []byte("docker-default (enforce)\naifo-coder-agent (enforce)\n"), 0o600))
	require.False(t, appArmorLoaded(list, file), "the kernel says no")
	require.NoError(t, os.WriteFile(list, []byte("aifo-coder-sidecar (enforce)\naifo-coder-agent (enforce)\n"), 0o600))
	require.True(t, appArmorLoaded(list, file))
}
