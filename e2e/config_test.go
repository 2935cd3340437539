//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConfigurationOfTheHost has opencode tell what it is configured to: by the
// user's own file, then by the one for aifo-coder.
func TestConfigurationOfTheHost(t *testing.T) {
	c := ordinary(t)
	write := func(name, user string) {
		t.Helper()
		path := filepath.Join(c.home, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(`{"username": "`+user+`"}`), 0o600))
		c.own(c.home)
	}
	configured := func() string {
		t.Helper()
		r := c.run("", "opencode", "--", "debug", "config")
		require.Equal(t, 0, r.code)
		var config struct{ Username string }
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &config))
		return config.Username
	}
	write(".config/opencode/opencode.json", "own")
	require.Equal(t, "own", configured())
	write(".config/aifo-coder/opencode/opencode.json", "for aifo-coder")
	require.Equal(t, "for aifo-coder", configured())
	c.env = append(c.env, "AIFO_CONFIG_ENABLE=0")
	require.Equal(t, "for aifo-coder", configured(), "the copy of the last session is the agent's")
	c.requireOwned(c.home)
}
