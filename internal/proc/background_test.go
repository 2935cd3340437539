//go:build unix

package proc_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

func TestBackground(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	require.NoError(t, err)
	c := sh(`read x || echo no input; ps -o sid= -p $$; echo $$ >&2; pwd; exit 3`)
	c.Dir, c.Stdout, c.Stderr = t.TempDir(), f, f
	b, err := proc.Start(c)
	require.NoError(t, err)
	var exit *proc.ExitError
	require.ErrorAs(t, b.Wait(t.Context()), &exit)
	require.Equal(t, 3, exit.Code)
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	pid := strconv.Itoa(b.PID)
	require.Equal(t, []string{"no", "input", pid, pid, c.Dir}, strings.Fields(string(got)), "it leads a session of its own")
	require.NoError(t, b.Terminate(), "it has ended")
}

func TestBackgroundIsNotOurs(t *testing.T) {
	b, err := proc.Start(sh("exec sleep 60"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errAsked)
	require.ErrorIs(t, b.Wait(ctx), errAsked)
	require.True(t, running(b.PID), "whoever waits no more does not end it")
	require.NoError(t, b.Terminate())
	var exit *proc.ExitError
	require.ErrorAs(t, b.Wait(t.Context()), &exit)
	require.Equal(t, 143, exit.Code)
}

func TestBackgroundCannotStart(t *testing.T) {
	var missing *proc.NotFoundError
	_, err := proc.Start(proc.Cmd{Argv: []string{"aifo-no-such-program"}})
	require.ErrorAs(t, err, &missing)
	_, err = proc.Start(proc.Cmd{Argv: []string{"sh"}, Stdout: &strings.Builder{}})
	require.ErrorContains(t, err, "files")
	_, err = proc.Start(proc.Cmd{Argv: []string{"sh"}, Dir: "/no/such/directory"})
	require.Error(t, err)
}

func TestOther(t *testing.T) {
	b, err := proc.Start(sh("exec sleep 60"))
	require.NoError(t, err)
	o, err := proc.Find(b.PID)
	require.NoError(t, err)
	defer o.Release()
	require.NoError(t, o.Terminate())
	require.Error(t, b.Wait(t.Context()))
	require.NoError(t, o.Terminate(), "it has ended")
	require.NoError(t, o.Kill(), "it has ended")

	b, err = proc.Start(sh("trap '' TERM; echo; while :; do sleep 1; done"))
	require.NoError(t, err)
	o, err = proc.Find(b.PID)
	require.NoError(t, err)
	defer o.Release()
	require.NoError(t, o.Kill())
	var exit *proc.ExitError
	require.ErrorAs(t, b.Wait(t.Context()), &exit)
	require.Equal(t, 128+int(syscall.SIGKILL), exit.Code)
	require.Eventually(t, func() bool { return !running(b.PID) }, 5*time.Second, time.Millisecond)
}
