//go:build linux

package e2e

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
)

// terminal is aifo-coder on a terminal of its own, and who sits at it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	tty    *os.File
	out    *syncbuf.Buffer
	copied chan struct{}
}

// onTerminal starts aifo-coder on a terminal of the size.
func (c *caller) onTerminal(size pty.Winsize, args ...string) *terminal {
	c.t.Helper()
	return startOnTerminal(c.t, c.command(c.t.Context(), args...), size)
}

func startOnTerminal(t *testing.T, cmd *exec.Cmd, size pty.Winsize) *terminal {
	t.Helper()
	x := &terminal{t: t, cmd: cmd, out: &syncbuf.Buffer{}, copied: make(chan struct{})}
	var err error
	x.tty, err = pty.StartWithSize(x.cmd, &size)
	require.NoError(t, err)
	t.Cleanup(func() { _ = x.tty.Close() })
	go func() { _, _ = io.Copy(x.out, x.tty); close(x.copied) }()
	return x
}

// write presses keys; say types a line.
func (x *terminal) write(keys string) {
	x.t.Helper()
	_, err := io.WriteString(x.tty, keys)
	require.NoError(x.t, err)
}

// press presses keys unless the program has ended.
func (x *terminal) press(keys string) { _, _ = io.WriteString(x.tty, keys) }

func (x *terminal) say(line string) {
	x.t.Helper()
	x.write(line + "\n")
}

// see waits until the text is on the screen.
func (x *terminal) see(text string) {
	x.t.Helper()
	eventually(x.t, func() bool { return strings.Contains(x.out.String(), text) }, text)
}

var promptRE = regexp.MustCompile(`[#$] $`)

// prompt waits for the shell's prompt: over TCP a tool's shim reads what is typed
// ahead.
func (x *terminal) prompt() {
	x.t.Helper()
	eventually(x.t, func() bool { return promptRE.MatchString(x.out.String()) }, "the prompt")
}

// end waits for the end, which is not exit code 0, and returns the exit code.
func (x *terminal) end() int {
	x.t.Helper()
	<-x.copied
	require.Error(x.t, x.cmd.Wait())
	return x.cmd.ProcessState.ExitCode()
}
