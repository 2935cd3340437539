//go:build unix

package merge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
	"github.com/aifo-coder/aifo-coder/internal/merge"
)

const (
	envKill = "AIFO_MERGE_TEST_KILL" // the step to be killed at
	keep    = "refs/heads/merge/ab12"
	base    = "refs/heads/main"
)

// TestMain also is the process that is killed half-way.
func TestMain(m *testing.M) {
	if step := os.Getenv(envKill); step != "" {
		killAt(step)
	}
	os.Exit(m.Run())
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %s: %s", strings.Join(args, " "), out)
	return strings.TrimSuffix(string(out), "\n")
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// fixture is a repository with the branches of some panes.
type fixture struct {
	root string
	req  merge.Request
}

// newFixture makes a repository with a, b and c, and for each pane the changes of its map.
func newFixture(t *testing.T, panes ...map[string]string) *fixture {
	t.Helper()
	gittest.Author(t)
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	f := &fixture{root: filepath.Join(root, "repo")}
	require.NoError(t, os.Mkdir(f.root, 0o755))
	run(t, f.root, "init", "-q", "-b", "main")
	for _, name := range []string{"a", "b", "c"} {
		gittest.Write(t, filepath.Join(f.root, name), name+"\n")
	}
	run(t, f.root, "add", ".")
	run(t, f.root, "commit", "-q", "-m", "base")
	f.req = merge.Request{Keep: keep, BaseRef: base, Base: run(t, f.root, "rev-parse", "HEAD"), Scratch: t.TempDir()}
	for i, files := range panes {
		f.pane(t, i+1, files)
	}
	run(t, f.root, "checkout", "-q", "main")
	f.req.Repo, err = git.Open(t.Context(), f.root)
	require.NoError(t, err)
	return f
}

// pane makes the branch of a pane; content "" deletes a file.
func (f *fixture) pane(t *testing.T, index int, files map[string]string) {
	t.Helper()
	branch := fmt.Sprintf("fork/main/ab12-%d", index)
	run(t, f.root, "checkout", "-q", "-b", branch, f.req.Base)
	for name, text := range files {
		if text == "" {
			run(t, f.root, "rm", "-q", name)
		} else {
			gittest.Write(t, filepath.Join(f.root, name), text)
		}
	}
	run(t, f.root, "add", ".")
	if len(files) > 0 {
		run(t, f.root, "commit", "-q", "-m", fmt.Sprintf("feat(x): work of pane %d", index))
	}
	f.req.Sides = append(f.req.Sides, merge.Side{Pane: index, Branch: "refs/heads/" + branch, Commit: run(t, f.root, "rev-parse", "HEAD")})
}

func (f *fixture) octopus(t *testing.T) merge.Result {
	t.Helper()
	r, err := merge.Octopus(t.Context(), f.req)
	require.NoError(t, err)
	f.leavesNothing(t)
	return r
}

func (f *fixture) leavesNothing(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(f.req.Scratch)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// merged shows that the base branch has the merge, with files and index, and nothing is left over.
func (f *fixture) merged(t *testing.T, r merge.Result, dirty ...string) {
	t.Helper()
	require.Equal(t, base, r.Target, "%+v", r)
	require.Empty(t, r.Left)
	require.Equal(t, r.Commit, run(t, f.root, "rev-parse", "main"))
	require.Empty(t, run(t, f.root, "for-each-ref", "refs/heads/merge"))
	require.Equal(t, strings.Join(dirty, "\n"), run(t, f.root, "status", "--porcelain"))
	run(t, f.root, "fsck", "--strict")
}

func three(t *testing.T) *fixture {
	return newFixture(t, map[string]string{"a": "A\n", "new/one": "1\n"}, map[string]string{}, map[string]string{"b": "", "new/two": "2\n"})
}

func TestOctopus(t *testing.T) {
	f := three(t)
	want, err := merge.Preview(t.Context(), f.req)
	require.NoError(t, err)
	f.leavesNothing(t)
	require.Equal(t, f.req.Base, run(t, f.root, "rev-parse", "main"))
	require.Empty(t, run(t, f.root, "for-each-ref", "refs/heads/merge"))

	r := f.octopus(t)
	f.merged(t, r)
	want.Commit = r.Commit // it has the time in it
	require.Equal(t, want, r)
	require.Equal(t, []merge.Side{f.req.Sides[1]}, r.Skipped)
	parents := strings.Fields(run(t, f.root, "show", "-s", "--format=%P", "main"))
	require.Equal(t, []string{f.req.Base, f.req.Sides[0].Commit, f.req.Sides[2].Commit}, parents)
	require.Equal(t, "A\n", content(t, filepath.Join(f.root, "a")))
	require.Equal(t, "1\n", content(t, filepath.Join(f.root, "new/one")))
	require.Equal(t, "2\n", content(t, filepath.Join(f.root, "new/two")))
	require.NoFileExists(t, filepath.Join(f.root, "b"))
	id := func(i int) string { return run(t, f.root, "rev-parse", "--short", f.req.Sides[i].Commit) }
	require.Equal(t, "work of pane 1 / work of pane 3\n\nfork/main/ab12-1:\n- "+id(0)+" feat(x): work of pane 1\n\nfork/main/ab12-3:\n- "+id(2)+
		" feat(x): work of pane 3\n", run(t, f.root, "show", "-s", "--format=%B", "main"))
	require.Equal(t, "A U Thor <author@example.com>", run(t, f.root, "show", "-s", "--format=%an <%ae>", "main"))

	again := f.octopus(t)
	require.Empty(t, again.Commit, "there is nothing left to merge")
	require.Len(t, again.Skipped, 3)
	require.Equal(t, r.Commit, run(t, f.root, "rev-parse", "main"))
}

// TestBaseWentOn: the user committed meanwhile.
func TestBaseWentOn(t *testing.T) {
	f := three(t)
	gittest.Write(t, filepath.Join(f.root, "c"), "C\n")
	run(t, f.root, "commit", "-q", "-a", "-m", "mine")
	tip := run(t, f.root, "rev-parse", "HEAD")
	r := f.octopus(t)
	f.merged(t, r)
	require.Equal(t, tip, run(t, f.root, "rev-parse", "main^1"))
	require.Equal(t, "C\n", content(t, filepath.Join(f.root, "c")))
}

// TestNotCheckedOut: the base branch is nowhere checked out, so no file changes.
func TestNotCheckedOut(t *testing.T) {
	f := three(t)
	run(t, f.root, "checkout", "-q", "-b", "mine")
	gittest.Write(t, filepath.Join(f.root, "a"), "dirty\n")
	r := f.octopus(t)
	f.merged(t, r, " M a")
}

// TestDirty: what the user changed and the merge did not stays; it is staged or not as before.
func TestDirty(t *testing.T) {
	f := three(t)
	gittest.Write(t, filepath.Join(f.root, "c"), "dirty\n")
	gittest.Write(t, filepath.Join(f.root, "untracked"), "mine\n")
	gittest.Write(t, filepath.Join(f.root, "staged"), "mine\n")
	run(t, f.root, "add", "staged")
	r := f.octopus(t)
	f.merged(t, r, " M c", "A  staged", "?? untracked")
}

// TestInTheWay: what the merge would overwrite keeps the branch where it is.
func TestInTheWay(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, f *fixture){
		"changed": func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.root, "a"), "mine\n") },
		"staged": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.root, "a"), "mine\n")
			run(t, f.root, "add", "a")
		},
		"deleted":   func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.root, "b"), "mine\n") },
		"untracked": func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.root, "new/one"), "mine\n") },
		"ignored": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.root, ".git/info/exclude"), "new\n")
			gittest.Write(t, filepath.Join(f.root, "new/one"), "mine\n")
		},
		"ignored, below": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.root, ".git/info/exclude"), "*.o\n")
			gittest.Write(t, filepath.Join(f.root, "new/one/x.o"), "mine\n")
		},
		"ignored, above": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.root, ".git/info/exclude"), "new\n")
			gittest.Write(t, filepath.Join(f.root, "new"), "mine\n")
		},
		"file for directory": func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.root, "new"), "mine\n") },
	} {
		t.Run(name, func(t *testing.T) {
			f := three(t)
			do(t, f)
			status, index := run(t, f.root, "status", "--porcelain", "--ignored"), content(t, f.req.Repo.Index())
			want, err := merge.Preview(t.Context(), f.req)
			require.NoError(t, err)
			r := f.octopus(t)
			want.Commit = r.Commit
			require.Equal(t, want, r)
			require.Equal(t, keep, r.Target)
			require.Regexp(t, "git did not bring the files to the merge: |changes of yours that are not committed are in the way|files are in the way that git knows nothing of: ", r.Left)
			require.Equal(t, f.req.Base, run(t, f.root, "rev-parse", "main"))
			require.Equal(t, r.Commit, run(t, f.root, "rev-parse", "merge/ab12"))
			require.Equal(t, status, run(t, f.root, "status", "--porcelain", "--ignored"))
			require.Equal(t, index, content(t, f.req.Repo.Index()))

			run(t, f.root, "reset", "-q", "--hard")
			run(t, f.root, "clean", "-q", "-f", "-d", "-x")
			again := f.octopus(t)
			require.Equal(t, r.Commit, again.Commit, "the same merge")
			f.merged(t, again)
		})
	}
}

// TestLeft: where the base branch cannot take the merge.
func TestLeft(t *testing.T) {
	for want, do := range map[string]func(t *testing.T, f *fixture){
		"the session did not start from a branch": func(_ *testing.T, f *fixture) { f.req.BaseRef = "" },
		"the branch main is gone": func(t *testing.T, f *fixture) {
			run(t, f.root, "checkout", "-q", "--detach")
			run(t, f.root, "branch", "-q", "-D", "main")
		},
		"main is checked out in ": func(t *testing.T, f *fixture) {
			run(t, f.root, "checkout", "-q", "--detach")
			run(t, f.root, "worktree", "add", "-q", filepath.Join(t.TempDir(), "linked"), "main")
		},
		"a merge is under way in ": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.root, ".git/MERGE_HEAD"), f.req.Base+"\n")
		},
		"a rebase of main is under": func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.root, ".git/rebase-merge/head-name"), "refs/heads/main\n")
		},
		"is a sparse one":         func(t *testing.T, f *fixture) { run(t, f.root, "config", "core.sparseCheckout", "true") },
		"another git is changing": func(t *testing.T, f *fixture) { gittest.Write(t, f.req.Repo.Index()+".lock", "") },
	} {
		t.Run(want, func(t *testing.T) {
			f := three(t)
			do(t, f)
			r := f.octopus(t)
			require.Contains(t, r.Left, want)
			require.Equal(t, keep, r.Target)
			require.Equal(t, r.Commit, run(t, f.root, "rev-parse", "merge/ab12"))
			require.Equal(t, "a\n", content(t, filepath.Join(f.root, "a")))
			require.Equal(t, r.Commit, f.octopus(t).Commit, "twice is once")
		})
	}
}

func TestConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		panes []map[string]string
		mine  string
		want  merge.ConflictError
	}{
		"of panes": {[]map[string]string{{"a": "1\n"}, {"b": "2\n"}, {"a": "3\n", "b": "2\n"}}, "",
			merge.ConflictError{Other: "pane 1 (fork/main/ab12-1)", Files: []string{"a"}}},
		"with the branch": {[]map[string]string{{"b": "2\n"}, {"c": "2\n"}, {"a": "3\n"}}, "mine\n",
			merge.ConflictError{Other: "main", Files: []string{"a"}}},
		"deleted": {[]map[string]string{{"a": ""}, {"b": "2\n"}, {"a": "3\n"}}, "",
			merge.ConflictError{Other: "pane 1 (fork/main/ab12-1)", Files: []string{"a"}}},
		"odd name": {[]map[string]string{{"x\x1b\n": "1"}, {"b": "2\n"}, {"x\x1b\n": "3"}}, "",
			merge.ConflictError{Other: "pane 1 (fork/main/ab12-1)", Files: []string{"x??"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, c.panes...)
			if c.mine != "" {
				gittest.Write(t, filepath.Join(f.root, "a"), c.mine)
				run(t, f.root, "commit", "-q", "-a", "-m", "mine")
			}
			before, objects := run(t, f.root, "for-each-ref"), run(t, f.root, "count-objects", "-v")
			c.want.Side = f.req.Sides[2]
			for _, merges := range []func() (merge.Result, error){
				func() (merge.Result, error) { return merge.Preview(t.Context(), f.req) },
				func() (merge.Result, error) { return merge.Octopus(t.Context(), f.req) },
			} {
				_, err := merges()
				var conflict *merge.ConflictError
				require.ErrorAs(t, err, &conflict)
				require.Equal(t, &c.want, conflict)
				require.NotEmpty(t, conflict.Hint())
			}
			require.Equal(t, before, run(t, f.root, "for-each-ref"))
			require.Equal(t, objects, run(t, f.root, "count-objects", "-v"))
			require.Empty(t, run(t, f.root, "status", "--porcelain"))
			f.leavesNothing(t)
		})
	}
}

// TestNothingRuns: no driver, hook or filter of the repository runs.
func TestNothingRuns(t *testing.T) {
	f := newFixture(t, map[string]string{"a": "x\ny\nA\n", ".gitattributes": "* merge=evil filter=evil\n"}, map[string]string{"b": "B\n"})
	mark, trap := filepath.Join(t.TempDir(), "mark"), filepath.Join(t.TempDir(), "trap")
	gittest.Write(t, trap, "#!/bin/sh\ntouch "+mark+"\n")
	require.NoError(t, os.Chmod(trap, 0o755))
	gittest.Write(t, filepath.Join(f.root, "a"), "a\nb\n")
	run(t, f.root, "commit", "-q", "-a", "-m", "mine")
	f.req.Sides[0].Commit = run(t, f.root, "commit-tree", "-p", f.req.Base, "-m", "x", f.req.Sides[0].Commit+"^{tree}")
	for _, kv := range []string{"core.fsmonitor", "merge.evil.driver", "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "core.sshCommand", "gpg.program"} {
		run(t, f.root, "config", kv, trap)
	}
	run(t, f.root, "config", "commit.gpgSign", "true")
	for _, hook := range []string{"reference-transaction", "post-checkout", "post-index-change", "post-merge", "pre-merge-commit", "pre-commit", "post-commit", "update"} {
		require.NoError(t, os.MkdirAll(filepath.Join(f.root, ".git/hooks"), 0o755))
		require.NoError(t, os.Symlink(trap, filepath.Join(f.root, ".git/hooks", hook)))
	}
	_, err := merge.Octopus(t.Context(), f.req)
	var conflict *merge.ConflictError
	require.ErrorAs(t, err, &conflict, "a text is merged as a text")
	f.req.Sides = f.req.Sides[1:]
	r := f.octopus(t)
	require.Equal(t, base, r.Target, "%+v", r)
	require.NoFileExists(t, mark)
}

// TestLaterMerge: an earlier merge that was left, and may be built upon, is kept.
func TestLaterMerge(t *testing.T) {
	f := three(t)
	gittest.Write(t, filepath.Join(f.root, "a"), "mine\n")
	first := f.octopus(t)
	require.Equal(t, keep, first.Target)
	run(t, f.root, "commit", "-q", "-a", "-m", "mine")
	f.req.Sides = f.req.Sides[2:]
	second := f.octopus(t)
	f2 := run(t, f.root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/merge")
	require.Equal(t, first.Commit+" "+keep+"--kept-"+first.Commit[:12], f2)
	require.Equal(t, base, second.Target)

	run(t, f.root, "branch", "merge/ab12", first.Commit)
	run(t, f.root, "checkout", "-q", "merge/ab12")
	f.pane(t, 4, map[string]string{"c": "C\n"})
	run(t, f.root, "checkout", "-q", "merge/ab12")
	_, err := merge.Octopus(t.Context(), f.req)
	var busy *merge.BusyError
	require.ErrorAs(t, err, &busy)
	require.NotEmpty(t, busy.Hint())
}

// TestTidy: the user merged by hand what was left.
func TestTidy(t *testing.T) {
	f := three(t)
	gittest.Write(t, filepath.Join(f.root, "a"), "mine\n")
	require.Equal(t, keep, f.octopus(t).Target)
	run(t, f.root, "reset", "-q", "--hard")
	run(t, f.root, "merge", "-q", "--ff-only", "merge/ab12")
	require.Empty(t, f.octopus(t).Commit)
	require.Empty(t, run(t, f.root, "for-each-ref", "refs/heads/merge"))
}

// TestMovedMeanwhile: the user commits while the files are being written.
func TestMovedMeanwhile(t *testing.T) {
	f := three(t)
	f.req.Step = func(name string) error {
		if name == "merge: move the branch" {
			run(t, f.root, "update-ref", base, run(t, f.root, "commit-tree", "-p", "main", "-m", "mine", "main^{tree}"))
		}
		return nil
	}
	r, err := merge.Octopus(t.Context(), f.req)
	require.Error(t, err)
	require.Equal(t, keep, r.Target)
	require.Empty(t, run(t, f.root, "status", "--porcelain"), "the files are back")
	require.Equal(t, "a\n", content(t, filepath.Join(f.root, "a")))
	f.req.Step = nil
	f.req.Keep = keep
	r = f.octopus(t)
	require.Equal(t, base, r.Target)
}

var steps = []string{"merge: write objects", "merge: set the branch of the merge", "merge: write files", "merge: move the branch"}

// TestFailingSteps: each step may fail, as on a full disk; the next time it completes.
func TestFailingSteps(t *testing.T) {
	for _, at := range steps {
		t.Run(at, func(t *testing.T) {
			f := three(t)
			gittest.Write(t, filepath.Join(f.root, "c"), "dirty\n")
			reached := false
			f.req.Step = func(name string) error {
				if name == at {
					reached = true
					return syscall.ENOSPC
				}
				return nil
			}
			_, err := merge.Octopus(t.Context(), f.req)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.True(t, reached)
			f.req.Step = nil
			f.merged(t, f.octopus(t), " M c")
		})
	}
}

// killAt is the process of TestKilled.
func killAt(step string) {
	repo, err := git.Open(context.Background(), os.Getenv("ROOT"))
	if err != nil {
		panic(err)
	}
	req := merge.Request{Repo: repo, Keep: keep, BaseRef: base, Base: os.Getenv("BASE"), Scratch: os.Getenv("SCRATCH")}
	for i, s := range strings.Fields(os.Getenv("SIDES")) {
		req.Sides = append(req.Sides, merge.Side{Pane: i + 1, Branch: fmt.Sprintf("refs/heads/fork/main/ab12-%d", i+1), Commit: s})
	}
	req.Step = func(name string) error {
		if name == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	_, err = merge.Octopus(context.Background(), req)
	panic(err)
}

func TestKilled(t *testing.T) {
	for _, at := range steps {
		t.Run(at, func(t *testing.T) {
			f := three(t)
			gittest.Write(t, filepath.Join(f.root, "c"), "dirty\n")
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envKill+"="+at, "ROOT="+f.root, "BASE="+f.req.Base, "SCRATCH="+t.TempDir())
			var sides []string
			for _, s := range f.req.Sides {
				sides = append(sides, s.Commit)
			}
			cmd.Env = append(cmd.Env, "SIDES="+strings.Join(sides, " "))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit) && exit.ExitCode() == -1, "%s", out)
			f.merged(t, f.octopus(t), " M c")
		})
	}
}

// TestKilledWhileWriting: git itself was killed after it wrote some of the files.
func TestKilledWhileWriting(t *testing.T) {
	f := three(t)
	f.req.Step = func(name string) error {
		if name == "merge: write files" {
			return syscall.EINTR
		}
		return nil
	}
	_, err := merge.Octopus(t.Context(), f.req)
	require.ErrorIs(t, err, syscall.EINTR)
	f.req.Step = nil
	gittest.Write(t, filepath.Join(f.root, "c"), "dirty\n")
	gittest.Write(t, filepath.Join(f.root, "a"), "A\n")
	gittest.Write(t, filepath.Join(f.root, "new/one"), "1\n")
	require.NoError(t, os.Remove(filepath.Join(f.root, "b")))
	lock := f.req.Repo.Index() + ".lock"
	gittest.Write(t, lock, "")
	require.Contains(t, f.octopus(t).Left, lock)
	require.NoError(t, os.Remove(lock))
	f.merged(t, f.octopus(t), " M c")
}

// TestLFS: the user's Git LFS writes contents that the repository has, and fetches none from
// where the merged files say.
func TestLFS(t *testing.T) {
	if _, err := exec.LookPath("git-lfs"); err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal("git-lfs is not installed")
		}
		t.Skip("git-lfs is not installed")
	}
	f := newFixture(t)
	run(t, f.root, "lfs", "install", "--skip-repo")
	gittest.Write(t, filepath.Join(f.root, ".gitattributes"), "*.bin filter=lfs diff=lfs merge=lfs -text\n")
	run(t, f.root, "add", ".")
	run(t, f.root, "commit", "-q", "-m", "attributes")
	f.req.Base = run(t, f.root, "rev-parse", "HEAD")
	f.pane(t, 1, map[string]string{"here.bin": "content\n", "gone.bin": "gone\n", ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:9/evil\n"})
	run(t, f.root, "checkout", "-q", "main")
	pointer := run(t, f.root, "show", f.req.Sides[0].Commit+":gone.bin")
	oid := strings.TrimPrefix(strings.Split(pointer, "\n")[1], "oid sha256:")
	require.NoError(t, os.Remove(filepath.Join(f.root, ".git/lfs/objects", oid[:2], oid[2:4], oid)))
	r := f.octopus(t)
	require.Equal(t, base, r.Target, "%+v", r)
	require.Equal(t, "content\n", content(t, filepath.Join(f.root, "here.bin")))
	require.Equal(t, pointer+"\n", content(t, filepath.Join(f.root, "gone.bin")))
	require.Empty(t, run(t, f.root, "status", "--porcelain"))
}

// TestLinkedWorktree: the session belongs to a linked work tree.
func TestLinkedWorktree(t *testing.T) {
	f := three(t)
	run(t, f.root, "checkout", "-q", "--detach")
	main := f.root
	f.root = filepath.Join(filepath.Dir(main), "linked")
	run(t, main, "worktree", "add", "-q", f.root, "main")
	var err error
	f.req.Repo, err = git.Open(t.Context(), f.root)
	require.NoError(t, err)
	gittest.Write(t, filepath.Join(f.root, "c"), "dirty\n")
	f.merged(t, f.octopus(t), " M c")
	require.Empty(t, run(t, main, "status", "--porcelain"))
}

// TestHalfWritten: git was killed while it wrote a file; what to do is said, and then it completes.
func TestHalfWritten(t *testing.T) {
	f := three(t)
	gittest.Write(t, filepath.Join(f.root, "new/one"), "half")
	require.NotContains(t, f.octopus(t).Left, "an earlier merge")
	r := f.octopus(t)
	require.Contains(t, r.Left, "new/one")
	require.Contains(t, r.Left, "an earlier merge stopped")
	require.NoError(t, os.Remove(filepath.Join(f.root, "new/one")))
	f.merged(t, f.octopus(t))
}

// TestShallow: the user's repository lacks the history before the base.
func TestShallow(t *testing.T) {
	f := newFixture(t)
	deep := f.root
	gittest.Write(t, filepath.Join(deep, "a"), "later\n")
	run(t, deep, "commit", "-q", "-a", "-m", "later")
	f.root = filepath.Join(filepath.Dir(deep), "shallow")
	run(t, deep, "clone", "-q", "--depth=1", "file://"+deep, f.root)
	f.req.Base = run(t, f.root, "rev-parse", "HEAD")
	f.pane(t, 1, map[string]string{"a": "A\n"})
	run(t, f.root, "checkout", "-q", "main")
	var err error
	f.req.Repo, err = git.Open(t.Context(), f.root)
	require.NoError(t, err)
	require.True(t, f.req.Repo.Shallow)
	f.merged(t, f.octopus(t))
}

func TestKeepAlways(t *testing.T) {
	f := three(t)
	f.req.KeepAlways = true
	r := f.octopus(t)
	require.Equal(t, base, r.Target)
	require.Equal(t, r.Commit, run(t, f.root, "rev-parse", "merge/ab12"))
	require.Empty(t, f.octopus(t).Commit)
	require.Equal(t, r.Commit, run(t, f.root, "rev-parse", "merge/ab12"))
}

// TestUnrelatedHistory: the agent of a pane began anew, and git merges no such thing.
func TestUnrelatedHistory(t *testing.T) {
	f := newFixture(t, map[string]string{"a": "one\n"}, nil)
	run(t, f.root, "checkout", "-q", "--orphan", "anew")
	run(t, f.root, "commit", "-q", "-m", "anew")
	f.req.Sides[1].Commit = run(t, f.root, "rev-parse", "HEAD")
	run(t, f.root, "checkout", "-q", "main")
	before := run(t, f.root, "for-each-ref")
	_, err := merge.Octopus(t.Context(), f.req)
	var unrelated *merge.UnrelatedError
	require.ErrorAs(t, err, &unrelated)
	require.Equal(t, f.req.Sides[1], unrelated.Side)
	require.Equal(t, "pane 2 (fork/main/ab12-2) has no commit in common with main", err.Error())
	require.Contains(t, unrelated.Hint(), "git merge --allow-unrelated-histories fork/main/ab12-2")
	require.Equal(t, before, run(t, f.root, "for-each-ref"))
}
