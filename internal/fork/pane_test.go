//go:build unix

package fork_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/panes"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Limits of waits that end as soon as what they wait for is there.
const (
	waitLong = 60 * time.Second
	tick     = 5 * time.Millisecond
)

const sid = "abc123"

// session is a recorded session with its pane programs.
type session struct {
	t       *testing.T
	store   fork.Store
	record  fork.Record
	runtime string
	env     []string
	self    hostfacts.Owner
}

func newSession(t *testing.T, n int) *session {
	t.Helper()
	dir := t.TempDir()
	s := &session{t: t, store: fork.Store{Dir: filepath.Join(dir, "store")}, runtime: filepath.Join(dir, "run"), self: hostfacts.Self()}
	s.record = fork.Record{SID: sid, RepoRoot: dir}
	for i := 1; i <= n; i++ {
		p := fork.Pane{Index: i, Dir: fork.PaneDir(dir, sid, i), Branch: fork.PaneBranch("main", sid, i)}
		require.NoError(t, os.MkdirAll(p.Dir, 0o700))
		s.record.Panes = append(s.record.Panes, p)
	}
	require.NoError(t, s.store.Save(s.record))
	s.env = []string{envStore + "=" + s.store.Dir, envSID + "=" + sid, "GORACE=atexit_sleep_ms=0", "SECRET=k\x01ey\nline", "HOME=" + dir, "TERM=given", "PATH=" + os.Getenv("PATH")}
	return s
}

func (s *session) prepare(env ...string) {
	s.t.Helper()
	for _, p := range s.record.Panes {
		require.NoError(s.t, fork.PreparePane(s.store, sid, p.Index, s.runtime, append(slices.Clone(s.env), env...)))
	}
}

// start starts the pane programs in the background, with nothing of our environment.
func (s *session) start(env ...string) []*proc.Background {
	s.t.Helper()
	s.prepare(env...)
	started, err := panes.Plain{Env: []string{"GORACE=atexit_sleep_ms=0"}}.Start(panes.Spec{Panes: fork.PaneSpecs(s.store, s.record, os.Args[0], s.runtime)})
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		for _, b := range started {
			_ = syscall.Kill(b.PID, syscall.SIGKILL) // mostly ended already
			_ = b.Wait(context.Background())
		}
	})
	return started
}

func (s *session) file(index int, name string) string {
	return filepath.Join(s.store.PaneDir(sid, index), name)
}

func (s *session) put(index int, name, text string) {
	s.t.Helper()
	require.NoError(s.t, fork.WriteFile(s.file(index, name), []byte(text)))
}

func (s *session) awaitFile(index int, name string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { _, err := os.Stat(s.file(index, name)); return err == nil }, waitLong, tick, "pane %d: %s", index, name)
}

func (s *session) state(index int) fork.PaneStatus {
	s.t.Helper()
	st, err := fork.PaneState(s.store, sid, index, s.self)
	require.NoError(s.t, err)
	return st
}

func (s *session) awaitState(index int, want fork.State) fork.PaneStatus {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.state(index).State == want }, waitLong, tick, "pane %d is not %s", index, want)
	return s.state(index)
}

func (s *session) requireDead(index int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		lives, err := fork.PaneLives(s.store, sid, index)
		require.NoError(s.t, err)
		return !lives
	}, waitLong, tick, "pane %d lives", index)
}

// waiting runs a Waiter and returns what it reported, and its result.
func (s *session) waiting(limit time.Duration) (ends func() map[int]fork.PaneStatus, done <-chan error) {
	var (
		mu   sync.Mutex
		seen = map[int]fork.PaneStatus{}
		ch   = make(chan error, 1)
	)
	w := fork.Waiter{Store: s.store, Record: s.record, Self: s.self, StartLimit: limit, Changed: func(index int, st fork.PaneStatus) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := seen[index]; twice {
			s.t.Errorf("pane %d was reported twice", index)
		}
		seen[index] = st
	}}
	ctx := s.t.Context()
	go func() { ch <- w.Wait(ctx) }()
	return func() map[int]fork.PaneStatus {
		mu.Lock()
		defer mu.Unlock()
		list := map[int]fork.PaneStatus{}
		for i, st := range seen {
			list[i] = st
		}
		return list
	}, ch
}

func (s *session) requireDone(done <-chan error) error {
	s.t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(waitLong):
		s.t.Fatal("it does not end")
		return nil
	}
}

func TestPaneRunsAndEnds(t *testing.T) {
	s := newSession(t, 2)
	started := s.start()
	for i := 1; i <= 2; i++ {
		s.awaitFile(i, "started")
		st := s.state(i)
		require.Equal(t, fork.Running, st.State)
		require.Equal(t, started[i-1].PID, st.Owner.PID)
		require.False(t, st.Started.IsZero())
		require.NoFileExists(t, fork.PaneEnvFile(s.runtime, sid, i), "secrets do not stay on disk")
	}
	var runs *fork.PaneRunsError
	require.ErrorAs(t, fork.PreparePane(s.store, sid, 1, s.runtime, nil), &runs)

	ends, done := s.waiting(0)
	s.put(1, "end", "0")
	require.Eventually(t, func() bool { return len(ends()) == 1 }, waitLong, tick)
	s.put(2, "end", "7")
	require.NoError(t, s.requireDone(done))
	require.Equal(t, 0, ends()[1].Code)
	require.Equal(t, 7, ends()[2].Code)
	require.Equal(t, fork.Ended, ends()[2].State)
	require.False(t, ends()[2].Ended.IsZero())
	require.NoError(t, started[0].Wait(t.Context()))
	var exit *proc.ExitError
	require.ErrorAs(t, started[1].Wait(t.Context()), &exit)
	require.Equal(t, 7, exit.Code)
	s.requireDead(1)

	// Once more: the last run's end is not this one's.
	require.NoError(t, os.Remove(s.file(1, "end")))
	require.NoError(t, os.Remove(s.file(2, "end")))
	ends, done = func() (func() map[int]fork.PaneStatus, <-chan error) { s.start(); return s.waiting(0) }()
	s.awaitState(1, fork.Running)
	require.Empty(t, ends())
	s.put(1, "end", "1")
	s.put(2, "end", "1")
	require.NoError(t, s.requireDone(done))
	require.Equal(t, 1, ends()[1].Code)
}

// TestPaneEnvironment: the program that starts panes has nothing of the caller's.
func TestPaneEnvironment(t *testing.T) {
	s := newSession(t, 1)
	s.prepare()
	info, err := os.Stat(fork.PaneEnvFile(s.runtime, sid, 1))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	s.start("OTHER=1")
	s.awaitFile(1, "environment")
	data, err := os.ReadFile(s.file(1, "environment"))
	require.NoError(t, err)
	require.Contains(t, string(data), "SECRET=k\x01ey\nline")
	require.Contains(t, string(data), "OTHER=1")
	require.NotContains(t, string(data), "TERM=given")
	s.put(1, "end", "0")
	s.awaitState(1, fork.Ended)
	for _, p := range fork.PaneSpecs(s.store, s.record, "/bin/aifo-coder", s.runtime) {
		require.NotContains(t, strings.Join(p.Argv, " "), "ey\nline")
	}
}

func TestEnvironmentsThatNobodyTook(t *testing.T) {
	s := newSession(t, 2)
	s.prepare()
	require.NoError(t, fork.RemovePaneEnvs(s.runtime, s.record))
	left, err := os.ReadDir(s.runtime)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, fork.RemovePaneEnvs(s.runtime, s.record))
	// A link in its place is replaced, not followed.
	target := filepath.Join(t.TempDir(), "target")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	require.NoError(t, os.Symlink(target, fork.PaneEnvFile(s.runtime, sid, 1)))
	s.prepare()
	data, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "kept", string(data))
}

func TestPaneThatIsKilled(t *testing.T) {
	for _, step := range []string{"pane 1: take the lock", "pane 1: write status waiting", "pane 1: write status running", "pane 1: write status ended", "agent"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, 1)
			started := s.start(envKill + "=" + step)
			if step == "agent" {
				s.awaitFile(1, "started")
				require.NoError(t, syscall.Kill(started[0].PID, syscall.SIGKILL))
			}
			s.put(1, "end", "0")
			var exit *proc.ExitError
			require.ErrorAs(t, started[0].Wait(t.Context()), &exit)
			require.Equal(t, 137, exit.Code)
			s.requireDead(1)
			_, done := s.waiting(300 * time.Millisecond)
			err := s.requireDone(done)
			if step == "pane 1: take the lock" || step == "pane 1: write status waiting" {
				var never *fork.NeverStartedError
				require.ErrorAs(t, err, &never)
				require.Equal(t, []int{1}, never.Panes)
				require.NotEmpty(t, never.Hint())
			} else {
				require.NoError(t, err)
				require.Equal(t, fork.Killed, s.state(1).State)
			}
			// It can be started again.
			s.start()
			s.awaitState(1, fork.Ended)
		})
	}
}

// TestFullDisk: what cannot be written is an error, and no agent runs unrecorded.
func TestFullDisk(t *testing.T) {
	for step, wantRun := range map[string]bool{"pane 1: take the lock": false, "pane 1: write status waiting": false, "pane 1: write status running": false, "pane 1: write status ended": true} {
		s := newSession(t, 1)
		s.prepare()
		ran := false
		var told strings.Builder
		p := fork.PaneProcess{
			Store: s.store, Record: s.record, Index: 1, Self: s.self, Messages: &told, ShortOfMemory: func() bool { return false },
			Run: func(context.Context, func()) (int, error) { ran = true; return 3, nil },
			Step: func(name string) error {
				if name == step {
					return syscall.ENOSPC
				}
				return nil
			},
		}
		code, err := p.Main(t.Context())
		require.ErrorIs(t, err, syscall.ENOSPC, step)
		require.Equal(t, wantRun, ran, step)
		lives, err := fork.PaneLives(s.store, sid, 1)
		require.NoError(t, err)
		require.False(t, lives)
		if wantRun {
			require.Equal(t, 3, code)
			require.Equal(t, fork.Killed, s.state(1).State, "it did not get lost that it ran")
			require.Contains(t, told.String(), "no space left")
		}
	}
}

func TestPaneWithAnError(t *testing.T) {
	s := newSession(t, 1)
	s.prepare()
	errNo := errors.New("no engine answers")
	p := fork.PaneProcess{
		Store: s.store, Record: s.record, Index: 1, Self: s.self, Messages: io.Discard, ShortOfMemory: func() bool { return false },
		Run: func(context.Context, func()) (int, error) {
			require.Equal(t, fork.Running, s.state(1).State)
			return 0, errNo
		},
	}
	_, err := p.Main(t.Context())
	require.ErrorIs(t, err, errNo)
	require.Equal(t, fork.Ended, s.state(1).State)
	require.Equal(t, errNo.Error(), s.state(1).Error)
}

// TestSignals: one before the agent runs ends the start, one afterwards is the
// agent's; the status is written in either case.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		for _, mode := range []string{"slow", "quick"} {
			t.Run(mode+" "+sig.String(), func(t *testing.T) {
				t.Parallel()
				s := newSession(t, 1)
				started := s.start(envAgent + "=" + mode)
				if mode == "quick" {
					s.awaitFile(1, "started")
				} else {
					s.awaitFile(1, "environment")
				}
				require.NoError(t, syscall.Kill(started[0].PID, sig))
				st := s.awaitState(1, fork.Ended)
				require.Equal(t, 128+int(sig), st.Code)
				require.Equal(t, mode == "slow", st.Error != "")
				s.requireDead(1)
			})
		}
	}
}

func TestPanesThatNeverStart(t *testing.T) {
	s := newSession(t, 2)
	s.prepare()
	ends, done := s.waiting(300 * time.Millisecond)
	var never *fork.NeverStartedError
	require.ErrorAs(t, s.requireDone(done), &never)
	require.Equal(t, []int{1, 2}, never.Panes)
	require.Empty(t, ends())
	ctx, cancel := context.WithCancelCause(t.Context())
	errAsked := errors.New("asked")
	cancel(errAsked)
	require.ErrorIs(t, fork.Waiter{Store: s.store, Record: s.record, Self: s.self}.Wait(ctx), errAsked)
}

func TestStop(t *testing.T) {
	s := newSession(t, 3)
	s.start()
	for i := 1; i <= 3; i++ {
		s.awaitFile(i, "started")
	}
	killed, err := fork.Stopper{Store: s.store, Record: s.record.Only([]int{2}), Self: s.self}.Stop(t.Context())
	require.NoError(t, err)
	require.Empty(t, killed)
	require.Equal(t, 143, s.state(2).Code)
	require.Equal(t, fork.Running, s.state(1).State)
	killed, err = fork.Stopper{Store: s.store, Record: s.record, Self: s.self}.Stop(t.Context())
	require.NoError(t, err)
	require.Empty(t, killed)
	for i := 1; i <= 3; i++ {
		require.Equal(t, fork.Ended, s.state(i).State)
	}
	killed, err = fork.Stopper{Store: s.store, Record: s.record, Self: s.self}.Stop(t.Context())
	require.NoError(t, err, "there is nothing left to stop")
	require.Empty(t, killed)
}

func TestStopOfAStubbornAgent(t *testing.T) {
	s := newSession(t, 2)
	s.start(envAgent + "=stubborn")
	s.awaitFile(1, "started")
	s.awaitFile(2, "started")
	killed, err := fork.Stopper{Store: s.store, Record: s.record.Only([]int{1}), Self: s.self, Grace: 300 * time.Millisecond}.Stop(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{1}, killed)
	require.Equal(t, fork.Killed, s.state(1).State)
	require.Equal(t, fork.Running, s.state(2).State)
}

// TestStopOfAnotherProcess: a number that is in use again is nobody of ours.
func TestStopOfAnotherProcess(t *testing.T) {
	s := newSession(t, 1)
	bystander, err := proc.Start(proc.Cmd{Argv: []string{"sleep", "1000"}})
	require.NoError(t, err)
	require.NoError(t, s.store.SaveStatus(sid, 1, fork.PaneStatus{State: fork.Running, Owner: hostfacts.Owner{Host: s.self.Host, PID: bystander.PID, Start: "1"}}))
	_, err = fork.Stopper{Store: s.store, Record: s.record, Self: s.self, Grace: tick}.Stop(t.Context())
	require.NoError(t, err)
	require.Equal(t, fork.Killed, s.state(1).State)
	require.NoError(t, bystander.Terminate())
	var exit *proc.ExitError
	require.ErrorAs(t, bystander.Wait(t.Context()), &exit)
	require.Equal(t, 143, exit.Code, "it was ours alone that ended it")
}

// TestStaggeredStart: with memory short one pane at a time starts; one that is killed
// keeps nobody waiting.
func TestStaggeredStart(t *testing.T) {
	s := newSession(t, 3)
	s.start(envShort+"=1", envAgent+"=slow")
	left := []int{1, 2, 3}
	running := func() []int {
		var list []int
		for _, i := range left {
			if s.state(i).State == fork.Running {
				list = append(list, i)
			}
		}
		return list
	}
	for len(left) > 0 {
		require.Eventually(t, func() bool { return len(running()) == 1 }, waitLong, tick)
		first := running()[0]
		s.awaitFile(first, "environment")
		for _, i := range left {
			if i != first {
				require.Equal(t, fork.Waiting, s.state(i).State)
			}
		}
		if len(left) == 2 {
			require.NoError(t, syscall.Kill(s.state(first).Owner.PID, syscall.SIGKILL))
		} else {
			s.put(first, "start", "")
		}
		left = slices.DeleteFunc(left, func(i int) bool { return i == first })
	}
	for i := 1; i <= 3; i++ {
		s.put(i, "end", "0")
	}
	_, done := s.waiting(0)
	require.NoError(t, s.requireDone(done))
}

// TestWaitingForATurnEnds by a signal.
func TestWaitingForATurnEnds(t *testing.T) {
	s := newSession(t, 2)
	s.start(envShort+"=1", envAgent+"=slow")
	require.Eventually(t, func() bool { return s.state(1).State == fork.Running || s.state(2).State == fork.Running }, waitLong, tick)
	other := 1
	if s.state(1).State == fork.Running {
		other = 2
	}
	require.Eventually(t, func() bool { return s.state(other).Owner.PID != 0 }, waitLong, tick)
	require.NoError(t, syscall.Kill(s.state(other).Owner.PID, syscall.SIGTERM))
	require.Equal(t, 143, s.awaitState(other, fork.Ended).Code)
}

// inTmux starts the panes in a tmux server that somebody started with another environment.
func (s *session) inTmux(env ...string) panes.Tmux {
	t := s.t
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal("tmux is not installed")
		}
		t.Skip("tmux is not installed")
	}
	dir, err := os.MkdirTemp("", "aifo") // a socket's path has room for a hundred bytes
	require.NoError(t, err)
	server := panes.Tmux{Env: []string{"HOME=/nowhere", "PATH=/nowhere", "TMUX_TMPDIR=" + dir, "TERM=xterm", "XDG_STATE_HOME=/nowhere"}}
	other := exec.CommandContext(t.Context(), "tmux", "new-session", "-d", "-s", "mine", "/bin/sleep", "1000")
	other.Env = server.Env
	out, err := other.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		kill := exec.CommandContext(context.Background(), "tmux", "kill-server")
		kill.Env = server.Env
		_ = kill.Run() // it may have ended
		require.NoError(t, os.RemoveAll(dir))
	})
	s.prepare(env...)
	_, err = server.Start(t.Context(), panes.Spec{Mark: sid, Name: "aifo-" + sid, Window: "aifo-fork", Layout: panes.Tiled, Panes: fork.PaneSpecs(s.store, s.record, os.Args[0], s.runtime)}, panes.Size{})
	require.NoError(t, err)
	for _, p := range s.record.Panes {
		s.awaitFile(p.Index, "started")
	}
	return server
}

func TestPanesInTmux(t *testing.T) {
	s := newSession(t, 3)
	server := s.inTmux()
	data, err := os.ReadFile(s.file(1, "environment"))
	require.NoError(t, err)
	require.Contains(t, string(data), "SECRET=k\x01ey\nline")
	require.Contains(t, string(data), "TMUX_PANE=%")
	require.NotContains(t, string(data), "TERM=given")
	require.NotContains(t, string(data), "/nowhere")

	ends, done := s.waiting(0)
	s.put(1, "end", "0")
	s.put(2, "end", "4")
	require.Eventually(t, func() bool { return len(ends()) == 2 }, waitLong, tick, "nobody waits for a key")
	s.requireDead(1)
	lives, err := fork.PaneLives(s.store, sid, 2)
	require.NoError(t, err)
	require.True(t, lives, "one whose agent failed stays until a key is pressed")
	killed, err := fork.Stopper{Store: s.store, Record: s.record, Self: s.self}.Stop(t.Context())
	require.NoError(t, err)
	require.Empty(t, killed)
	require.NoError(t, s.requireDone(done))
	require.Equal(t, 4, s.state(2).Code)
	require.Equal(t, 143, s.state(3).Code)
	require.NoError(t, server.Kill(t.Context(), sid))
}

// TestKilledTmux: the agents learn of it, and their ends are known.
func TestKilledTmux(t *testing.T) {
	for _, how := range []string{"session", "server", "stubborn"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, 2)
			env := envAgent + "=quick"
			if how == "stubborn" {
				env = envAgent + "=stubborn"
			}
			server := s.inTmux(env)
			_, done := s.waiting(0)
			if how == "session" {
				require.NoError(t, server.Kill(t.Context(), sid))
			} else {
				ask := exec.CommandContext(t.Context(), "tmux", "display-message", "-p", "-t", "mine", "#{pid}")
				ask.Env = server.Env
				out, err := ask.Output()
				require.NoError(t, err)
				var pid int
				_, err = fmt.Sscan(string(out), &pid)
				require.NoError(t, err)
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			}
			if how == "stubborn" { // the agent goes on without a terminal
				s.put(1, "end", "5")
				s.put(2, "end", "5")
			}
			require.NoError(t, s.requireDone(done))
			want := map[bool]int{true: 5, false: 129}[how == "stubborn"]
			for i := 1; i <= 2; i++ {
				require.Equal(t, want, s.state(i).Code)
				s.requireDead(i)
			}
			if how != "session" {
				require.ErrorAs(t, server.Attach(t.Context(), sid, panes.Terminal{}), new(*panes.GoneError))
			}
		})
	}
}

// prompted runs a pane with a terminal, and returns the terminal's other end.
func prompted(t *testing.T, code int, p fork.Prompt) (*screen, <-chan error) {
	t.Helper()
	s := newSession(t, 1)
	s.prepare()
	ptmx, tty, err := pty.Open()
	require.NoError(t, err)
	p.In, p.Out = tty, tty
	t.Cleanup(func() {
		_ = ptmx.Close()
		_ = tty.Close()
	})
	process := fork.PaneProcess{
		Store: s.store, Record: s.record, Index: 1, Self: s.self, Messages: tty, Prompt: p, ShortOfMemory: func() bool { return false },
		Run: func(_ context.Context, started func()) (int, error) { started(); return code, nil },
	}
	done := make(chan error, 1)
	ctx := t.Context()
	go func() {
		_, err := process.Main(ctx)
		done <- err
	}()
	return &screen{File: ptmx}, done
}

// screen is what a terminal shows, as its other end reads it.
type screen struct {
	*os.File
	unread string
}

// await reads until text comes, and keeps what comes after it.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 1024)
	for {
		if _, after, ok := strings.Cut(s.unread, text); ok {
			s.unread = after
			return
		}
		n, err := s.Read(buf)
		require.NoError(t, err, "%q", s.unread)
		s.unread += string(buf[:n])
	}
}

func TestPrompt(t *testing.T) {
	long := time.Hour
	s := &session{t: t}
	f, done := prompted(t, 0, fork.Prompt{Wait: long})
	f.await(t, "exit code 0")
	f.await(t, "Enter closes this pane; it closes by itself in 3600 s")
	_, err := f.Write([]byte("x\r"))
	require.NoError(t, err)
	require.NoError(t, s.requireDone(done))

	f, done = prompted(t, 0, fork.Prompt{Wait: time.Second})
	f.await(t, "in 1 s")
	require.NoError(t, s.requireDone(done), "the time is up")
	_, done = prompted(t, 0, fork.Prompt{})
	require.NoError(t, s.requireDone(done), "no time at all")

	f, done = prompted(t, 3, fork.Prompt{Wait: time.Second})
	f.await(t, "any key closes this pane")
	f.await(t, "any key closes this pane")
	f.await(t, "any key closes this pane") // two seconds later
	_, err = f.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, s.requireDone(done))

	f, done = prompted(t, 3, fork.Prompt{Wait: time.Second})
	f.await(t, "any key")
	require.NoError(t, f.Close(), "the terminal goes")
	require.NoError(t, s.requireDone(done))
}

// TestShellInThePane gets every key that is typed after the one that opens it.
func TestShellInThePane(t *testing.T) {
	s := &session{t: t}
	ptmx, tty, err := pty.Open()
	require.NoError(t, err)
	defer ptmx.Close()
	defer tty.Close()
	shown := &screen{File: ptmx}
	typed := make(chan string, 1)
	st := newSession(t, 1)
	st.prepare()
	process := fork.PaneProcess{
		Store: st.store, Record: st.record, Index: 1, Self: st.self, Messages: tty, ShortOfMemory: func() bool { return false },
		Run: func(_ context.Context, started func()) (int, error) { started(); return 0, nil },
		Prompt: fork.Prompt{In: tty, Out: tty, Wait: time.Hour, Shell: func(context.Context) error {
			buf := make([]byte, 5)
			_, err := io.ReadFull(tty, buf)
			typed <- string(buf)
			return err
		}},
	}
	done := make(chan error, 1)
	ctx := t.Context()
	go func() {
		_, err := process.Main(ctx)
		done <- err
	}()
	shown.await(t, "s: a shell in a container")
	require.Equal(t, fork.Ended, st.state(1).State, "merging need not wait for the shell")
	_, err = ptmx.WriteString("shell\n")
	require.NoError(t, err)
	go io.Copy(io.Discard, ptmx)
	require.Equal(t, "hell\n", <-typed)
	require.NoError(t, s.requireDone(done))
}
