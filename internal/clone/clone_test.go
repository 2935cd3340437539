//go:build unix

package clone_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/clone"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// base is a repository of which clones are made.
type base struct {
	t       testing.TB
	home    string
	root    string
	scratch string
}

func newBase(t testing.TB, options ...string) base {
	t.Helper()
	home := gittest.Home(t)
	b := base{t: t, home: home, root: gittest.Init(t, home, "repo", options...), scratch: filepath.Join(home, "scratch")}
	require.NoError(t, os.Mkdir(b.scratch, 0o700))
	return b
}

func (b base) open() git.Repo {
	b.t.Helper()
	r, err := git.Open(b.t.Context(), b.root)
	require.NoError(b.t, err)
	return r
}

func (b base) prepare() *clone.Source {
	b.t.Helper()
	r := b.open()
	s, err := clone.Prepare(b.t.Context(), r, r.HeadCommit, b.scratch)
	require.NoError(b.t, err)
	b.scratchIsEmpty()
	return s
}

func (b base) scratchIsEmpty() {
	b.t.Helper()
	entries, err := os.ReadDir(b.scratch)
	require.NoError(b.t, err)
	require.Empty(b.t, entries)
}

func (b base) spec(i int) clone.Spec {
	b.t.Helper()
	_, err := clone.MakeParents(b.root, "abc")
	require.NoError(b.t, err)
	return clone.Spec{
		Dir:    filepath.Join(b.root, ".aifo-coder/forks/abc", fmt.Sprintf("pane-%d", i)),
		Branch: fmt.Sprintf("refs/heads/fork/main/abc-%d", i),
	}
}

// make makes the first clone.
func (b base) make() (string, clone.Clone) {
	b.t.Helper()
	spec := b.spec(1)
	c, err := b.prepare().Make(b.t.Context(), spec)
	require.NoError(b.t, err)
	return spec.Dir, c
}

func refs(t testing.TB, dir string) []git.Ref {
	t.Helper()
	var list []git.Ref
	for line := range strings.Lines(gittest.Git(t, dir, "for-each-ref", "--format=%(objectname) %(refname)")) {
		object, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, git.Ref{Name: name, Object: object})
	}
	return list
}

func requireClean(t testing.TB, dir string) {
	t.Helper()
	require.Empty(t, gittest.Git(t, dir, "status", "--short"))
	gittest.Git(t, dir, "fsck", "--strict", "--no-dangling")
}

func TestMake(t *testing.T) {
	b := newBase(t)
	first := gittest.Commit(t, b.root, "f", "1")
	gittest.Git(t, b.root, "tag", "-a", "v1", "-m", "x")
	for _, branch := range []string{"other", "with/slash", "fork/main/old-1", "merge/old"} {
		gittest.Git(t, b.root, "branch", branch)
	}
	gittest.Write(t, b.root+"/dir/run", "#!/bin/sh\n")
	require.NoError(t, os.Chmod(b.root+"/dir/run", 0o755))
	require.NoError(t, os.Symlink("dir/run", b.root+"/link"))
	gittest.Commit(t, b.root, "link", "#!/bin/sh\n")
	gittest.Git(t, b.root, "add", "dir")
	head := gittest.Commit(t, b.root, "with \"odd\" ñame\n", "2")
	gittest.Git(t, b.root, "remote", "add", "origin", "https://user:secret@example.com/a/b.git")
	gittest.Git(t, b.root, "config", "user.name", "Local")
	gittest.Write(t, b.root+"/.git/info/exclude", "*.mine\n")

	dir, made := b.make()
	requireClean(t, dir)
	require.Equal(t, "refs/heads/fork/main/abc-1", gittest.Git(t, dir, "symbolic-ref", "HEAD"))
	require.Equal(t, head, gittest.Git(t, dir, "rev-parse", "HEAD"))
	tag := gittest.Git(t, b.root, "rev-parse", "v1")
	require.Empty(t, cmp.Diff([]git.Ref{
		{Name: "refs/heads/fork/main/abc-1", Object: head},
		{Name: "refs/remotes/origin/HEAD", Object: head},
		{Name: "refs/remotes/origin/main", Object: head},
		{Name: "refs/remotes/origin/other", Object: first},
		{Name: "refs/remotes/origin/with/slash", Object: first},
		{Name: "refs/tags/v1", Object: tag},
	}, made.Refs))
	require.Empty(t, cmp.Diff(made.Refs, refs(t, dir)))
	require.Equal(t, []string{b.root + "/.git/objects"}, made.Borrowed)
	require.Equal(t, "refs/remotes/origin/main", gittest.Git(t, dir, "symbolic-ref", "refs/remotes/origin/HEAD"))
	require.Equal(t, "https://example.com/a/b.git", gittest.Git(t, dir, "remote", "get-url", "origin"))
	require.Equal(t, "Local", gittest.Git(t, dir, "config", "user.name"))
	link, err := os.Readlink(dir + "/link")
	require.NoError(t, err)
	require.Equal(t, "dir/run", link)
	gittest.Write(t, dir+"/x.mine", "1")
	require.Empty(t, gittest.Git(t, dir, "status", "--short"))

	gittest.Commit(t, dir, "f", "by the agent")
	gittest.Git(t, dir, "checkout", "--quiet", "-b", "new", "origin/with/slash")
	gittest.Git(t, dir, "gc", "--quiet")
	requireClean(t, dir)
	require.Equal(t, head, gittest.Git(t, b.root, "rev-parse", "HEAD"))
}

// TestMakeLooksLikeGitClone compares modes and the index with a clone of git's.
func TestMakeLooksLikeGitClone(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "a/b/f", "1")
	gittest.Commit(t, b.root, "g", "1")
	dir, _ := b.make()
	theirs := filepath.Join(b.home, "theirs")
	gittest.Git(t, b.home, "clone", "--quiet", b.root, theirs)
	for _, name := range []string{
		"", "a", "a/b", "a/b/f", ".git", ".git/HEAD", ".git/config", ".git/index", ".git/packed-refs", ".git/objects", ".git/refs", ".git/info/exclude",
	} {
		ours, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		git, err := os.Stat(filepath.Join(theirs, name))
		require.NoError(t, err)
		require.Equal(t, git.Mode(), ours.Mode(), name)
	}
	require.Equal(t, gittest.Git(t, theirs, "ls-files", "--stage"), gittest.Git(t, dir, "ls-files", "--stage"))
	require.Empty(t, gittest.Git(t, dir, "diff-files"), "the index knows the files")
}

func TestMakeOfOddRepositories(t *testing.T) {
	t.Run("sha256", func(t *testing.T) {
		b := newBase(t, "--object-format=sha256")
		gittest.Commit(t, b.root, "f", "1")
		dir, _ := b.make()
		requireClean(t, dir)
	})
	t.Run("shallow", func(t *testing.T) {
		b := newBase(t)
		gittest.Commit(t, b.root, "f", "1")
		gittest.Commit(t, b.root, "f", "2")
		gittest.Git(t, b.home, "clone", "--quiet", "--depth=1", "file://"+b.root, b.home+"/shallow")
		b.root = b.home + "/shallow"
		dir, _ := b.make()
		requireClean(t, dir)
		require.Equal(t, "1", gittest.Git(t, dir, "rev-list", "--count", "HEAD"))
	})
	t.Run("linked work tree, detached", func(t *testing.T) {
		b := newBase(t)
		gittest.Commit(t, b.root, "f", "1")
		gittest.Git(t, b.root, "worktree", "add", "--quiet", "--detach", b.home+"/tree")
		main := b.root
		b.root = b.home + "/tree"
		head := gittest.Commit(t, b.root, "f", "2")
		dir, made := b.make()
		requireClean(t, dir)
		require.Equal(t, head, gittest.Git(t, dir, "rev-parse", "HEAD"))
		require.Equal(t, []string{main + "/.git/objects"}, made.Borrowed)
		require.NoFileExists(t, dir+"/.git/refs/remotes/origin/HEAD")
	})
	t.Run("empty commit", func(t *testing.T) {
		b := newBase(t)
		gittest.Git(t, b.root, "commit", "--quiet", "--allow-empty", "-m", "x")
		dir, _ := b.make()
		requireClean(t, dir)
	})
	t.Run("line ends of the user", func(t *testing.T) {
		b := newBase(t)
		gittest.Commit(t, b.root, "f", "1\n2\n")
		gittest.Git(t, b.root, "config", "--global", "core.autocrlf", "true")
		dir, _ := b.make()
		content, err := os.ReadFile(dir + "/f")
		require.NoError(t, err)
		require.Equal(t, "1\r\n2\r\n", string(content))
		// In a container the user's configuration is not there.
		gittest.Git(t, b.root, "config", "--global", "--unset", "core.autocrlf")
		require.NoError(t, os.Chtimes(dir+"/f", zero, zero))
		requireClean(t, dir)
	})
	t.Run("sparse", func(t *testing.T) {
		b := newBase(t)
		gittest.Commit(t, b.root, "in/f", "1")
		gittest.Commit(t, b.root, "out/f", "1")
		gittest.Git(t, b.root, "sparse-checkout", "set", "--cone", "--sparse-index", "in")
		dir, _ := b.make()
		requireClean(t, dir)
		require.FileExists(t, dir+"/out/f")
	})
}

func TestMakeDissociated(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	gittest.Git(t, b.root, "gc", "--quiet")
	gittest.Commit(t, b.root, "g", "loose")
	spec := b.spec(1)
	spec.Dissociate = true
	made, err := b.prepare().Make(t.Context(), spec)
	require.NoError(t, err)
	require.Empty(t, made.Borrowed)
	requireNoSharedFile(t, b.root, spec.Dir)
	require.NoError(t, os.Rename(b.root+"/.git", b.home+"/gone"))
	requireClean(t, spec.Dir)
}

// requireNoSharedFile: through a hard link an agent would write the user's own file.
func requireNoSharedFile(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			require.NoError(t, err)
			info, err := e.Info()
			require.NoError(t, err)
			if info.Mode().IsRegular() {
				require.EqualValues(t, 1, info.Sys().(*syscall.Stat_t).Nlink, path)
			}
			return nil
		}))
	}
}

// TestMakeDissociatedWhileRepacking: packs that were listed are gone when it is their turn,
// and what was in them is in another.
func TestMakeDissociatedWhileRepacking(t *testing.T) {
	b := newBase(t)
	for i := range 3 {
		gittest.Commit(t, b.root, fmt.Sprint("f", i), fmt.Sprint(i))
		gittest.Git(t, b.root, "repack", "-d", "--quiet")
	}
	// Left by a git that was killed; it must not be waited for.
	gittest.Write(t, b.root+"/.git/objects/pack/pack-"+strings.Repeat("1", 40)+".idx", "")
	source, spec, repacked := b.prepare(), b.spec(1), false
	spec.Dissociate = true
	spec.Step = func(step string) error {
		if strings.HasPrefix(step, "copy pack-") && !repacked {
			repacked = true
			gittest.Git(t, b.root, "repack", "-a", "-d", "--quiet")
		}
		return nil
	}
	_, err := source.Make(t.Context(), spec)
	require.NoError(t, err)
	require.True(t, repacked)
	requireClean(t, spec.Dir)
	packs, err := filepath.Glob(spec.Dir + "/.git/objects/pack/*")
	require.NoError(t, err)
	require.Len(t, packs, 2)
}

func TestMakeManyAtOnce(t *testing.T) {
	b := newBase(t)
	for i := range 20 {
		gittest.Write(t, fmt.Sprintf("%s/d%d/f", b.root, i), fmt.Sprint(i))
	}
	gittest.Git(t, b.root, "add", ".")
	gittest.Commit(t, b.root, "f", "1")
	source := b.prepare()
	var all sync.WaitGroup
	for i := range 8 {
		spec := b.spec(i)
		all.Go(func() {
			_, err := source.Make(t.Context(), spec)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		requireClean(t, b.spec(i).Dir)
	}
}

func TestMakeRefuses(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	source := b.prepare()
	good := b.spec(1)
	outside := t.TempDir()
	require.NoError(t, os.Symlink(outside, b.root+"/link"))
	require.NoError(t, os.Mkdir(b.root+"/there", 0o755))
	for name, change := range map[string]func(*clone.Spec){
		"no full branch":    func(s *clone.Spec) { s.Branch = "fork/x" },
		"no name":           func(s *clone.Spec) { s.Branch = "refs/heads/fork/x..y" },
		"outside":           func(s *clone.Spec) { s.Dir = filepath.Join(outside, "x") },
		"a link on the way": func(s *clone.Spec) { s.Dir = filepath.Join(b.root, "link/x") },
		"no parent":         func(s *clone.Spec) { s.Dir = filepath.Join(b.root, "none/x") },
		"exists":            func(s *clone.Spec) { s.Dir = filepath.Join(b.root, "there") },
		"is the work tree":  func(s *clone.Spec) { s.Dir = b.root },
	} {
		spec := good
		change(&spec)
		before := gittest.Tree(t, b.home)
		_, err := source.Make(t.Context(), spec)
		require.Error(t, err, name)
		require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.home)), name)
		require.DirExists(t, b.root+"/there", name)
	}
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, entries)
	_, err = clone.Prepare(t.Context(), b.open(), strings.Repeat("1", 40), b.scratch)
	require.Error(t, err, "no such commit")
	b.scratchIsEmpty()
}

// TestMakeFailsAtEachStep: a full disk at any step, and a cancel at any step, leave nothing.
func TestMakeFailsAtEachStep(t *testing.T) {
	b := newBase(t)
	withSubmodule(t, b)
	source := b.prepare()
	for _, dissociate := range []bool{false, true} {
		for steps, failed := 1, true; failed; steps++ {
			failed = failAt(t, source, b.spec(steps), dissociate, steps)
		}
	}
}

// failAt makes a clone that fails, and one that is cancelled, at a step, and says
// whether there is such a step.
func failAt(t *testing.T, source *clone.Source, spec clone.Spec, dissociate bool, step int) (failed bool) {
	t.Helper()
	spec.Dissociate = dissociate
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count := 0
	for _, act := range []func() error{
		func() error { return syscall.ENOSPC },
		func() error { cancel(); return nil },
	} {
		count = 0
		spec.Step = func(string) error {
			if count++; count == step {
				return act()
			}
			return nil
		}
		_, err := source.Make(ctx, spec)
		if count < step {
			require.NoError(t, err)
			require.NoError(t, os.RemoveAll(spec.Dir))
			return false
		}
		require.Error(t, err)
		require.True(t, errors.Is(err, syscall.ENOSPC) || errors.Is(err, context.Canceled), "%v", err)
		_, err = os.Lstat(spec.Dir)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	return true
}

// TestNothingOfTheRepositoryRuns: what an agent may have written into the base.
func TestNothingOfTheRepositoryRuns(t *testing.T) {
	b := newBase(t)
	trap, check := gittest.Trap(t)
	gittest.Commit(t, b.root, ".gitattributes", "* filter=x\n")
	gittest.Commit(t, b.root, "f", "1")
	for key, value := range map[string]string{
		"filter.x.smudge": trap, "filter.x.process": trap, "filter.x.clean": trap, "filter.x.required": "true", "core.fsmonitor": trap,
		"core.hooksPath": b.root + "/hooks", "diff.external": trap, "core.sshCommand": trap, "protocol.ext.allow": "always",
		"remote.origin.url": "ext::" + trap, "remote.origin.uploadpack": trap, "core.alternateRefsCommand": trap,
	} {
		gittest.Git(t, b.root, "config", key, value)
	}
	script, err := os.ReadFile(trap)
	require.NoError(t, err)
	for _, hook := range []string{"post-checkout", "reference-transaction", "post-index-change"} {
		gittest.Write(t, b.root+"/hooks/"+hook, string(script))
		require.NoError(t, os.Chmod(b.root+"/hooks/"+hook, 0o755))
	}
	source := b.prepare()
	require.Len(t, source.Warnings, 1)
	require.Contains(t, source.Warnings[0], `"x"`)
	spec := b.spec(1)
	_, err = source.Make(t.Context(), spec)
	require.NoError(t, err)
	check()
	config, err := os.ReadFile(spec.Dir + "/.git/config")
	require.NoError(t, err)
	require.NotContains(t, strings.ReplaceAll(string(config), "ext::"+trap, ""), trap)
	require.NoDirExists(t, spec.Dir+"/.git/hooks")
}

// TestUsersFilter: the user's own filters run as in any checkout of theirs.
func TestUsersFilter(t *testing.T) {
	b := newBase(t)
	gittest.Git(t, b.root, "config", "--global", "filter.up.smudge", "tr a-z A-Z")
	gittest.Git(t, b.root, "config", "--global", "filter.up.clean", "tr A-Z a-z")
	gittest.Commit(t, b.root, ".gitattributes", "*.up filter=up\n")
	gittest.Commit(t, b.root, "x.up", "abc")
	source := b.prepare()
	require.Empty(t, source.Warnings)
	spec := b.spec(1)
	_, err := source.Make(t.Context(), spec)
	require.NoError(t, err)
	content, err := os.ReadFile(spec.Dir + "/x.up")
	require.NoError(t, err)
	require.Equal(t, "ABC", string(content))
}

func TestMakeParents(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(root+"/.aifo-coder", 0o755))
	undo, err := clone.MakeParents(root, "abc")
	require.NoError(t, err)
	require.DirExists(t, root+"/.aifo-coder/forks/abc")
	again, err := clone.MakeParents(root, "abc")
	require.NoError(t, err)
	require.NoError(t, again())
	require.DirExists(t, root+"/.aifo-coder/forks/abc", "it was not made by the second")
	require.NoError(t, undo())
	require.NoDirExists(t, root+"/.aifo-coder/forks")
	require.DirExists(t, root+"/.aifo-coder")
}

func TestMakeParentsThroughLinks(t *testing.T) {
	for _, link := range []string{".aifo-coder", ".aifo-coder/forks", ".aifo-coder/forks/abc"} {
		root, outside := t.TempDir(), t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, link)), 0o755))
		for _, target := range []string{outside, "."} {
			require.NoError(t, os.Symlink(target, filepath.Join(root, link)))
			_, err := clone.MakeParents(root, "abc")
			var layout *git.LayoutError
			require.ErrorAs(t, err, &layout, link)
			require.NoError(t, os.Remove(filepath.Join(root, link)))
		}
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}

func gitOutput(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
