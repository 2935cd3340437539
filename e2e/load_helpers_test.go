//go:build linux

package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// plain builds the program without the race detector, once.
var plain = sync.OnceValues(func() (string, error) {
	path := program + "-plain" // TestMain removes the directory
	out, err := exec.Command("go", "build", "-o", path, "../cmd/aifo-coder").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// loaded returns a caller whose program has no race detector, which multiplies
// memory and allows for 8128 goroutines.
func loaded(t *testing.T) *caller {
	t.Helper()
	c := self(t) // skips where there is no engine
	built, err := plain()
	require.NoError(t, err)
	raced := program
	program = built
	t.Cleanup(func() { program = raced })
	return c
}

// tool makes the shell script what tsc is in the workspace.
func (c *caller) tool(script string) {
	c.t.Helper()
	bin := filepath.Join(c.workspace, "node_modules", ".bin")
	require.NoError(c.t, os.MkdirAll(bin, 0o755))
	require.NoError(c.t, os.WriteFile(filepath.Join(bin, "tsc"), []byte("#!/bin/sh\n"+script), 0o755))
}

// write puts a file into the workspace, read returns what is in one.
func (c *caller) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.workspace, name)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(text), 0o644))
}

func (c *caller) read(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.workspace, name))
	require.NoError(c.t, err)
	return string(text)
}

// exists reports whether the file is in the workspace.
func (c *caller) exists(name string) bool {
	_, err := os.Stat(filepath.Join(c.workspace, name))
	return err == nil
}

// gate makes a fifo in the workspace: who opens it to read waits until the
// returned function was called, and nobody after that.
func (c *caller) gate(name string) (open func()) {
	c.t.Helper()
	path := filepath.Join(c.workspace, name)
	require.NoError(c.t, syscall.Mkfifo(path, 0o600))
	return func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0) // which does not wait for anybody
		require.NoError(c.t, err)
		c.t.Cleanup(func() { _ = f.Close() })
	}
}

// line sends a line to the agent's script.
func (s *session) line(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(s.in, "\n")
	require.NoError(t, err)
}

// fewThreads is how many threads may come while calls are made, without being
// one for each.
const fewThreads = 20

// usage is what a process holds.
type usage struct{ files, threads int }

// within reports whether u is no more than before, but for some threads: those of
// a Go program come with load and stay.
func (u usage) within(before usage, threads int) bool {
	return u.files <= before.files && u.threads <= before.threads+threads
}

// usageOf returns what a process of this machine holds, none when it has ended.
func usageOf(pid int) usage {
	count := func(dir string) int {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, dir))
		return len(entries)
	}
	return usage{count("fd"), count("task")}
}

// countServer counts inside of a sidecar, whose processes need not be seen from here.
const countServer = `for p in /proc/[0-9]*; do
	case $(tr '\0' ' ' <"$p/cmdline") in
	*/aifo-shim\ serve\ *) echo $(ls "$p/fd" | wc -l) $(ls "$p/task" | wc -l) ;;
	esac
done 2>/dev/null; true`

// server returns what the exec server in the sidecar of a kind holds.
func (c *caller) server(kind string) (u usage) {
	c.t.Helper()
	out := docker(c.t, "exec", "--user", fmt.Sprintf("%d:%d", c.uid, c.gid), c.sidecar(kind), "sh", "-c", countServer)
	_, err := fmt.Sscanf(out, "%d %d", &u.files, &u.threads)
	require.NoError(c.t, err, out)
	require.Positive(c.t, u.files)
	return u
}

func (c *caller) sidecar(kind string) string {
	c.t.Helper()
	ids := c.containers("label=dev.aifo-coder.kind=" + kind)
	require.Len(c.t, ids, 1)
	return ids[0]
}

// processes returns the command lines of all processes in the sidecar of a kind; of one that nobody
// waited for it is a name with "<defunct>".
func (c *caller) processes(kind string) []string {
	c.t.Helper()
	var list []string
	for _, line := range strings.Split(docker(c.t, "top", c.sidecar(kind), "-eo", "pid,args"), "\n")[1:] {
		_, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, strings.TrimSpace(args))
	}
	slices.Sort(list)
	return list
}

// portLink is the end in a sidecar of its port link, which comes some time after the first call and
// stays.
const portLink = "aifo-shim ports"

// held is what a session and one of its sidecars hold.
type held struct {
	session, server usage
	processes       []string
}

func (c *caller) held(s *session, kind string) held {
	c.t.Helper()
	return held{usageOf(s.cmd.Process.Pid), c.server(kind), c.processes(kind)}
}

// heldFirst returns what they hold after the first call, once the port link is there: what it needs
// is then part of that, as it is of all that is held later.
func (c *caller) heldFirst(s *session, kind string) held {
	c.t.Helper()
	eventually(c.t, func() bool { return c.runsIn(kind, portLink) }, "the port link is there")
	return c.held(s, kind)
}

// requireReleased waits until the session and the sidecar hold what they held before.
func (c *caller) requireReleased(s *session, kind string, before held, threads int) {
	c.t.Helper()
	defer func() {
		if c.t.Failed() {
			c.t.Logf("before %+v\nnow %+v", before, c.held(s, kind))
		}
	}()
	released := func() bool {
		now := c.held(s, kind)
		return now.session.within(before.session, threads) && now.server.within(before.server, threads) &&
			slices.Equal(now.processes, before.processes)
	}
	eventually(c.t, released, "everything is released")
}

// peak returns the most memory that a process ever had, in KiB.
func peak(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "\nVmHWM:")
	require.True(t, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kib
}
