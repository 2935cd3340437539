//go:build unix

package foreign_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// newSubmoduleFixture adds a submodule lib, with the name libs/lib, to repository and clone.
func newSubmoduleFixture(t *testing.T) (f *fixture, sub string) {
	t.Helper()
	f = newFixture(t)
	require.NoError(t, os.RemoveAll(f.pane))
	upstream := filepath.Join(t.TempDir(), "lib")
	run(t, f.root, "init", "-q", "-b", "main", upstream)
	gittest.Write(t, filepath.Join(upstream, "lib.txt"), "lib\n")
	run(t, upstream, "add", ".")
	run(t, upstream, "commit", "-q", "-m", "lib")
	run(t, f.root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--name", "libs/lib", upstream, "lib")
	run(t, f.root, "commit", "-q", "-m", "submodule")
	f.makePane(t)
	module := filepath.Join(f.pane, ".git/modules/libs/lib")
	commit := run(t, filepath.Join(f.root, "lib"), "rev-parse", "HEAD")
	run(t, f.pane, "init", "-q", "--template=", "--bare", module)
	gittest.Write(t, filepath.Join(module, "objects/info/alternates"), filepath.Join(f.root, ".git/modules/libs/lib/objects")+"\n")
	gittest.Write(t, filepath.Join(module, "HEAD"), commit+"\n")
	run(t, module, "config", "core.bare", "false")
	run(t, module, "config", "core.worktree", "../../../../lib")
	sub = filepath.Join(f.pane, "lib")
	gittest.Write(t, filepath.Join(sub, ".git"), "gitdir: ../.git/modules/libs/lib\n")
	run(t, sub, "reset", "-q", "--hard")
	require.Empty(t, run(t, f.pane, "status", "--porcelain"))
	return f, sub
}

func (f *fixture) module(t *testing.T) git.Repo {
	t.Helper()
	dir := filepath.Join(f.root, ".git/modules/libs/lib")
	return git.Repo{Root: dir, GitDir: dir, CommonDir: dir, Format: "sha1"}
}

func TestSubmoduleClean(t *testing.T) {
	f, _ := newSubmoduleFixture(t)
	require.Equal(t, foreign.Report{Kind: foreign.Empty, Branch: branch, Head: f.base}, f.look(t))
}

func TestSubmoduleFiles(t *testing.T) {
	f, sub := newSubmoduleFixture(t)
	gittest.Write(t, filepath.Join(sub, "lib.txt"), "changed\n")
	r := f.look(t)
	require.Equal(t, []foreign.Change{{Path: "lib/lib.txt", What: "changed"}}, r.Changes)
	require.Equal(t, []string{"submodule lib: 1 file not committed"}, r.Reasons)
}

func TestSubmoduleCommits(t *testing.T) {
	f, sub := newSubmoduleFixture(t)
	gittest.Write(t, filepath.Join(sub, "lib.txt"), "changed\n")
	run(t, sub, "commit", "-q", "-a", "-m", "work")
	inner := run(t, sub, "rev-parse", "HEAD")
	r := f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind)
	require.Equal(t, []string{"1 file not committed", "submodule lib: its commits are not in the repository"}, r.Reasons)
	run(t, f.pane, "commit", "-q", "-a", "-m", "use it")
	require.Zero(t, f.look(t).Changed)
	head := run(t, f.pane, "rev-parse", "HEAD")

	got := f.fetch(t)
	require.Equal(t, []foreign.FetchedRef{
		{Submodule: "lib", From: "HEAD", Ref: branch, Object: inner},
		{From: "HEAD", Ref: branch, Object: head},
	}, got.Refs)
	refs, err := f.module(t).Refs(t.Context(), "refs/heads/fork/")
	require.NoError(t, err)
	require.Equal(t, []git.Ref{{Name: branch, Object: inner}}, refs)
	require.True(t, f.look(t).Kind.Safe())
	require.Empty(t, f.fetch(t).Refs)
}

// TestSubmoduleLeft: what is in a submodule that HEAD does not name any more.
func TestSubmoduleLeft(t *testing.T) {
	f, sub := newSubmoduleFixture(t)
	run(t, sub, "commit", "-q", "--allow-empty", "-m", "work")
	run(t, f.pane, "rm", "-q", "-f", "lib")
	run(t, f.pane, "commit", "-q", "-m", "without")
	require.Equal(t, []string{"its commits are not in the repository", "submodule libs/lib: its commits are not in the repository"}, f.look(t).Reasons)
	f.fetch(t)
	require.True(t, f.look(t).Kind.Safe())
}

// TestSubmoduleNew: one that the user's repository does not have stays in the clone.
func TestSubmoduleNew(t *testing.T) {
	f := newFixture(t)
	run(t, f.pane, "init", "-q", "new")
	run(t, filepath.Join(f.pane, "new"), "commit", "-q", "--allow-empty", "-m", "new")
	run(t, f.pane, "-c", "advice.addEmbeddedRepo=false", "add", "new")
	run(t, f.pane, "commit", "-q", "-m", "submodule")
	require.Equal(t, foreign.HasWork, f.look(t).Kind)
	require.Equal(t, []string{"submodule new: the repository does not have this submodule, so its commits stay in the clone"}, f.fetch(t).Left)
	require.Equal(t, []string{"submodule new: its commits are not in the repository"}, f.look(t).Reasons)
}

// TestSubmoduleUnpopulated: git sees no files where a submodule should be.
func TestSubmoduleUnpopulated(t *testing.T) {
	f, sub := newSubmoduleFixture(t)
	require.NoError(t, os.RemoveAll(sub))
	require.NoError(t, os.RemoveAll(filepath.Join(f.pane, ".git/modules")))
	require.NoError(t, os.Mkdir(sub, 0o755))
	require.Equal(t, foreign.Empty, f.look(t).Kind)
	gittest.Write(t, filepath.Join(sub, "work"), "x")
	require.Equal(t, []foreign.Change{{Path: "lib", What: "submodule"}}, f.look(t).Changes)
}

func TestSubmoduleHostile(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, f *fixture, sub string, tr trap)
		want foreign.Kind
	}{
		"config": {func(t *testing.T, f *fixture, sub string, tr trap) {
			gittest.Write(t, filepath.Join(sub, "lib.txt"), "changed\n")
			for _, key := range []string{"core.fsmonitor", "core.sshCommand", "diff.external", "filter.evil.clean", "submodule.x.update"} {
				run(t, sub, "config", key, tr.script)
			}
			gittest.Write(t, filepath.Join(sub, ".gitattributes"), "* filter=evil\n")
			gittest.Write(t, filepath.Join(f.pane, ".gitmodules"), "[submodule \"libs/lib\"]\n\tpath = lib\n\turl = ext::"+tr.script+"\n\tupdate = !"+tr.script+"\n")
		}, foreign.HasWork},
		".git elsewhere": {func(t *testing.T, f *fixture, sub string, _ trap) {
			gittest.Write(t, filepath.Join(sub, ".git"), "gitdir: "+f.root+"/.git\n")
		}, foreign.Unknown},
		".git outside": {func(t *testing.T, _ *fixture, sub string, _ trap) {
			gittest.Write(t, filepath.Join(sub, ".git"), "gitdir: ../../../../../.git/modules/libs/lib\n")
		}, foreign.Unknown},
		".git a link": {func(t *testing.T, f *fixture, sub string, _ trap) {
			require.NoError(t, os.Remove(filepath.Join(sub, ".git")))
			require.NoError(t, os.Symlink(filepath.Join(f.root, ".git"), filepath.Join(sub, ".git")))
		}, foreign.Unknown},
		"module a link": {func(t *testing.T, f *fixture, _ string, _ trap) {
			dir := filepath.Join(f.pane, ".git/modules/libs/lib")
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.Symlink(filepath.Join(f.root, ".git/modules/libs/lib"), dir))
		}, foreign.Unknown},
		"work tree a link": {func(t *testing.T, f *fixture, sub string, _ trap) {
			require.NoError(t, os.RemoveAll(sub))
			require.NoError(t, os.Symlink(f.root, sub))
		}, foreign.Unknown},
		"alternates": {func(t *testing.T, f *fixture, _ string, _ trap) {
			gittest.Write(t, filepath.Join(f.pane, ".git/modules/libs/lib/objects/info/alternates"), "/\n")
		}, foreign.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			f, sub := newSubmoduleFixture(t)
			tr := newTrap(t)
			c.do(t, f, sub, tr)
			r := f.everything(t)
			require.Equal(t, c.want, r.Kind, "%+v", r)
			tr.unsprung(t)
		})
	}
}

// TestSubmoduleGoneFromRepository: the user removed the submodule's files meanwhile.
func TestSubmoduleGoneFromRepository(t *testing.T) {
	f, sub := newSubmoduleFixture(t)
	run(t, f.root, "rm", "-q", "-f", "lib")
	run(t, f.root, "commit", "-q", "-m", "without")
	require.NoDirExists(t, filepath.Join(f.root, "lib"))
	run(t, sub, "commit", "-q", "--allow-empty", "-m", "work")
	require.Equal(t, foreign.HasWork, f.look(t).Kind)
	f.fetch(t)
	refs, err := f.module(t).Refs(t.Context(), "refs/heads/fork/")
	require.NoError(t, err)
	require.Len(t, refs, 1)
}

// TestSubmoduleRefused: what git refuses in a submodule holds the clone's own commits not up.
func TestSubmoduleRefused(t *testing.T) {
	f, sub := newSubmoduleFixture(t)
	gittest.Write(t, filepath.Join(f.root, ".git/modules/libs/lib/refs/heads/fork"), run(t, sub, "rev-parse", "HEAD")+"\n") // in the way of fork/main
	run(t, sub, "commit", "-q", "--allow-empty", "-m", "work")
	run(t, f.pane, "commit", "-q", "-a", "-m", "use it")
	got, err := f.tryFetch(t.Context())
	require.ErrorContains(t, err, "submodule lib: ")
	require.Len(t, got.Refs, 1)
	require.Len(t, f.refs(t), 1)
	require.Equal(t, foreign.HasWork, f.look(t).Kind)
}
