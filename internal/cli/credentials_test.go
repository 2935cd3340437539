//go:build linux

package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// setOnTerminal runs `credentials set` at a terminal of its own, types when it is asked, and
// returns what the terminal showed.
func setOnTerminal(t *testing.T, home, typed string, flags ...string) (shown string, code int) {
	t.Helper()
	master, terminal, err := pty.Open()
	require.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "aifo-coder", append(flags, "credentials", "set", "openai", "--file")...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	require.NoError(t, cmd.Start())
	var out bytes.Buffer
	if typed != "" {
		for !bytes.Contains(out.Bytes(), []byte("Key of openai: ")) {
			var b [256]byte
			n, err := master.Read(b[:])
			require.NoError(t, err)
			out.Write(b[:n])
		}
		_, err = io.WriteString(master, typed)
		require.NoError(t, err)
	}
	_ = cmd.Wait() // the state tells
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require.NoError(t, err)
	require.Equal(t, before, after, "the terminal is left as it was")
	require.NoError(t, terminal.Close())
	_, _ = io.Copy(&out, master) // EIO at its end
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestCredentialsTerminal: a key that is typed is not shown, and Ctrl-C gives up.
func TestCredentialsTerminal(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, ".config", "aifo-coder", "credentials", "openai")

	shown, code := setOnTerminal(t, home, "sk-typed-0123456789\x03")
	require.Equal(t, 1, code)
	require.NotContains(t, shown, "typed")
	require.NoFileExists(t, file)

	shown, code = setOnTerminal(t, home, "sk-typed-0123456789\r")
	require.Equal(t, 0, code, shown)
	require.NotContains(t, shown, "typed")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "sk-typed-0123456789\n", string(data))

	shown, code = setOnTerminal(t, home, "", "--non-interactive")
	require.Equal(t, 2, code)
	require.Contains(t, shown, "standard input")
}
