//go:build unix

package foreign_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/merge"
)

// envKill is set in the process that is killed: the step, and the clone as JSON.
const (
	envKill  = "AIFO_FOREIGN_TEST_KILL"
	envClone = "AIFO_FOREIGN_TEST_CLONE"
)

func TestMain(m *testing.M) {
	if step := os.Getenv(envKill); step != "" {
		killAt(step)
	}
	os.Exit(m.Run())
}

func killAt(step string) {
	var c foreign.Clone
	if err := json.Unmarshal([]byte(os.Getenv(envClone)), &c); err != nil {
		panic(err)
	}
	c.Step = func(name string) error {
		if name == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	v, err := foreign.Open(context.Background(), c)
	if err != nil {
		panic(err)
	}
	_, err = v.Fetch(context.Background())
	panic(err)
}

func TestFetch(t *testing.T) {
	f := newFixture(t)
	run(t, f.pane, "checkout", "-q", "-b", "Feature/X")
	other := f.commit(t, "other", "x")
	run(t, f.pane, "checkout", "-q", "fork/main/ab12-1")
	head := f.commit(t, "new", "x")
	run(t, f.pane, "branch", "contained")
	gittest.Write(t, filepath.Join(f.pane, "dirty"), "x")
	got := f.fetch(t)
	further := branch + "--feature-x-"
	refs := f.refs(t)
	require.Len(t, refs, 2)
	require.Equal(t, head, refs[branch])
	for name, object := range refs {
		if name != branch {
			require.True(t, strings.HasPrefix(name, further), name)
			require.Equal(t, other, object)
			further = name
		}
	}
	require.Equal(t, foreign.Fetched{Refs: []foreign.FetchedRef{
		{From: "HEAD", Ref: branch, Object: head}, {From: "refs/heads/Feature/X", Ref: further, Object: other}}}, got)
	run(t, f.root, "fsck", "--strict", "--connectivity-only")
	require.Equal(t, foreign.Fetched{}, f.fetch(t), "twice is once")
	require.Equal(t, "fork/main/ab12-1", run(t, f.root, "branch", "--list", "--format=%(refname:short)", "fork/main/ab12-1"))
	require.Equal(t, []string{"1 file not committed"}, f.look(t).Reasons)

	run(t, f.pane, "add", ".")
	run(t, f.pane, "commit", "-q", "-m", "more")
	next := run(t, f.pane, "rev-parse", "HEAD")
	require.Equal(t, []foreign.FetchedRef{{From: "HEAD", Ref: branch, Old: head, Object: next}}, f.fetch(t).Refs)
}

// TestFetchTwoNames: names that become alike when they are cleaned stay two.
func TestFetchTwoNames(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"a/b", "a-b", "A-b"} {
		run(t, f.pane, "checkout", "-q", "-b", name, f.base)
		f.commit(t, "x", name)
	}
	run(t, f.pane, "checkout", "-q", "fork/main/ab12-1")
	f.fetch(t)
	require.Len(t, f.refs(t), 3)
	require.Contains(t, f.refs(t), branch+"--a-b")
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

// TestFetchDiverged: a branch of that name that has something else is kept.
func TestFetchDiverged(t *testing.T) {
	f := newFixture(t)
	f.commit(t, "x", "x")
	f.fetch(t)
	old := f.refs(t)[branch]
	run(t, f.pane, "commit", "-q", "--amend", "-m", "rewritten")
	head := run(t, f.pane, "rev-parse", "HEAD")
	f.fetch(t)
	want := map[string]string{branch: head, branch + "--kept-" + old[:12]: old}
	require.Equal(t, want, f.refs(t))
	f.fetch(t)
	require.Equal(t, want, f.refs(t))

	run(t, f.pane, "reset", "-q", "--hard", "HEAD~1")
	f.fetch(t)
	require.Equal(t, want, f.refs(t), "a clone that went back takes nothing away")
}

// TestFetchCheckedOut: the user works on the branch, whose files must not be another commit's.
func TestFetchCheckedOut(t *testing.T) {
	f := newFixture(t)
	old := f.commit(t, "x", "x")
	f.fetch(t)
	run(t, f.root, "checkout", "-q", "fork/main/ab12-1")
	head := f.commit(t, "y", "y")
	f.fetch(t)
	want := map[string]string{branch: old, branch + "--new-" + head[:12]: head}
	require.Equal(t, want, f.refs(t))
	f.fetch(t)
	require.Equal(t, want, f.refs(t))
	require.Empty(t, run(t, f.root, "status", "--porcelain"))
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

// TestFetchFromAnother: objects of another repository that the clone was pointed at do not come over.
func TestFetchFromAnother(t *testing.T) {
	f := newFixture(t)
	secret := filepath.Join(t.TempDir(), "secret")
	run(t, f.root, "init", "-q", secret)
	gittest.Write(t, filepath.Join(secret, "s"), "secret")
	run(t, secret, "add", ".")
	run(t, secret, "commit", "-q", "-m", "secret")
	commit := run(t, secret, "rev-parse", "HEAD")
	gittest.Write(t, filepath.Join(f.pane, ".git/objects/info/alternates"), f.clone.Repo.Objects()+"\n"+secret+"/.git/objects\n")
	run(t, f.pane, "update-ref", "refs/heads/secret", commit)
	_, err := f.tryFetch(t.Context())
	var refused *foreign.RefusedError
	require.ErrorAs(t, err, &refused)
	gittest.Write(t, filepath.Join(f.pane, ".git/objects/info/alternates"), f.clone.Repo.Objects()+"\n")
	require.NotEmpty(t, f.fetch(t).Left)
	require.Empty(t, f.refs(t))
	require.False(t, has(f, commit))
}

// TestFetchNoHooks: hooks in the user's repository, which an agent that worked in it may have
// left, do not run either.
func TestFetchNoHooks(t *testing.T) {
	f := newFixture(t)
	f.commit(t, "x", "x")
	tr := newTrap(t)
	run(t, f.root, "config", "core.fsmonitor", tr.script)
	for _, hook := range []string{"reference-transaction", "update", "post-update", "pre-receive", "post-receive", "post-index-change"} {
		require.NoError(t, os.MkdirAll(filepath.Join(f.root, ".git/hooks"), 0o755))
		require.NoError(t, os.Symlink(tr.script, filepath.Join(f.root, ".git/hooks", hook)))
	}
	f.everything(t)
	require.NotEmpty(t, f.refs(t))
	tr.unsprung(t)
}

var fetchSteps = []string{"fetch: write objects", "fetch: move refs"}

func TestFetchFailingSteps(t *testing.T) {
	for _, at := range fetchSteps {
		t.Run(at, func(t *testing.T) {
			f := newFixture(t)
			head := f.commit(t, "x", "x")
			f.clone.Step = func(name string) error {
				if name == at {
					return syscall.ENOSPC
				}
				return nil
			}
			_, err := f.tryFetch(t.Context())
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.Empty(t, f.refs(t))
			require.Equal(t, foreign.HasWork, f.look(t).Kind)
			f.clone.Step = nil
			f.fetch(t)
			require.Equal(t, map[string]string{branch: head}, f.refs(t))
		})
	}
}

func TestFetchKilled(t *testing.T) {
	for _, at := range fetchSteps {
		t.Run(at, func(t *testing.T) {
			f := newFixture(t)
			head := f.commit(t, "x", "x")
			c := f.clone
			c.Scratch = t.TempDir()
			data, err := json.Marshal(c)
			require.NoError(t, err)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envKill+"="+at, envClone+"="+string(data))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit) && exit.ExitCode() == -1, "%s", out)
			require.Empty(t, f.refs(t))
			f.fetch(t)
			require.Equal(t, map[string]string{branch: head}, f.refs(t))
			require.Equal(t, foreign.Preserved, f.look(t).Kind)
			run(t, f.root, "fsck", "--strict")
		})
	}
}

// TestFetchDuringGC: the clone is packed while it is read.
func TestFetchDuringGC(t *testing.T) {
	f := newFixture(t)
	head := f.commit(t, "x", "x")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				cmd := exec.Command("git", "repack", "-q", "-A", "-d", "-l", "-f")
				cmd.Dir = f.pane
				_ = cmd.Run()
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 10 {
		require.Equal(t, head, f.look(t).Head)
	}
	f.fetch(t)
	require.Equal(t, head, f.refs(t)[branch])
}

func TestCancel(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := foreign.Look(ctx, f.clone)
	require.ErrorIs(t, err, context.Canceled)
	f.leavesNothing(t)
}

// TestShallow: the user's repository lacks the history before the base.
func TestShallow(t *testing.T) {
	f := newFixture(t)
	gittest.Write(t, filepath.Join(f.root, mainFile), "later\n")
	run(t, f.root, "commit", "-q", "-a", "-m", "later")
	deep := f.root
	f.root = filepath.Join(filepath.Dir(deep), "shallow")
	f.pane = filepath.Join(f.root, ".aifo-coder/forks/ab12/pane-1")
	run(t, deep, "clone", "-q", "--depth=1", "file://"+deep, f.root)
	f.makePane(t)
	shallow, err := os.ReadFile(filepath.Join(f.root, ".git/shallow"))
	require.NoError(t, err)
	gittest.Write(t, filepath.Join(f.pane, ".git/shallow"), string(shallow))
	require.Equal(t, foreign.Empty, f.look(t).Kind)
	head := f.commit(t, "x", "x")
	f.fetch(t)
	require.Equal(t, head, f.refs(t)[branch])
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

// TestPreviewOfMerge: what is not fetched can be merged for a look.
func TestPreviewOfMerge(t *testing.T) {
	f := newFixture(t)
	head := f.commit(t, "x", "x")
	v, err := foreign.Open(t.Context(), f.clone)
	require.NoError(t, err)
	defer v.Close()
	r, err := merge.Preview(t.Context(), merge.Request{
		Repo: f.clone.Repo, Keep: "refs/heads/merge/ab12", BaseRef: "refs/heads/main", Base: f.base, Objects: []string{v.Objects()},
		Sides: []merge.Side{{Pane: 1, Branch: branch, Commit: head}}, Scratch: t.TempDir(),
	})
	require.NoError(t, err)
	require.Equal(t, "refs/heads/main", r.Target)
	require.Equal(t, "x", r.Title)
	require.Empty(t, f.refs(t))
	require.False(t, has(f, head))
}

// TestDissociated: a clone that was made with all objects borrows none.
func TestDissociated(t *testing.T) {
	f := newFixture(t)
	f.clone.Dissociate = true
	require.Equal(t, foreign.Unknown, f.look(t).Kind, "it borrows")
	run(t, f.pane, "repack", "-q", "-a", "-d")
	require.NoError(t, os.Remove(filepath.Join(f.pane, ".git/objects/info/alternates")))
	require.Equal(t, foreign.Empty, f.look(t).Kind)
	head := f.commit(t, "x", "x")
	f.fetch(t)
	require.Equal(t, head, f.refs(t)[branch])
}
