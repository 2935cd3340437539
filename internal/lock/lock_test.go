package lock_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/lock"
)

const envChild = "AIFO_LOCK_TEST_CHILD"

// TestMain also is the child of some tests, told by the variable what to do.
func TestMain(m *testing.M) {
	verb, path, ok := strings.Cut(os.Getenv(envChild), ":")
	if !ok {
		os.Exit(m.Run())
	}
	switch verb {
	case "hold":
		hold(path)
	case "count":
		count(path)
	}
}

// hold takes the lock, says so, and holds it until its input ends.
func hold(path string) {
	l, err := lock.Acquire(path, lock.Holder{PID: os.Getpid(), Since: time.Unix(1e9, 0), Workspace: "/w"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("Ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := l.Release(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// count takes and releases the lock until it had it rounds times. Whoever has it
// creates a file that must not be there yet.
func count(path string) {
	const rounds = 40
	for n := 0; n < rounds; {
		l, err := lock.Acquire(path, lock.Holder{PID: os.Getpid()})
		if errors.As(err, new(*lock.HeldError)) {
			continue
		}
		fail(err)
		n++
		f, err := os.OpenFile(path+".inside", os.O_CREATE|os.O_EXCL, 0o600)
		fail(err)
		fail(f.Close())
		fail(os.Remove(path + ".inside"))
		fail(l.Release())
	}
}

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

type child struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func start(t *testing.T, verb, path string) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"="+verb+":"+path, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return &child{cmd: cmd, in: in, out: bufio.NewReader(out)}
}

// holder starts a child that holds the lock.
func holder(t *testing.T, path string) *child {
	t.Helper()
	c := start(t, "hold", path)
	line, err := c.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "Ready\n", line)
	return c
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	require.Error(t, c.cmd.Wait())
}

func requireHeld(t *testing.T, err error) *lock.HeldError {
	t.Helper()
	var held *lock.HeldError
	require.ErrorAs(t, err, &held)
	return held
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestHeldAndReleased(t *testing.T) {
	dir := t.TempDir()
	path := lock.Workspace(dir, "/w")
	me := lock.Holder{PID: os.Getpid(), Since: time.Unix(1e9, 0).UTC(), Workspace: "/w"}

	l, err := lock.Acquire(path, me)
	require.NoError(t, err)
	_, err = lock.Acquire(path, lock.Holder{PID: 1})
	require.Equal(t, me, requireHeld(t, err).Holder, "the first holder is named, and not overwritten")
	require.ErrorContains(t, err, "pid "+strconv.Itoa(os.Getpid()))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, l.Release())
	require.Empty(t, files(t, dir), "the file is gone after the release")
	l, err = lock.Acquire(path, me)
	require.NoError(t, err)
	require.NoError(t, l.Release())
}

// TestShorterHolder: the record of a killed holder must not shine through.
func TestShorterHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.lock")
	require.NoError(t, os.WriteFile(path, []byte(`{"pid":123456789,"workspace":"`+strings.Repeat("x", 500)+`"}`), 0o600))
	me := lock.Holder{PID: os.Getpid(), Workspace: "/w"}
	l, err := lock.Acquire(path, me)
	require.NoError(t, err)
	defer l.Release()
	_, err = lock.Acquire(path, lock.Holder{})
	require.Equal(t, me, requireHeld(t, err).Holder)
}

func TestHolderThatHasNotWrittenYet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.lock")
	l, err := lock.Acquire(path, lock.Holder{PID: 7})
	require.NoError(t, err)
	defer l.Release()
	require.NoError(t, os.WriteFile(path, []byte(`{"pid":`), 0o600))
	_, err = lock.Acquire(path, lock.Holder{})
	require.NotContains(t, requireHeld(t, err).Error(), "pid 0")
}

func TestDirectoryIsMissing(t *testing.T) {
	_, err := lock.Acquire(filepath.Join(t.TempDir(), "no", "l.lock"), lock.Holder{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.False(t, errors.As(err, new(*lock.HeldError)), "not held: %v", err)
}

func TestAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	path := lock.Workspace(dir, "/w")
	c := holder(t, path)
	_, err := lock.Acquire(path, lock.Holder{})
	require.Equal(t, c.cmd.Process.Pid, requireHeld(t, err).Holder.PID)

	require.NoError(t, c.in.Close())
	require.NoError(t, c.cmd.Wait())
	require.Empty(t, files(t, dir))
	l, err := lock.Acquire(path, lock.Holder{})
	require.NoError(t, err)
	require.NoError(t, l.Release())
}

func TestKilledHolder(t *testing.T) {
	dir := t.TempDir()
	path := lock.Workspace(dir, "/w")
	holder(t, path).kill(t)
	require.Len(t, files(t, dir), 1)
	l, err := lock.Acquire(path, lock.Holder{})
	require.NoError(t, err)
	require.NoError(t, l.Release())
	require.Empty(t, files(t, dir))
}

// TestRace has goroutines and processes take and release one lock: there are
// never two holders, and nobody is left without a lock that is free.
func TestRace(t *testing.T) {
	const goroutines, rounds, processes = 8, 60, 3
	dir := t.TempDir()
	path := filepath.Join(dir, "l.lock")
	var children []*child
	for range processes {
		children = append(children, start(t, "count", path))
	}
	var (
		wg     sync.WaitGroup
		inside atomic.Int32
	)
	for range goroutines {
		wg.Go(func() {
			for n := 0; n < rounds; {
				l, err := lock.Acquire(path, lock.Holder{PID: os.Getpid()})
				if errors.As(err, new(*lock.HeldError)) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				n++
				if c := inside.Add(1); c != 1 {
					t.Errorf("%d holders", c)
				}
				f, err := os.OpenFile(path+".inside", os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					t.Errorf("another process is inside: %v", err)
				} else {
					_ = f.Close()
					_ = os.Remove(path + ".inside")
				}
				inside.Add(-1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range children {
		out, err := io.ReadAll(c.out)
		require.NoError(t, err)
		require.NoError(t, c.cmd.Wait(), "%s", out)
	}
	require.Empty(t, files(t, dir))
}

func TestWorkspacePath(t *testing.T) {
	a, b := lock.Workspace("/r", "/w/a"), lock.Workspace("/r", "/w/b")
	require.NotEqual(t, a, b)
	require.Equal(t, a, lock.Workspace("/r", "/w/a"))
	require.Equal(t, "/r", filepath.Dir(a))
	path, dir := lock.Session("/r", "id")
	require.Equal(t, "/r/aifo-id.lock", path)
	require.Equal(t, "/r/aifo-id", dir)
}

func TestSweep(t *testing.T) {
	run := t.TempDir()
	dead, deadDir := lock.Session(run, "dead")
	live, liveDir := lock.Session(run, "live")
	for _, dir := range []string{deadDir, liveDir} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "below"), 0o700))
	}
	holder(t, dead).kill(t)
	holder(t, lock.Workspace(run, "/w")).kill(t)
	holder(t, live)
	own, err := lock.Acquire(lock.Workspace(run, "/own"), lock.Holder{PID: os.Getpid(), Workspace: "/own"})
	require.NoError(t, err)
	_, orphan := lock.Session(run, "orphan")
	require.NoError(t, os.MkdirAll(filepath.Join(orphan, "below"), 0o700), "its lock is gone, and so nobody is left who would remove it")
	// Near misses: not ours, whatever is in them.
	require.NoError(t, os.WriteFile(filepath.Join(run, "aifo-file"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(run, "other.lock"), nil, 0o600))

	require.NoError(t, lock.Sweep(run))
	require.ElementsMatch(t, []string{
		"aifo-live.lock", "aifo-live", filepath.Base(lock.Workspace(run, "/own")), "aifo-file", "other.lock",
	}, files(t, run))

	_, err = lock.Acquire(live, lock.Holder{})
	requireHeld(t, err)
	_, err = lock.Acquire(lock.Workspace(run, "/own"), lock.Holder{})
	require.Equal(t, "/own", requireHeld(t, err).Holder.Workspace)
	require.NoError(t, own.Release())
}

func TestSweepOfNothing(t *testing.T) {
	require.NoError(t, lock.Sweep(filepath.Join(t.TempDir(), "missing")))
}

// TestSweepDoesNotStandInTheWay: a session starts beside the sweep of another
// one. The lock that a killed process left on its workspace is free, so taking
// it must succeed whatever the sweep does.
func TestSweepDoesNotStandInTheWay(t *testing.T) {
	run := t.TempDir()
	path := lock.Workspace(run, "/w")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := lock.Sweep(run); err != nil {
					t.Error(err)
				}
			}
		}
	})
	defer wg.Wait()
	defer close(done)
	for range 3000 {
		// As a killed process leaves it. Linux has no such pid.
		require.NoError(t, os.WriteFile(path, []byte(`{"pid":4194305,"workspace":"/w"}`), 0o600))
		l, err := lock.Acquire(path, lock.Holder{PID: os.Getpid(), Workspace: "/w"})
		require.NoError(t, err, "nobody holds the lock")
		require.NoError(t, l.Release())
	}
}

func TestWhetherHeld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "l.lock")
	requireNot := func(left ...string) {
		t.Helper()
		held, err := lock.Held(path)
		require.NoError(t, err)
		require.False(t, held)
		require.ElementsMatch(t, left, files(t, dir), "asking makes nothing and removes nothing")
	}
	requireNot()
	c := holder(t, path)
	held, err := lock.Held(path)
	require.NoError(t, err)
	require.True(t, held)
	require.Len(t, files(t, dir), 1)
	c.kill(t)
	requireNot("l.lock")
	_, err = lock.Held(dir)
	require.Error(t, err)
}

// TestAskingKeepsNobodyOut: who asks takes a free lock for a moment.
func TestAskingKeepsNobodyOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.lock")
	ctx, stop := t.Context(), make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-stop:
				return
			default:
				_, _ = lock.Held(path)
			}
		}
	})
	for range 200 {
		l, err := lock.Acquire(path, lock.Holder{PID: 7})
		require.NoError(t, err)
		require.NoError(t, l.Release())
	}
	close(stop)
	asking.Wait()
}

// TestRunningAndLeft: who looks takes nothing away, and makes nothing.
func TestRunningAndLeft(t *testing.T) {
	runtime := t.TempDir()
	held, _ := lock.Session(runtime, "lives")
	l, err := lock.Acquire(held, lock.Holder{PID: 7, Start: "s", Workspace: "/ws"})
	require.NoError(t, err)
	defer l.Release()
	workspace := lock.Workspace(runtime, "/ws")
	w, err := lock.Acquire(workspace, lock.Holder{PID: 7, Workspace: "/ws"})
	require.NoError(t, err)
	defer w.Release()
	left, dir := lock.Session(runtime, "killed")
	require.NoError(t, os.WriteFile(left, []byte("{}\n"), 0o600))
	require.NoError(t, os.Mkdir(dir, 0o700))
	_, orphan := lock.Session(runtime, "orphan")
	require.NoError(t, os.Mkdir(orphan, 0o700))
	stale := lock.Workspace(runtime, "/other")
	require.NoError(t, os.WriteFile(stale, []byte("{}\n"), 0o600))

	running, err := lock.Running(runtime)
	require.NoError(t, err)
	require.Equal(t, map[string]lock.Holder{"lives": {PID: 7, Start: "s", Workspace: "/ws"}}, running)
	paths, err := lock.Left(runtime)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{left, dir, orphan, stale}, paths)
	require.Equal(t, "killed", lock.Name(left))
	require.Equal(t, "killed", lock.Name(dir))
	require.Empty(t, lock.Name(stale))
	entries, err := os.ReadDir(runtime)
	require.NoError(t, err)
	require.Len(t, entries, 6)

	require.NoError(t, lock.Sweep(runtime))
	paths, err = lock.Left(runtime)
	require.NoError(t, err)
	require.Empty(t, paths)
	require.FileExists(t, held)
	require.FileExists(t, workspace)
}
