//go:build unix

package clone_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/clone"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

func (b base) snapshotSpec() clone.SnapshotSpec {
	return clone.SnapshotSpec{Repo: b.open(), SID: "abc", Scratch: b.scratch}
}

// snapshot takes one and sees that nothing but objects was written.
func (b base) snapshot() clone.Snapshot {
	b.t.Helper()
	common := b.open().CommonDir
	objects, err := filepath.Rel(b.home, common+"/objects")
	require.NoError(b.t, err)
	lfs, err := filepath.Rel(b.home, common+"/lfs")
	require.NoError(b.t, err)
	before := gittest.Tree(b.t, b.home, objects, lfs)
	s, err := b.snapshotSpec().Take(b.t.Context())
	require.NoError(b.t, err)
	require.Empty(b.t, cmp.Diff(before, gittest.Tree(b.t, b.home, objects, lfs)))
	b.scratchIsEmpty()
	return s
}

func (b base) files(commit string) map[string]string {
	b.t.Helper()
	files := map[string]string{}
	for line := range strings.SplitSeq(gittest.Git(b.t, b.root, "ls-tree", "-r", "-z", commit), "\x00") {
		info, name, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		fields := strings.Fields(info)
		files[name] = fields[0] + " commit"
		if fields[1] == "blob" {
			files[name] = fields[0] + " " + gittest.Git(b.t, b.root, "cat-file", "blob", fields[2])
		}
	}
	return files
}

// dirty changes a base in many ways, and returns the files of its snapshot.
func dirty(t *testing.T, b base) map[string]string {
	t.Helper()
	for _, f := range []string{"same", "changed", "staged", "gone", "gone-staged", "run", "becomes-dir", "is-dir/f", "tracked.log", "sub/moved"} {
		gittest.Commit(t, b.root, f, f)
	}
	gittest.Commit(t, b.root, ".aifo-coder/tracked", "1")
	gittest.Commit(t, b.root, ".gitignore", "*.log\n")
	gittest.Write(t, b.root+"/changed", "2")
	gittest.Write(t, b.root+"/staged", "2")
	gittest.Git(t, b.root, "add", "staged")
	gittest.Write(t, b.root+"/staged", "3")
	require.NoError(t, os.Remove(b.root+"/gone"))
	gittest.Git(t, b.root, "rm", "--quiet", "gone-staged")
	require.NoError(t, os.Chmod(b.root+"/run", 0o755))
	require.NoError(t, os.Remove(b.root+"/becomes-dir"))
	gittest.Write(t, b.root+"/becomes-dir/f", "in it")
	require.NoError(t, os.RemoveAll(b.root+"/is-dir"))
	gittest.Write(t, b.root+"/is-dir", "a file")
	gittest.Write(t, b.root+"/tracked.log", "2")
	gittest.Write(t, b.root+"/ignored.log", "2")
	gittest.Write(t, b.root+"/.aifo-coder/tracked", "2")
	gittest.Git(t, b.root, "mv", "sub/moved", "sub/to")
	gittest.Write(t, b.root+"/new dir/Ünïcode \"\n", "new")
	gittest.Write(t, b.root+"/intended", "new")
	gittest.Git(t, b.root, "add", "--intent-to-add", "intended")
	require.NoError(t, os.Symlink("/nowhere", b.root+"/link"))
	require.NoError(t, syscall.Mkfifo(b.root+"/fifo", 0o600))
	nested := gittest.Init(t, b.root, "nested")
	gittest.Commit(t, nested, "f", "1")
	gittest.Init(t, b.root, "new dir/empty")
	pane := gittest.Init(t, b.root, ".aifo-coder/forks/old/pane-1")
	gittest.Commit(t, pane, "f", "1")
	return map[string]string{
		".gitignore": "100644 *.log\n", ".aifo-coder/tracked": "100644 1", "same": "100644 same", "changed": "100644 2", "staged": "100644 3",
		"run": "100755 run", "becomes-dir/f": "100644 in it", "is-dir": "100644 a file", "tracked.log": "100644 2", "sub/to": "100644 sub/moved",
		"new dir/Ünïcode \"\n": "100644 new", "intended": "100644 new", "link": "120000 /nowhere",
	}
}

func trimmed(files map[string]string) map[string]string {
	for name, content := range files {
		files[name] = strings.TrimSuffix(content, "\n")
	}
	return files
}

func TestSnapshot(t *testing.T) {
	b := newBase(t)
	want := dirty(t, b)
	head := gittest.Git(t, b.root, "rev-parse", "HEAD")
	main := b.root
	b.root += "/sub" // a subdirectory as the place to begin
	s := b.snapshot()
	b.root = main
	require.Empty(t, cmp.Diff(trimmed(want), b.files(s.Commit)))
	require.Len(t, s.Warnings, 2)
	require.Contains(t, s.Warnings[0], `"nested"`)
	require.Contains(t, s.Warnings[1], `"new dir/empty"`)
	require.Equal(t, head, gittest.Git(t, b.root, "rev-parse", s.Commit+"^"))
	require.Equal(t, "User <user@example.com>", gittest.Git(t, b.root, "show", "--no-patch", "--format=%an <%ae>", s.Commit))
	require.Contains(t, gittest.Git(t, b.root, "show", "--no-patch", "--format=%s", s.Commit), "abc")
	gittest.Git(t, b.root, "fsck", "--strict", "--no-dangling")

	again := b.snapshot()
	require.Equal(t, gittest.Git(t, b.root, "rev-parse", s.Commit+"^{tree}"), gittest.Git(t, b.root, "rev-parse", again.Commit+"^{tree}"))

	source, err := clone.Prepare(t.Context(), b.open(), s.Commit, b.scratch)
	require.NoError(t, err)
	spec := b.spec(1)
	_, err = source.Make(t.Context(), spec)
	require.NoError(t, err)
	requireClean(t, spec.Dir)
}

func TestSnapshotOfACleanTree(t *testing.T) {
	b := newBase(t)
	head := gittest.Commit(t, b.root, "f", "1")
	gittest.Write(t, b.root+"/.aifo-coder/x", "1")
	before := gittest.Tree(t, b.root+"/.git")
	require.Equal(t, clone.Snapshot{Commit: head}, b.snapshot())
	require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.root+"/.git")))
}

func TestSnapshotOfOddRepositories(t *testing.T) {
	changed := map[string]string{"f": "100644 2", "g": "100644 1"}
	change := func(t *testing.T, b base) {
		gittest.Write(t, b.root+"/f", "2")
		gittest.Write(t, b.root+"/g", "1")
	}
	for name, prepare := range map[string]func(t *testing.T, b *base){
		"unborn, no index": func(*testing.T, *base) {},
		"unborn, staged": func(t *testing.T, b *base) {
			gittest.Write(t, b.root+"/f", "1")
			gittest.Git(t, b.root, "add", "f")
		},
		"empty index": func(t *testing.T, b *base) {
			gittest.Commit(t, b.root, "f", "1")
			gittest.Git(t, b.root, "read-tree", "--empty")
		},
		"detached": func(t *testing.T, b *base) {
			gittest.Commit(t, b.root, "f", "1")
			gittest.Git(t, b.root, "checkout", "--quiet", "--detach")
		},
		"linked work tree": func(t *testing.T, b *base) {
			gittest.Commit(t, b.root, "f", "1")
			gittest.Git(t, b.root, "worktree", "add", "--quiet", "-b", "x", b.home+"/tree")
			b.root = b.home + "/tree"
		},
		"shallow": func(t *testing.T, b *base) {
			gittest.Commit(t, b.root, "f", "0")
			gittest.Commit(t, b.root, "f", "1")
			gittest.Git(t, b.home, "clone", "--quiet", "--depth=1", "file://"+b.root, b.home+"/shallow")
			b.root = b.home + "/shallow"
		},
		"split index": func(t *testing.T, b *base) {
			gittest.Commit(t, b.root, "f", "1")
			gittest.Git(t, b.root, "update-index", "--split-index")
			gittest.Write(t, b.root+"/g", "0")
			gittest.Git(t, b.root, "add", "g")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBase(t)
			prepare(t, &b)
			change(t, b)
			s := b.snapshot()
			require.Empty(t, cmp.Diff(changed, b.files(s.Commit)))
			require.Empty(t, s.Warnings)
			dir := b.spec(1)
			source, err := clone.Prepare(t.Context(), b.open(), s.Commit, b.scratch)
			require.NoError(t, err)
			_, err = source.Make(t.Context(), dir)
			require.NoError(t, err)
			requireClean(t, dir.Dir)
		})
	}
}

// TestSnapshotOfAnEmptyRepository: there is a commit to start from all the same.
func TestSnapshotOfAnEmptyRepository(t *testing.T) {
	b := newBase(t)
	s := b.snapshot()
	require.Empty(t, b.files(s.Commit))
	source, err := clone.Prepare(t.Context(), b.open(), s.Commit, b.scratch)
	require.NoError(t, err)
	spec := b.spec(1)
	made, err := source.Make(t.Context(), spec)
	require.NoError(t, err)
	require.Equal(t, []git.Ref{{Name: spec.Branch, Object: s.Commit}}, made.Refs)
	requireClean(t, spec.Dir)
}

func TestSnapshotSparse(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "in/f", "1")
	gittest.Commit(t, b.root, "out/f", "1")
	gittest.Git(t, b.root, "sparse-checkout", "set", "--cone", "--sparse-index", "in")
	gittest.Write(t, b.root+"/in/f", "2")
	require.Empty(t, cmp.Diff(map[string]string{"in/f": "100644 2", "out/f": "100644 1"}, b.files(b.snapshot().Commit)))
}

func TestSnapshotWithoutIdentity(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	gittest.Write(t, b.home+"/.gitconfig", "[user]\n\tuseConfigOnly = true\n")
	gittest.Write(t, b.root+"/f", "2")
	require.Equal(t, "aifo-coder <aifo-coder@localhost>",
		gittest.Git(t, b.root, "show", "--no-patch", "--format=%cn <%ce>", b.snapshot().Commit))
}

func TestSnapshotDuringAMerge(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	gittest.Git(t, b.root, "branch", "other")
	gittest.Commit(t, b.root, "f", "2")
	gittest.Git(t, b.root, "checkout", "--quiet", "other")
	gittest.Commit(t, b.root, "f", "3")
	before := gittest.Git(t, b.root, "status", "--short")
	require.Empty(t, before)
	out, err := gitOutput(b.root, "merge", "main")
	require.Error(t, err, out)
	_, err = b.snapshotSpec().Take(t.Context())
	var unmerged *clone.UnmergedError
	require.ErrorAs(t, err, &unmerged)
	require.Equal(t, []string{"f"}, unmerged.Files)
	require.NotEmpty(t, unmerged.Hint())
	b.scratchIsEmpty()
}

func TestSnapshotOfASubmodule(t *testing.T) {
	b := newBase(t)
	withSubmodule(t, b)
	next := gittest.Commit(t, b.root+"/vendor/lib", "l", "2")
	trap, check := gittest.Trap(t)
	gittest.Git(t, b.root+"/vendor/lib", "config", "core.fsmonitor", trap)
	gittest.Git(t, b.root+"/vendor/lib", "config", "filter.x.clean", trap)
	gittest.Write(t, b.root+"/vendor/lib/.gitattributes", "* filter=x\n")
	s := b.snapshot()
	check()
	require.Equal(t, "160000 commit "+next+"\tvendor/lib", gittest.Git(t, b.root, "ls-tree", s.Commit, "vendor/lib"))
}

func TestSnapshotFilters(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, ".gitattributes", "*.up filter=up\n*.x filter=x\n")
	trap, check := gittest.Trap(t)
	gittest.Git(t, b.root, "config", "--global", "filter.up.clean", "tr A-Z a-z")
	gittest.Git(t, b.root, "config", "filter.x.clean", trap)
	gittest.Write(t, b.root+"/a.up", "ABC")
	gittest.Write(t, b.root+"/a.x", "ABC")
	s := b.snapshot()
	check()
	require.Empty(t, cmp.Diff(map[string]string{
		".gitattributes": "100644 *.up filter=up\n*.x filter=x", "a.up": "100644 abc", "a.x": "100644 ABC",
	}, b.files(s.Commit)))
	require.Len(t, s.Warnings, 1)
	require.Contains(t, s.Warnings[0], `"x"`)
	require.Contains(t, s.Warnings[0], `"a.x"`)
}

// TestSnapshotFailsAtEachStep: a full disk leaves nothing of it.
func TestSnapshotFailsAtEachStep(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	gittest.Write(t, b.root+"/f", "2")
	before := gittest.Tree(t, b.home)
	for step := 1; ; step++ {
		spec, count := b.snapshotSpec(), 0
		spec.Step = func(string) error {
			if count++; count == step {
				return syscall.ENOSPC
			}
			return nil
		}
		_, err := spec.Take(t.Context())
		if count < step {
			require.NoError(t, err)
			require.Greater(t, step, 2)
			return
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.home)))
	}
}

func TestSnapshotCannotWrite(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	gittest.Write(t, b.root+"/f", "2")
	// Even root cannot make a file in what is none.
	require.NoError(t, os.RemoveAll(b.root+"/.git/objects/pack"))
	spec := b.snapshotSpec()
	gittest.Write(t, b.root+"/.git/objects/pack", "")
	before := gittest.Tree(t, b.home)
	_, err := spec.Take(t.Context())
	require.ErrorIs(t, err, syscall.ENOTDIR)
	require.Empty(t, cmp.Diff(before, gittest.Tree(t, b.home)))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = spec.Take(ctx)
	require.ErrorIs(t, err, context.Canceled)
	b.scratchIsEmpty()
}

// TestSnapshotOfAHostileIndex: a pipe in its place must not hang, a link must not be followed.
func TestSnapshotOfAHostileIndex(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "f", "1")
	spec := b.snapshotSpec()
	index := b.root + "/.git/index"
	require.NoError(t, os.Remove(index))
	require.NoError(t, syscall.Mkfifo(index, 0o600))
	var layout *git.LayoutError
	_, err := spec.Take(t.Context())
	require.ErrorAs(t, err, &layout)
	require.NoError(t, os.Remove(index))
	require.NoError(t, os.Symlink("/etc/passwd", index))
	_, err = spec.Take(t.Context())
	require.ErrorAs(t, err, &layout)
	require.NoError(t, os.Remove(index))
	gittest.Write(t, index, "DIRC\x00\x00\x00\x02\xff\xff\xff\xff")
	_, err = spec.Take(t.Context())
	require.Error(t, err)
	b.scratchIsEmpty()
}

// TestSnapshotOfACraftedIndex: a path that leads out of the work tree.
func TestSnapshotOfACraftedIndex(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "aa/secret", "1")
	gittest.Write(t, b.home+"/secret", "of the user")
	secret := gittest.Git(t, b.root, "hash-object", b.home+"/secret")
	index, err := os.ReadFile(b.root + "/.git/index")
	require.NoError(t, err)
	index = bytes.Replace(index[:len(index)-sha1.Size], []byte("aa/secret"), []byte("../secret"), 1)
	sum := sha1.Sum(index)
	gittest.Write(t, b.root+"/.git/index", string(append(index, sum[:]...)))
	_, err = b.snapshotSpec().Take(t.Context())
	require.Error(t, err)
	_, err = gitOutput(b.root, "cat-file", "-e", secret)
	require.Error(t, err, "a file from elsewhere is in the repository")
	b.scratchIsEmpty()
}

// TestSnapshotDoesNotFollowLinks: a tracked directory that has become a link to elsewhere.
func TestSnapshotDoesNotFollowLinks(t *testing.T) {
	b := newBase(t)
	gittest.Commit(t, b.root, "dir/secret", "1")
	gittest.Write(t, b.home+"/elsewhere/secret", "of the user")
	require.NoError(t, os.RemoveAll(b.root+"/dir"))
	require.NoError(t, os.Symlink(b.home+"/elsewhere", b.root+"/dir"))
	require.Empty(t, cmp.Diff(map[string]string{"dir": "120000 " + b.home + "/elsewhere"}, b.files(b.snapshot().Commit)))
}
