//go:build unix

package panes_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/panes"
)

// Limits of waits that end as soon as what they wait for is there.
const (
	waitLong = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// hostile are configurations of users that have broken programs which drive tmux.
var hostile = map[string]string{
	"none": "",
	"numbers": "set -g base-index 1\nset -g pane-base-index 1\nset -g renumber-windows on\n" +
		"set -g prefix C-a\nunbind C-b\n",
	"shell":   "set -g default-shell /bin/false\nset -g default-command 'exit 7'\n",
	"options": "set -g destroy-unattached on\nset -g remain-on-exit on\nset -g synchronize-panes on\nset -g set-titles on\nset -g status off\n",
	"hooks":   "set-hook -g after-new-session 'rename-window x'\nset-hook -g after-split-window 'select-layout even-vertical'\nset -g automatic-rename on\n",
}

// private returns a tmux of its own for the test, with the user's configuration.
func private(t *testing.T, config string) panes.Tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal("tmux is not installed")
		}
		t.Skip("tmux is not installed")
	}
	home, err := os.MkdirTemp("", "aifo") //nolint:usetesting // the path of a socket has room for a hundred bytes
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(home, ".tmux.conf"), []byte(config), 0o600))
	s := panes.Tmux{Env: []string{"HOME=" + home, "TMUX_TMPDIR=" + home, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "LC_ALL=C"}}
	t.Cleanup(func() {
		c := tmux(context.Background(), s, "kill-server")
		_ = c.Run() // it may have ended
		require.NoError(t, os.RemoveAll(home))
	})
	return s
}

func tmux(ctx context.Context, s panes.Tmux, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "tmux", append([]string{"-u"}, args...)...)
	c.Env = s.Env
	return c
}

// ask returns what a tmux command prints, without the newline at its end.
func ask(t *testing.T, s panes.Tmux, args ...string) string {
	t.Helper()
	out, err := tmux(t.Context(), s, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSuffix(string(out), "\n")
}

// reporter writes its directory and arguments to a file, and stays until it is killed.
const reporter = `{ pwd; printf '%s\n' "$@"; } > "$0.tmp" && mv "$0.tmp" "$0" && exec sleep 1000`

// oddNames are names of directories that mean something somewhere.
var oddNames = []string{"plain", "a b", `q"'q`, "-dash", "ü→", "#{pane_id}#[fg=red]#", "%H%%", "semi;", `back\`, "$HOME `x`", "{end}", "~"}

func spec(t *testing.T, n int, layout panes.Layout) (panes.Spec, []string) {
	t.Helper()
	dir := t.TempDir()
	s := panes.Spec{Mark: "abc123", Name: "aifo-abc123", Window: "aifo-fork", Layout: layout}
	var files []string
	for i := range n {
		p := panes.Pane{Index: i + 1, Title: fmt.Sprintf("fork/main/abc-%d #{pid} %%H;", i+1), Dir: filepath.Join(dir, fmt.Sprint(i), oddNames[i%len(oddNames)])}
		require.NoError(t, os.MkdirAll(p.Dir, 0o700))
		file := filepath.Join(dir, fmt.Sprintf("report %d;", i))
		p.Argv = []string{"sh", "-c", reporter, file, "a b", "x;", `y\;`, ";", "#{pid}", "%1", "$HOME", "", "-t"}
		files = append(files, file)
		s.Panes = append(s.Panes, p)
	}
	return s, files
}

// requireReports waits until all panes run, in their directories with their arguments.
func requireReports(t *testing.T, s panes.Spec, files []string) {
	t.Helper()
	for i, file := range files {
		require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, waitLong, tick, "pane %d does not run", i+1)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		want := append([]string{s.Panes[i].Dir}, s.Panes[i].Argv[4:]...)
		require.Equal(t, strings.Join(want, "\n")+"\n", string(got))
	}
}

func requireGone(t *testing.T, s panes.Tmux) {
	t.Helper()
	_, err := s.Find(t.Context(), "abc123")
	var gone *panes.GoneError
	require.ErrorAs(t, err, &gone)
	require.NotEmpty(t, gone.Hint())
}

func TestTmuxWithAnyConfiguration(t *testing.T) {
	for name, config := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := private(t, config)
			sp, files := spec(t, len(oddNames), panes.Tiled)
			session, err := s.Start(t.Context(), sp, panes.Size{})
			require.NoError(t, err)
			requireReports(t, sp, files)

			require.Equal(t, session.Name, sp.Name)
			found, err := s.Find(t.Context(), "abc123")
			require.NoError(t, err)
			require.Equal(t, session, found)
			titles := strings.Split(ask(t, s, "list-panes", "-s", "-t", session.ID, "-F", "#{pane_title}"), "\n")
			for _, p := range sp.Panes {
				require.Contains(t, titles, p.Title)
			}
			require.Equal(t, "off", ask(t, s, "show-options", "-wvA", "-t", session.ID, "remain-on-exit"))
			require.Equal(t, "off", ask(t, s, "show-options", "-wvA", "-t", session.ID, "synchronize-panes"))

			require.NoError(t, s.Kill(t.Context(), "abc123"))
			requireGone(t, s)
			require.NoError(t, s.Kill(t.Context(), "abc123"), "there is nothing left to kill")
		})
	}
}

// TestTmuxLeavesTheUsersAlone: other sessions, and options that are not ours.
func TestTmuxLeavesTheUsersAlone(t *testing.T) {
	s := private(t, hostile["options"]+"set -g destroy-unattached off\n")
	ask(t, s, "new-session", "-d", "-s", "mine", "sleep", "1000")
	all := func() string {
		return ask(t, s, "show-options", "-g") + ask(t, s, "show-options", "-gw") + ask(t, s, "show-options", "-s") +
			ask(t, s, "show-options", "-t", "mine") + ask(t, s, "show-options", "-w", "-t", "mine") + ask(t, s, "show-environment", "-g")
	}
	before := all()
	sp, files := spec(t, 3, panes.EvenH)
	_, err := s.Start(t.Context(), sp, panes.Size{})
	require.NoError(t, err)
	requireReports(t, sp, files)
	require.NoError(t, s.Kill(t.Context(), "abc123"))
	require.Equal(t, before, all())
	require.Equal(t, "mine", ask(t, s, "list-sessions", "-F", "#{session_name}"))
}

// TestManyPanesInASmallTerminal: what has no room goes to further windows.
func TestManyPanesInASmallTerminal(t *testing.T) {
	for _, layout := range []panes.Layout{panes.Tiled, panes.EvenH, panes.EvenV} {
		t.Run(string(layout), func(t *testing.T) {
			t.Parallel()
			s := private(t, hostile["numbers"]+hostile["options"])
			sp, files := spec(t, 30, layout)
			session, err := s.Start(t.Context(), sp, panes.Size{Cols: 80, Rows: 24})
			require.NoError(t, err)
			requireReports(t, sp, files)
			ids := strings.Fields(ask(t, s, "list-panes", "-s", "-t", session.ID, "-F", "#{window_id}"))
			require.Len(t, ids, 30)
			slices.Sort(ids)
			for _, w := range slices.Compact(ids) {
				require.Equal(t, "off", ask(t, s, "show-options", "-wvA", "-t", w, "remain-on-exit"))
			}
			if layout == panes.EvenV {
				require.Greater(t, len(slices.Compact(ids)), 1)
			}
		})
	}
}

func TestNameThatIsTaken(t *testing.T) {
	s := private(t, "")
	for _, name := range []string{"aifo-abc123", "ü_ñ", "_1"} {
		ask(t, s, "new-session", "-d", "-s", name, "sleep", "1000")
		sp, files := spec(t, 2, panes.Tiled)
		sp.Name = name
		_, err := s.Start(t.Context(), sp, panes.Size{})
		var taken *panes.NameTakenError
		require.ErrorAs(t, err, &taken)
		require.NotEmpty(t, taken.Hint())
		require.NoFileExists(t, files[0])
		requireGone(t, s)
		// A name that only begins like it is another one.
		sp.Name = name[:len(name)-1] + "-"
		sp.Name = panes.SessionName(sp.Name)
		_, err = s.Start(t.Context(), sp, panes.Size{})
		require.NoError(t, err)
		require.NoError(t, s.Kill(t.Context(), "abc123"))
	}
}

// TestFailedStartLeavesNothing fails each step of a start.
func TestFailedStartLeavesNothing(t *testing.T) {
	errStep := fmt.Errorf("no space left on device")
	var steps []string
	try := func(fail int) error {
		s := private(t, hostile["options"])
		n := 0
		s.Step = func(name string) error {
			if fail < 0 {
				steps = append(steps, name)
			}
			if n++; n == fail+1 {
				return errStep
			}
			return nil
		}
		sp, _ := spec(t, 3, panes.Tiled)
		_, err := s.Start(t.Context(), sp, panes.Size{})
		if err != nil {
			requireGone(t, s)
		}
		return err
	}
	require.NoError(t, try(-1))
	require.Contains(t, steps, "tmux: start pane 3")
	for i := range steps {
		if err := try(i); strings.HasPrefix(steps[i], "tmux: start pane") && i > 0 {
			require.NoError(t, err, "%s: it went to another window", steps[i])
		} else {
			require.ErrorIs(t, err, errStep, steps[i])
		}
	}

	s := private(t, "")
	sp, _ := spec(t, 3, panes.Tiled)
	sp.Panes[2].Dir = filepath.Join(sp.Panes[2].Dir, "missing")
	_, err := s.Start(t.Context(), sp, panes.Size{})
	require.ErrorContains(t, err, "pane 3")
	requireGone(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	s.Step = func(name string) error {
		if name == "tmux: start pane 3" {
			cancel()
		}
		return nil
	}
	sp, _ = spec(t, 3, panes.Tiled)
	_, err = s.Start(ctx, sp, panes.Size{})
	require.ErrorIs(t, err, context.Canceled)
	s.Step = nil
	requireGone(t, s)
}

// TestServerThatIsEnding: with its last session a server goes, while others call it.
func TestServerThatIsEnding(t *testing.T) {
	s := private(t, "")
	for range 20 {
		sp, _ := spec(t, 1, panes.Tiled)
		_, err := s.Start(t.Context(), sp, panes.Size{})
		require.NoError(t, err)
		require.NoError(t, s.Kill(t.Context(), "abc123"))
	}
}

// TestProgramsThatEndAtOnce: the windows must not go before all have been started.
func TestProgramsThatEndAtOnce(t *testing.T) {
	s := private(t, "")
	sp, files := spec(t, 4, panes.Tiled)
	for i := range sp.Panes {
		sp.Panes[i].Argv[2] = strings.Replace(reporter, "exec sleep 1000", "true", 1)
	}
	_, err := s.Start(t.Context(), sp, panes.Size{})
	require.NoError(t, err)
	requireReports(t, sp, files)
	require.Eventually(t, func() bool { _, err := s.Find(t.Context(), "abc123"); return err != nil }, waitLong, tick)
	requireGone(t, s)
}

// TestAddBesideOthers: panes come back into a session in which others still run.
func TestAddBesideOthers(t *testing.T) {
	for name, config := range hostile {
		t.Run(name, func(t *testing.T) {
			s := private(t, config)
			whole, files := spec(t, 4, panes.Tiled)
			again := whole
			again.Panes = whole.Panes[2:]
			_, err := s.Add(t.Context(), again)
			var gone *panes.GoneError
			require.ErrorAs(t, err, &gone)

			others := whole
			others.Panes = whole.Panes[:2]
			started, err := s.Start(t.Context(), others, panes.Size{})
			require.NoError(t, err)
			before := ask(t, s, "list-panes", "-s", "-t", started.ID, "-F", "#{pane_pid}")
			added, err := s.Add(t.Context(), again)
			require.NoError(t, err)
			require.Equal(t, started, added)
			requireReports(t, whole, files)
			after := strings.Fields(ask(t, s, "list-panes", "-s", "-t", started.ID, "-F", "#{pane_pid}"))
			require.Len(t, after, 4)
			require.Subset(t, after, strings.Fields(before), "the others run on")

			again.Panes = []panes.Pane{whole.Panes[2], whole.Panes[3]}
			again.Panes[0].Argv = []string{"sleep", "1000"} // a reporter that is undone may still write while the test tidies up
			again.Panes[1].Dir = filepath.Join(again.Panes[1].Dir, "missing")
			_, err = s.Add(t.Context(), again)
			require.ErrorContains(t, err, "pane 4")
			require.Equal(t, after, strings.Fields(ask(t, s, "list-panes", "-s", "-t", started.ID, "-F", "#{pane_pid}")), "a failure leaves them alone")
		})
	}
}

func TestTmuxIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := panes.Tmux{Env: []string{"TMUX_TMPDIR=" + t.TempDir()}}
	sp, _ := spec(t, 2, panes.Tiled)
	var missing *panes.TmuxMissingError
	_, err := s.Start(t.Context(), sp, panes.Size{})
	require.ErrorAs(t, err, &missing)
	require.Contains(t, missing.Hint(), "--fork-runner=plain")
	require.ErrorAs(t, s.Attach(t.Context(), "abc123", panes.Terminal{}), &missing)
	require.NoError(t, s.Kill(t.Context(), "abc123"))
}

// client attaches on a terminal of its own and returns what Attach will return.
func client(t *testing.T, attach func(panes.Terminal) error) <-chan error {
	t.Helper()
	ptmx, tty, err := pty.Open()
	require.NoError(t, err)
	require.NoError(t, pty.Setsize(ptmx, &pty.Winsize{Rows: 24, Cols: 80}))
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := ptmx.Read(buf); err != nil {
				return
			}
		}
	}()
	done := make(chan error, 1)
	go func() { done <- attach(panes.Terminal{In: tty, Out: tty, Err: tty}) }()
	t.Cleanup(func() {
		_ = ptmx.Close()
		_ = tty.Close()
	})
	return done
}

func (c clients) requireOne(t *testing.T, session string) {
	t.Helper()
	require.Eventually(t, func() bool { return ask(t, c.s, "list-clients", "-F", "#{session_id}") == session }, waitLong, tick)
}

type clients struct{ s panes.Tmux }

func requireDone(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(waitLong):
		t.Fatal("the client is still attached")
		return nil
	}
}

func TestAttachAndDetach(t *testing.T) {
	s := private(t, hostile["numbers"]+hostile["options"])
	require.ErrorAs(t, s.Attach(t.Context(), "abc123", panes.Terminal{}), new(*panes.GoneError))
	sp, files := spec(t, 2, panes.Tiled)
	session, err := s.Start(t.Context(), sp, panes.Size{})
	require.NoError(t, err)
	requireReports(t, sp, files)

	attach := func(term panes.Terminal) error { return s.Attach(t.Context(), "abc123", term) }
	done := client(t, attach)
	clients{s}.requireOne(t, session.ID)
	ask(t, s, "detach-client", "-s", session.ID)
	require.NoError(t, requireDone(t, done))
	found, err := s.Find(t.Context(), "abc123")
	require.NoError(t, err, "the panes go on")

	// The socket alone finds it, as from another environment.
	other := panes.Tmux{Env: []string{"PATH=" + os.Getenv("PATH"), "TERM=xterm"}, Socket: found.Socket}
	done = client(t, func(term panes.Terminal) error { return other.Attach(t.Context(), "abc123", term) })
	clients{s}.requireOne(t, session.ID)
	require.NoError(t, other.Kill(t.Context(), "abc123"))
	require.NoError(t, requireDone(t, done), "the session has ended")
}

// TestInsideTmux: the client around us is switched over.
func TestInsideTmux(t *testing.T) {
	s := private(t, "")
	ask(t, s, "new-session", "-d", "-s", "mine", "sleep", "1000")
	mine := ask(t, s, "list-sessions", "-F", "#{session_id}")
	inside := s
	around := ask(t, s, "display-message", "-p", "-t", "mine", "#{socket_path},#{pid},0")
	pane := ask(t, s, "display-message", "-p", "-t", "mine", "#{pane_id}")
	inside.Env = append(slices.Clone(s.Env), "TMUX="+around, "TMUX_PANE="+pane)
	c := tmux(t.Context(), s, "attach-session", "-t", mine)
	f, err := pty.Start(c)
	require.NoError(t, err)
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := f.Read(buf); err != nil {
				return
			}
		}
	}()
	clients{s}.requireOne(t, mine)

	sp, files := spec(t, 2, panes.Tiled)
	session, err := inside.Start(t.Context(), sp, panes.Size{})
	require.NoError(t, err)
	requireReports(t, sp, files)
	require.NoError(t, inside.Attach(t.Context(), "abc123", panes.Terminal{}))
	clients{s}.requireOne(t, session.ID)

	elsewhere := private(t, "")
	sp, _ = spec(t, 1, panes.Tiled)
	there, err := elsewhere.Start(t.Context(), sp, panes.Size{})
	require.NoError(t, err)
	inside.Socket = there.Socket
	var other *panes.OtherServerError
	require.ErrorAs(t, inside.Attach(t.Context(), "abc123", panes.Terminal{}), &other)
	ask(t, s, "detach-client", "-s", session.ID)
	_ = c.Wait()
	_ = f.Close()
}

// TestRenamedSession: what is ours is told by its mark, not by its name.
func TestRenamedSession(t *testing.T) {
	s := private(t, "")
	sp, _ := spec(t, 1, panes.Tiled)
	session, err := s.Start(t.Context(), sp, panes.Size{})
	require.NoError(t, err)
	ask(t, s, "rename-session", "-t", session.ID, "other name")
	ask(t, s, "new-session", "-d", "-s", sp.Name, "sleep", "1000")
	found, err := s.Find(t.Context(), "abc123")
	require.NoError(t, err)
	require.Equal(t, session.ID, found.ID)
	require.Equal(t, "other name", found.Name)
	require.NoError(t, s.Kill(t.Context(), "abc123"))
	require.Equal(t, sp.Name, ask(t, s, "list-sessions", "-F", "#{session_name}"), "a session that has only the name is not ours")
}
