//go:build linux

package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNotification: what an agent calls by the shims runs on the host, as the user's file
// says and no repository's.
func TestNotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bin := filepath.Join(w.dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "say"), []byte("#!/bin/sh\necho \"told $*\"; pwd; exit 7\n"), 0o755))
	conf := fmt.Sprintf("notifications-command: [%s/say, '{args}']\n", bin)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "home/.aider.conf.yml"), []byte(conf), 0o600))
	evil := "notifications-command: [/usr/bin/touch, " + filepath.Join(w.dir, "evil") + "]\n"
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "src/.aider.conf.yml"), []byte(evil), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "src/.env"), []byte("AIFO_NOTIFICATIONS_CONFIG="+filepath.Join(w.dir, "src/.aider.conf.yml")+"\n"), 0o600))

	env := append(blockAt("run aifo-coder-shell"), "AIFO_CODER_FORK_SESSION=x", "AIFO_NOTIFICATIONS_UNSAFE_ALLOWLIST=1", "AIFO_NOTIFICATIONS_SAFE_DIRS="+bin)
	r := w.start("", env, "--toolchain", "rust", "--toolchain-unix-socket", "shell")
	r.blocked()
	token := w.agentVariable("aifo-coder-shell-x", "AIFO_TOOLEEXEC_TOKEN")
	shim := func(name string, args ...string) (output string, code int) {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(w.dir, "cache/aifo-coder/shims/*", name))
		require.NoError(t, err)
		require.Len(t, paths, 1)
		cmd := exec.Command(paths[0], args...)
		cmd.Env = []string{
			"AIFO_TOOLEEXEC_URL=unix://" + filepath.Join(w.dir, "run/aifo-coder/aifo-x/agent/toolexec.sock"),
			"AIFO_TOOLEEXEC_TOKEN=" + token,
		}
		cmd.Dir = "/"
		data, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil {
			require.ErrorAs(t, err, &exit)
		}
		return string(data), cmd.ProcessState.ExitCode()
	}
	output, code := shim("say", "hello there")
	require.Equal(t, "told hello there\n/\n", output)
	require.Equal(t, 7, code)
	output, code = shim("notifications-cmd", "done")
	require.Equal(t, "told done\n/\n", output)
	require.Equal(t, 7, code)
	output, code = shim("say", "-o", "x")
	require.Contains(t, output, "may not begin with a hyphen")
	require.Equal(t, 86, code)
	require.NoFileExists(t, filepath.Join(w.dir, "evil"))
	r.signal(syscall.SIGTERM)
	r.ends(143)
}

// agentVariable returns a variable of the docker command that runs the container.
func (w *world) agentVariable(container, name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "docker/containers", container))
	require.NoError(w.t, err)
	var o object
	require.NoError(w.t, json.Unmarshal(data, &o))
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", o.PID))
	require.NoError(w.t, err)
	return environValue(environ, name)
}
