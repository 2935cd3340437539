//go:build linux

package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// environValue returns a variable of an environment as the kernel gives it.
func environValue(environ []byte, name string) string {
	for kv := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// onTerminal runs aifo-coder on a terminal, where somebody types the answer, and returns what it shows.
func (w *world) onTerminal(answer string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("aifo-coder", args...)
	cmd.Dir = filepath.Join(w.dir, "src")
	cmd.Env = os.Environ()
	for name, value := range environment(w.dir, filepath.Join(w.dir, "docker")) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	terminal, err := pty.Start(cmd)
	require.NoError(w.t, err)
	defer terminal.Close()
	_, err = io.WriteString(terminal, answer+"\n")
	require.NoError(w.t, err)
	shown, _ := io.ReadAll(terminal) // ends with an error of the terminal when the program does
	require.NoError(w.t, cmd.Wait(), "%s", shown)
	return strings.ReplaceAll(string(shown), "\r\n", "\n")
}

// log returns the docker commands that were run.
func (w *world) log() string {
	data, err := os.ReadFile(filepath.Join(w.dir, "docker/log"))
	require.NoError(w.t, err)
	return string(data)
}

// TestTrustIsAsked: whoever starts an agent on a terminal is asked, once for each content, and
// no is what counts unless it is yes.
func TestTrustIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.dir, "src/.aifo-coder.yaml")
	require.NoError(t, os.WriteFile(file, []byte("image: some/image:1\ntoolchain: rust\nenv: {FOO: \"a\\u202eb\"}\n"), 0o600))
	const question = ", until the file changes? [y/N]"
	for _, no := range []string{"", "n", "what"} {
		shown := w.onTerminal(no, "shell", "--", "true")
		require.Contains(t, shown, "  image = some/image:1\n      the agent, with your keys, runs in an image that the repository chooses\n")
		require.Contains(t, shown, "  toolchain = rust\n      counts without your word\n")
		require.Contains(t, shown, `  env.FOO = "a\u202eb"`)
		require.Contains(t, shown, "allow image, env.FOO"+question)
		require.Contains(t, shown, ".aifo-coder.yaml sets image, env.FOO: not used until you allow it")
	}
	require.NotContains(t, w.log(), "some/image:1")
	require.NotContains(t, w.onTerminal("", "--non-interactive", "shell", "--", "true"), question)
	require.NotContains(t, w.onTerminal("", "images"), question)
	require.NotContains(t, w.onTerminal("", "--dry-run", "shell", "--", "true"), question)
	require.NotContains(t, w.log(), "some/image:1")

	require.NotContains(t, w.onTerminal("y", "shell", "--", "true"), "not used")
	require.Contains(t, w.log(), `"some/image:1","boot"`)
	require.NotContains(t, w.onTerminal("", "shell", "--", "true"), question)

	require.NoError(t, os.WriteFile(file, []byte("image: some/image:2\n"), 0o600))
	require.Contains(t, w.onTerminal("", "shell", "--", "true"), question)
	require.NotContains(t, w.log(), "some/image:2")
}
