//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// supportDir gives the sessions of support a place of the test's own for their workspaces, so that
// what they leave can be told from others'.
func (c *caller) supportDir() string {
	dir := filepath.Join(c.home, "tmp")
	require.NoError(c.t, os.Mkdir(dir, 0o700))
	c.setenv("TMPDIR", dir)
	return dir
}

// ofSupport returns the containers and networks whose workspace is below dir.
func ofSupport(t *testing.T, dir string) []string {
	t.Helper()
	const format = `{{.ID}} {{.Label "dev.aifo-coder.workspace"}}`
	var found []string
	for _, noun := range []string{"container", "network"} {
		args := []string{noun, "ls", "--format", format, "--filter", "label=dev.aifo-coder.workspace"}
		if noun == "container" {
			args = append(args, "--all")
		}
		for _, line := range strings.Split(docker(t, args...), "\n") {
			if strings.Contains(line, dir+"/") {
				found = append(found, line)
			}
		}
	}
	return found
}

// TestSupport runs a part of the matrix with real sessions.
func TestSupport(t *testing.T) {
	c := self(t)
	dir := c.supportDir()
	r := c.run("", "--toolchain", "c-cpp", "support", "shell", "--json")
	require.Zero(t, r.code, r.stderr)
	var got struct {
		Cells []struct {
			Agent, Transport, Runs, Output string
			Code                           int
		}
		NotRun []any `json:"not_run"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
	var runs []string
	for _, cell := range got.Cells {
		require.Zero(t, cell.Code)
		runs = append(runs, cell.Transport+" "+cell.Runs+" "+strings.Join(strings.Fields(cell.Output)[:2], " "))
	}
	require.Equal(t, []string{"tcp agent GNU bash,", "tcp c-cpp cmake version", "unix agent GNU bash,", "unix c-cpp cmake version"}, runs)
	require.NotNil(t, got.NotRun)
	require.Empty(t, ofSupport(t, dir))
	require.Empty(t, entries(t, dir))
}

// TestSupportIsInterrupted ends its sessions, which leave nothing.
func TestSupportIsInterrupted(t *testing.T) {
	c := self(t)
	dir := c.supportDir()
	s := c.begin("--toolchain", "c-cpp", "support", "shell")
	eventually(t, func() bool { return len(ofSupport(t, dir)) > 0 }, "a session runs")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	require.Equal(t, 130, s.end(t))
	require.Empty(t, ofSupport(t, dir))
	require.Empty(t, entries(t, dir))
}
