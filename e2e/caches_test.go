//go:build linux

package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCachesInUse: the caches of a session that runs stay. Only previews are
// made, for the caches are those of whoever runs the tests.
func TestCachesInUse(t *testing.T) {
	c := self(t)
	s := c.start("--toolchain", "python", "shell", "--", "bash", "-c", "python --version; echo READY; cat")
	r := c.run("", "toolchain-cache-clear", "--dry-run", "--json")
	require.Equal(t, 1, r.code)
	var rows []struct {
		Volume, Size string
		UsedBy       []string `json:"used_by"`
		Removed      bool
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &rows))
	id := docker(t, "container", "inspect", "--format", `{{index .Config.Labels "dev.aifo-coder.session"}}`, c.containers("label=dev.aifo-coder.kind=python")[0])
	found := false
	for _, row := range rows {
		require.False(t, row.Removed)
		if row.Volume == "aifo-pip-cache" {
			found = true
			require.Contains(t, row.UsedBy, id)
			require.Regexp(t, `^[0-9.]+k?[A-Z]?B$`, row.Size)
		}
	}
	require.True(t, found)
	require.Contains(t, r.stderr, id)

	forced := c.run("", "toolchain-cache-clear", "--dry-run", "--force")
	require.Contains(t, forced.stdout, "docker rm --force --volumes ")
	require.Contains(t, forced.stdout, "docker volume rm aifo-pip-cache\n")
	require.NoError(t, s.in.Close())
	require.Equal(t, 0, s.end(t))
}

// TestNoCacheLeavesNoTrace: no volume, with or without a name, and nothing of the
// tool's in the workspace.
func TestNoCacheLeavesNoTrace(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		s := c.start("--no-toolchain-cache", "--toolchain", "python", "--toolchain", "go", "shell", "--", "bash", "-c",
			"python -c 'import sys' && go env GOPATH && echo READY && cat")
		for _, id := range c.containers() {
			require.NotContains(t, docker(t, "container", "inspect", "--format", "{{json .Mounts}}", id), `"volume"`)
		}
		require.NoError(t, s.in.Close())
		require.Equal(t, 0, s.end(t))
	})
}
