//go:build unix

package panes_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/panes"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// TestPlainOutlivesItsParent: the command that started it ends, and its terminal goes.
func TestPlainOutlivesItsParent(t *testing.T) {
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), envChild+"="+dir, "GORACE=atexit_sleep_ms=0")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.Output()
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, err)
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGHUP) // what a terminal that closes does; mostly nobody is left
	log := filepath.Join(dir, "logs", "log")
	content := func() string {
		data, err := os.ReadFile(log)
		require.NoError(t, err)
		return string(data)
	}
	want := "==== " + time.Unix(1e9, 0).Format(time.RFC3339) + " pane 7: fork/main/abc-7\nout yes\n" + dir + "\nerr\n"
	require.Eventually(t, func() bool { return content() == want }, waitLong, tick, "it goes on")
	require.NoError(t, syscall.Kill(pid, 0))
	info, err := os.Stat(log)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	require.Eventually(t, func() bool { return content() == want+"late\n" }, waitLong, tick)
	require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) }, waitLong, tick)
}

// zombie reports whether nobody reaps the process: in a container there may be no one.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestPlainAppendsAndIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	run := func(script string) error {
		started, err := panes.Plain{Env: os.Environ()}.Start(panes.Spec{Panes: []panes.Pane{
			{Index: 1, Dir: dir, Argv: []string{"sh", "-c", script}, Log: filepath.Join(dir, "log")},
		}})
		require.NoError(t, err)
		require.Len(t, started, 1)
		return started[0].Wait(t.Context())
	}
	require.NoError(t, run("echo first"))
	var exit *proc.ExitError
	require.ErrorAs(t, run("echo second; read x || exit 5"), &exit)
	require.Equal(t, 5, exit.Code, "there is no input")
	data, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(data), "===="))
	require.Less(t, strings.Index(string(data), "first"), strings.Index(string(data), "second"))
}

// TestPlainStartsAllOrNone fails each step, and the last program.
func TestPlainStartsAllOrNone(t *testing.T) {
	errStep := errors.New("no space left on device")
	try := func(fail int, last string) (int, error) {
		dir := t.TempDir()
		n := 0
		r := panes.Plain{Env: os.Environ(), Step: func(string) error {
			if n++; n == fail {
				return errStep
			}
			return nil
		}}
		var s panes.Spec
		for i := range 3 {
			s.Panes = append(s.Panes, panes.Pane{
				Index: i + 1, Dir: dir, Log: filepath.Join(dir, fmt.Sprintf("log%d", i)),
				Argv: []string{"sh", "-c", "echo $$ > pid$0; exec sleep 1000", strconv.Itoa(i)},
			})
		}
		s.Panes[2].Argv[0] = last
		started, err := r.Start(s)
		if err == nil {
			for _, b := range started {
				require.NoError(t, b.Terminate())
				require.Error(t, b.Wait(t.Context()))
			}
		}
		requireNoneIn(t, dir)
		return n, err
	}
	steps, err := try(0, "sh")
	require.NoError(t, err)
	for i := 1; i <= steps; i++ {
		_, err := try(i, "sh")
		require.ErrorIs(t, err, errStep)
	}
	_, err = try(0, "aifo-no-such-program")
	require.ErrorAs(t, err, new(*proc.NotFoundError))
}

// requireNoneIn waits until no process has dir as its directory.
func requireNoneIn(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool {
		cwds, err := filepath.Glob("/proc/[0-9]*/cwd")
		require.NoError(t, err)
		for _, cwd := range cwds {
			if at, err := os.Readlink(cwd); err == nil && at == dir {
				return false
			}
		}
		return true
	}, waitLong, 20*time.Millisecond)
}
