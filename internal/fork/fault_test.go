//go:build unix

package fork_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// world is a user with a repository, in which something is not committed, and a session of
// fork mode. Its acts are processes of their own, which end at a step that is named.
type world struct {
	t                    *testing.T
	home, repo, ours     string
	before, index, dirty string // what must not change
}

const panesOfWorld = 2

func newWorld(t *testing.T) *world {
	t.Helper()
	top := t.TempDir()
	w := &world{t: t, home: filepath.Join(top, "home"), repo: filepath.Join(top, "the repo"), ours: filepath.Join(top, "ours")}
	for _, dir := range []string{w.home, w.repo, w.ours} {
		require.NoError(t, os.Mkdir(dir, 0o700))
	}
	w.git("init", "--quiet", "--initial-branch=main")
	w.write("file", "base\n")
	w.write("other", "base\n")
	w.git("add", ".")
	w.git("commit", "--quiet", "--message=base")
	w.write("other", "not committed\n")
	w.write("untracked", "not committed\n")
	w.git("add", "other")
	w.remember()
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(filepath.Join(w.repo, name), []byte(content), 0o600))
}

// environ keeps git and the acts within the world.
func (w *world) environ() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.home, "GIT_CONFIG_NOSYSTEM=1", "WORLD_REPO=" + w.repo, "WORLD_DISSOCIATE=" + os.Getenv("WORLD_DISSOCIATE"), "WORLD_OURS=" + w.ours,
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}
}

func (w *world) gitIn(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, w.environ()
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "git %q: %s", args, out)
	return strings.TrimSpace(string(out))
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	return w.gitIn(w.repo, args...)
}

func (w *world) remember() {
	w.before, w.dirty = w.git("rev-parse", "main"), w.git("status", "--porcelain")
	w.index = w.git("ls-files", "--stage")
}

// requireUsersOwn checks that the user's files, index and branch are as they were.
func (w *world) requireUsersOwn() {
	w.t.Helper()
	require.Equal(w.t, w.before, w.git("rev-parse", "main"))
	require.Equal(w.t, w.index, w.git("ls-files", "--stage"))
	require.Equal(w.t, w.dirty, w.git("status", "--porcelain"))
	w.requireFiles()
}

// requireFiles checks that what the user has not committed is there, though a merge may have
// committed the same.
func (w *world) requireFiles() {
	w.t.Helper()
	for _, name := range []string{"other", "untracked"} {
		data, err := os.ReadFile(filepath.Join(w.repo, name))
		require.NoError(w.t, err)
		require.Equal(w.t, "not committed\n", string(data))
	}
	w.git("fsck", "--no-dangling")
}

// service is what a command has that nothing happens to.
func (w *world) service(steps fork.Steps) fork.Service {
	return serviceOf(w.ours, steps, func(s string) { w.t.Log(s) })
}

func serviceOf(ours string, steps fork.Steps, say func(string)) fork.Service {
	return fork.Service{
		Store: fork.Store{Dir: filepath.Join(ours, "state")}, Self: hostfacts.Self(), RuntimeDir: filepath.Join(ours, "run"),
		Step: steps, Warn: say, Begin: func(string) *ui.Work { return nil },
	}
}

// fault is what happens to an act.
type fault struct {
	at   int // which step, from 1; 0: none
	full bool
}

func (f fault) String() string {
	if f.full {
		return fmt.Sprintf("disk full at step %d", f.at)
	}
	return fmt.Sprintf("killed at step %d", f.at)
}

// act runs one act in a process of its own and reports whether it came to its end in spite of
// the fault.
func (w *world) act(f fault, words ...string) (whole bool) {
	w.t.Helper()
	self, err := os.Executable()
	require.NoError(w.t, err)
	cmd := exec.Command(self)
	cmd.Env = append(w.environ(), "WORLD_ACT="+strings.Join(words, " "), "WORLD_AT="+strconv.Itoa(f.at), "WORLD_FULL="+strconv.FormatBool(f.full))
	out, err := cmd.CombinedOutput()
	w.t.Logf("%s, %s: %v\n%s", words, f, err, out)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(w.t, err)
	}
	if f.at == 0 {
		require.NoError(w.t, err, "%s", out)
	}
	return err == nil
}

// actMain is the process of an act.
func actMain(words []string) int {
	s := serviceOf(os.Getenv("WORLD_OURS"), faultFrom(os.Getenv("WORLD_AT"), os.Getenv("WORLD_FULL") == "true"), func(s string) { fmt.Println(s) })
	if err := perform(context.Background(), s, words); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// faultFrom counts steps, and at the one kills the process, or says that the disk is full.
func faultFrom(at string, full bool) fork.Steps {
	n, _ := strconv.Atoi(at)
	count := make(chan int, 1)
	count <- 0
	return func(name string) error {
		c := <-count + 1
		count <- c
		if c != n {
			return nil
		}
		fmt.Println("fault at:", name)
		if full {
			return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func perform(ctx context.Context, s fork.Service, words []string) error {
	if words[0] == "start" {
		return performStart(ctx, s)
	}
	list, err := s.Sessions(os.Getenv("WORLD_REPO"))
	if err != nil || len(list) != 1 {
		return fmt.Errorf("%d sessions: %w", len(list), err)
	}
	r := list[0]
	switch words[0] {
	case "pane":
		index, _ := strconv.Atoi(words[1])
		return performPane(ctx, s, r, index)
	case "merge":
		_, err := s.Merge(ctx, r, fork.MergeSpec{Strategy: fork.StrategyOctopus})
		return err
	case "clean":
		p, err := s.PlanClean(ctx, r, fork.CleanSpec{KeepDirty: true})
		if err != nil {
			return err
		}
		_, err = s.Clean(ctx, p)
		return err
	}
	return fmt.Errorf("no act %q", words)
}

func performStart(ctx context.Context, s fork.Service) error {
	repo, err := git.Open(ctx, os.Getenv("WORLD_REPO"))
	if err != nil {
		return err
	}
	spec := fork.StartSpec{
		Repo: repo, Panes: panesOfWorld, IncludeDirty: true, Layout: "tiled", Runner: fork.RunnerPlain, Strategy: fork.StrategyOctopus,
		Argv: []string{"shell"}, Agent: "shell", AgentState: filepath.Join(os.Getenv("WORLD_OURS"), "agents"),
		Dissociate: os.Getenv("WORLD_DISSOCIATE") == "1",
	}
	r, err := s.Plan(spec)
	if err == nil {
		_, err = s.Start(ctx, r, spec)
	}
	return err
}

// performPane is a pane whose agent commits one file and leaves another.
func performPane(ctx context.Context, s fork.Service, r fork.Record, index int) error {
	p, err := r.Pane(index)
	if err != nil {
		return err
	}
	process := fork.PaneProcess{
		Store: s.Store, Record: r, Index: index, Self: s.Self, Step: s.Step, Messages: os.Stdout,
		ShortOfMemory: func() bool { return false },
		Run: func(_ context.Context, started func()) (int, error) {
			started()
			cmd := exec.Command("sh", "-ec", `
				test -e work-$1 && exit 0
				echo work >work-$1; git add work-$1; git commit --quiet --message="work $1"; echo notes >notes-$1`, "agent", strconv.Itoa(index))
			cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, os.Stdout, os.Stdout
			return 0, cmd.Run()
		},
	}
	_, err = process.Main(ctx)
	return err
}

// eachFault does what is to be done with an act that is killed, or finds the disk full, at
// each of its steps in turn, until it has no more of them.
func eachFault(t *testing.T, try func(t *testing.T, f fault) (whole bool)) {
	for _, full := range []bool{false, true} {
		for at, whole := 1, false; !whole; at++ {
			f := fault{at: at, full: full}
			t.Run(f.String(), func(t *testing.T) { whole = try(t, f) })
			require.Less(t, at, 500)
			if t.Failed() {
				return
			}
		}
	}
}

// requireGone checks that nothing of a session is left.
func (w *world) requireGone() {
	w.t.Helper()
	require.NoDirExists(w.t, filepath.Join(w.repo, ".aifo-coder"))
	require.Empty(w.t, w.git("for-each-ref", "refs/aifo-coder", "refs/heads/fork", "refs/heads/merge"))
	entries, err := os.ReadDir(filepath.Join(w.ours, "state"))
	if !os.IsNotExist(err) {
		require.NoError(w.t, err)
	}
	require.Empty(w.t, entries)
	locks, err := os.ReadDir(filepath.Join(w.ours, "run"))
	if !os.IsNotExist(err) {
		require.NoError(w.t, err)
	}
	for _, l := range locks {
		require.NotContains(w.t, l.Name(), ".env")
	}
}

func TestStartSurvivesEveryFault(t *testing.T) {
	eachFault(t, func(t *testing.T, f fault) bool {
		w := newWorld(t)
		whole := w.act(f, "start")
		w.requireUsersOwn()
		if f.full && !whole {
			w.requireGone() // whatever it had made it removed itself
			return false
		}
		list, err := w.service(nil).Sessions(w.repo)
		require.NoError(t, err)
		for _, r := range list {
			_, err := w.service(nil).Status(t.Context(), r)
			require.NoError(t, err)
			w.act(fault{}, "clean")
		}
		w.requireUsersOwn()
		w.requireGone()
		return whole
	})
}

// TestStartWhereABranchIsInTheWay: the work could not come back later, so nothing begins.
func TestStartWhereABranchIsInTheWay(t *testing.T) {
	const never = 1 << 30
	for _, branch := range []string{"fork", "fork/main", "merge"} {
		w := newWorld(t)
		w.git("branch", branch)
		require.False(t, w.act(fault{at: never}, "start"), branch)
		w.git("branch", "--delete", branch)
		w.requireUsersOwn()
		w.requireGone()
	}
}

// started is a world whose session was started, and run, where ran says so.
func started(t *testing.T, ran bool) *world {
	t.Helper()
	w := newWorld(t)
	w.act(fault{}, "start")
	for i := 1; ran && i <= panesOfWorld; i++ {
		w.act(fault{}, "pane", strconv.Itoa(i))
	}
	return w
}

// only returns the session.
func (w *world) only() fork.Record {
	w.t.Helper()
	list, err := w.service(nil).Sessions(w.repo)
	require.NoError(w.t, err)
	require.Len(w.t, list, 1)
	return list[0]
}

// requireWork checks that the panes' commits are in the user's repository, or in the clones,
// and that what is not committed is there.
func (w *world) requireWork() {
	w.t.Helper()
	for _, p := range w.only().Panes {
		require.FileExists(w.t, filepath.Join(p.Dir, fmt.Sprintf("notes-%d", p.Index)))
		require.Equal(w.t, "work", w.gitIn(p.Dir, "show", fmt.Sprintf("HEAD:work-%d", p.Index)))
	}
}

func TestPaneSurvivesEveryFault(t *testing.T) {
	eachFault(t, func(t *testing.T, f fault) bool {
		w := started(t, false)
		whole := w.act(f, "pane", "1")
		view, err := w.service(nil).Status(t.Context(), w.only())
		require.NoError(t, err)
		require.NotEqual(t, fork.Running, view.Panes[0].State)
		again, err := w.service(nil).Resumable(w.only(), nil)
		require.NoError(t, err)
		require.Len(t, again.Panes, panesOfWorld)
		w.act(fault{}, "pane", "1")
		w.act(fault{}, "pane", "2")
		w.requireWork()
		w.requireUsersOwn()
		return whole
	})
}

func TestMergeSurvivesEveryFault(t *testing.T) {
	eachFault(t, func(t *testing.T, f fault) bool {
		w := started(t, true)
		whole := w.act(f, "merge")
		w.requireWork()
		w.requireFiles()
		w.act(fault{}, "merge")
		w.requireWork()
		w.requireFiles()
		merged := w.only().MergeTarget
		for i := 1; i <= panesOfWorld; i++ {
			require.Equal(t, "work", w.git("show", fmt.Sprintf("%s:work-%d", merged, i)))
		}
		require.Equal(t, "2", w.git("rev-list", "--count", "--first-parent", merged), "one merge commit on the base")
		return whole
	})
}

func TestMergeToCleanTreeSurvivesEveryFault(t *testing.T) {
	eachFault(t, func(t *testing.T, f fault) bool {
		w := newWorld(t)
		w.git("add", ".")
		w.git("commit", "--quiet", "--message=all")
		w.act(fault{}, "start")
		w.act(fault{}, "pane", "1")
		w.act(fault{}, "pane", "2")
		whole := w.act(f, "merge")
		w.requireWork()
		w.act(fault{}, "merge")
		w.requireWork()
		for i := 1; i <= panesOfWorld; i++ {
			require.Equal(t, "work", w.git("show", fmt.Sprintf("main:work-%d", i)))
		}
		require.Empty(t, w.git("status", "--porcelain"))
		require.Equal(t, "3", w.git("rev-list", "--count", "--first-parent", "main"))
		require.Empty(t, w.git("for-each-ref", "refs/heads/merge"))
		return whole
	})
}

func TestCleanSurvivesEveryFault(t *testing.T) {
	eachFault(t, func(t *testing.T, f fault) bool {
		w := started(t, true)
		w.act(fault{}, "merge")
		r := w.only()
		require.NoError(t, os.Remove(filepath.Join(r.Panes[0].Dir, "notes-1")))
		whole := w.act(f, "clean")
		require.FileExists(t, filepath.Join(r.Panes[1].Dir, "notes-2"))
		_, err := w.service(nil).Status(t.Context(), w.only())
		require.NoError(t, err)
		w.act(fault{}, "clean")
		require.NoDirExists(t, r.Panes[0].Dir)
		require.FileExists(t, filepath.Join(r.Panes[1].Dir, "notes-2"))
		require.NoError(t, os.Remove(filepath.Join(r.Panes[1].Dir, "notes-2")))
		w.act(fault{}, "clean")
		require.Equal(t, "work", w.git("show", r.MergeRef()+":work-1"), "the merge that the branch could not take stays")
		w.requireUsersOwn()
		w.git("branch", "--quiet", "-D", "merge/"+r.SID)
		w.requireGone()
		return whole
	})
}
