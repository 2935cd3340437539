package foreign_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git/gittest"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
)

func TestLookEmpty(t *testing.T) {
	f := newFixture(t)
	gittest.Write(t, filepath.Join(f.pane, "a.o"), "ignored")
	require.Equal(t, foreign.Report{Kind: foreign.Empty, Branch: branch, Head: f.base}, f.look(t))
}

func TestLookSHA256(t *testing.T) {
	f := newFixture(t, "--object-format=sha256")
	require.Equal(t, foreign.Empty, f.look(t).Kind)
	f.commit(t, "new.txt", "new\n")
	run(t, f.pane, "gc", "-q")
	require.Equal(t, foreign.HasWork, f.look(t).Kind)
	f.fetch(t)
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

func TestLookCommits(t *testing.T) {
	f := newFixture(t)
	f.commit(t, "new.txt", "new\n")
	head := f.commit(t, "newer.txt", "newer\n")
	r := f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind)
	require.Equal(t, 2, r.Ahead)
	require.Equal(t, head, r.Head)
	require.Equal(t, []string{"its commits are not in the repository"}, r.Reasons)

	run(t, f.root, "fetch", "-q", f.pane, head)
	require.Equal(t, foreign.HasWork, f.look(t).Kind, "objects that no branch reaches are not kept")
	run(t, f.root, "update-ref", "refs/aifo-coder/x", head)
	require.Equal(t, foreign.HasWork, f.look(t).Kind, "nor are those of refs that are ours")
	run(t, f.root, "branch", "mine", head)
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

// TestLookFiles: every way in which a file can hold something that is nowhere else.
func TestLookFiles(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, f *fixture)
		want foreign.Change
	}{
		"changed": {func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, mainFile), "ONE\n") },
			foreign.Change{Path: mainFile, What: "changed"}},
		"mode": {func(t *testing.T, f *fixture) { require.NoError(t, os.Chmod(filepath.Join(f.pane, mainFile), 0o755)) },
			foreign.Change{Path: mainFile, What: "changed"}},
		"deleted": {func(t *testing.T, f *fixture) { require.NoError(t, os.Remove(filepath.Join(f.pane, mainFile))) },
			foreign.Change{Path: mainFile, What: "deleted"}},
		"untracked": {func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, "deep/er/n"), "") },
			foreign.Change{Path: "deep/er/n", What: "untracked"}},
		"excluded by the clone only": {func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, ".git/info/exclude"), "*\n")
			gittest.Write(t, filepath.Join(f.pane, "new"), "")
		}, foreign.Change{Path: "new", What: "untracked"}},
		"hidden by its index": {func(t *testing.T, f *fixture) {
			run(t, f.pane, "update-index", "--assume-unchanged", mainFile)
			gittest.Write(t, filepath.Join(f.pane, mainFile), "ONE\n")
		}, foreign.Change{Path: mainFile, What: "changed"}},
		"staged only": {func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, mainFile), "ONE\n")
			run(t, f.pane, "add", ".")
			gittest.Write(t, filepath.Join(f.pane, mainFile), "one\n")
		}, foreign.Change{Path: mainFile, What: "staged"}},
		"nested repository": {func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, "nested/x"), "")
			run(t, filepath.Join(f.pane, "nested"), "init", "-q")
		}, foreign.Change{Path: "nested/", What: "untracked"}},
		"not UTF-8": {func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, "d\xff/\xfe"), "") },
			foreign.Change{Path: `d\xff/\xfe`, What: "untracked"}},
		"control characters": {func(t *testing.T, f *fixture) { gittest.Write(t, filepath.Join(f.pane, "a\x1b[2J\n"), "") },
			foreign.Change{Path: `a\x1b[2J\n`, What: "untracked"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.do(t, f)
			r := f.look(t)
			require.Equal(t, foreign.HasWork, r.Kind, "%+v", r)
			require.Equal(t, []foreign.Change{c.want}, r.Changes)
			require.Equal(t, []string{"1 file not committed"}, r.Reasons)
		})
	}
}

func TestLookManyFiles(t *testing.T) {
	f := newFixture(t)
	for i := range 150 {
		gittest.Write(t, filepath.Join(f.pane, "many", string(rune('a'+i%26))+string(rune('a'+i/26))), "")
	}
	r := f.look(t)
	require.Equal(t, 150, r.Changed)
	require.Len(t, r.Changes, 100)
}

// TestLookRefs: work beside HEAD.
func TestLookRefs(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, f *fixture)
		want []string
	}{
		"branch": {func(t *testing.T, f *fixture) {
			run(t, f.pane, "checkout", "-q", "-b", "feature/x")
			f.commit(t, "x", "x")
			run(t, f.pane, "checkout", "-q", "fork/main/ab12-1")
		}, []string{"refs/heads/feature/x"}},
		"branch, packed": {func(t *testing.T, f *fixture) {
			run(t, f.pane, "checkout", "-q", "-b", "feature/x")
			f.commit(t, "x", "x")
			run(t, f.pane, "checkout", "-q", "fork/main/ab12-1")
			run(t, f.pane, "gc", "-q", "--prune=now")
		}, []string{"refs/heads/feature/x"}},
		"annotated tag": {func(t *testing.T, f *fixture) { run(t, f.pane, "tag", "-a", "-m", "words", "v2") },
			[]string{"refs/tags/v2"}},
		"tag of a blob": {func(t *testing.T, f *fixture) {
			gittest.Write(t, filepath.Join(f.pane, "a.o"), "blob")
			run(t, f.pane, "tag", "b", run(t, f.pane, "hash-object", "-w", "a.o"))
		}, []string{"refs/tags/b"}},
		"notes": {func(t *testing.T, f *fixture) { run(t, f.pane, "notes", "add", "-m", "note") },
			[]string{"refs/notes/commits"}},
		"remote branch": {func(t *testing.T, f *fixture) {
			head := f.commit(t, "x", "x")
			run(t, f.pane, "update-ref", "refs/remotes/origin/new", head)
			run(t, f.pane, "reset", "-q", "--hard", f.base)
		}, []string{"refs/remotes/origin/new"}},
		"linked work tree": {func(t *testing.T, f *fixture) {
			run(t, f.pane, "worktree", "add", "-q", "--detach", filepath.Join(t.TempDir(), "linked"))
			wt := filepath.Join(f.pane, ".git/worktrees/linked")
			head := f.commit(t, "x", "x")
			run(t, f.pane, "reset", "-q", "--hard", f.base)
			gittest.Write(t, filepath.Join(wt, "HEAD"), head+"\n")
		}, []string{"worktrees/linked"}},
		"symbolic": {func(t *testing.T, f *fixture) {
			head := f.commit(t, "x", "x")
			run(t, f.pane, "update-ref", "refs/heads/far", head)
			run(t, f.pane, "symbolic-ref", "refs/heads/near", "refs/heads/far")
			run(t, f.pane, "reset", "-q", "--hard", f.base)
		}, []string{"refs/heads/far", "refs/heads/near"}},
		"-x": {func(t *testing.T, f *fixture) {
			head := f.commit(t, "x", "x")
			gittest.Write(t, filepath.Join(f.pane, ".git/refs/heads/-x"), head+"\n")
			run(t, f.pane, "reset", "-q", "--hard", f.base)
		}, []string{"refs/heads/-x"}},
		"odd names": {func(t *testing.T, f *fixture) {
			head := f.commit(t, "x", "x")
			gittest.Write(t, filepath.Join(f.pane, ".git/refs/heads/a..b\n\x1b"), head+"\n")
			run(t, f.pane, "reset", "-q", "--hard", f.base)
		}, []string{`refs/heads/a..b\n\x1b`}},
		"not UTF-8": {func(t *testing.T, f *fixture) {
			head := f.commit(t, "x", "x")
			run(t, f.pane, "branch", "d\xe9/e", head)
			run(t, f.pane, "reset", "-q", "--hard", f.base)
		}, []string{`refs/heads/d\xe9/e`}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.do(t, f)
			r := f.look(t)
			require.Equal(t, foreign.HasWork, r.Kind, "%+v", r)
			require.Equal(t, c.want, r.Refs)
			require.Zero(t, r.Ahead)
			before := f.refs(t)
			require.Empty(t, before)
			f.fetch(t)
			require.NotEmpty(t, f.refs(t))
			r = f.look(t)
			if name != "linked work tree" { // whose files may have something
				require.Equal(t, foreign.Preserved, r.Kind, "%+v", r)
			}
			after := f.refs(t)
			require.Empty(t, f.fetch(t).Refs)
			require.Equal(t, after, f.refs(t), "twice is once")
		})
	}
}

func TestLookStash(t *testing.T) {
	f := newFixture(t)
	for _, content := range []string{"first\n", "second\n"} {
		gittest.Write(t, filepath.Join(f.pane, mainFile), content)
		run(t, f.pane, "stash", "-q")
	}
	older := run(t, f.pane, "rev-parse", "stash@{1}")
	r := f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind)
	require.Equal(t, 2, r.Stashes)
	require.Equal(t, []string{"2 stashes not in the repository"}, r.Reasons)
	f.fetch(t)
	require.Equal(t, older, f.refs(t)[branch+"--stash-"+older[:12]])
	require.Equal(t, foreign.Preserved, f.look(t).Kind)
}

// TestLookOperation: what is half done is not lost.
func TestLookOperation(t *testing.T) {
	for _, file := range []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "rebase-merge/onto", "rebase-apply/onto", "sequencer/todo"} {
		t.Run(file, func(t *testing.T) {
			f := newFixture(t)
			gittest.Write(t, filepath.Join(f.pane, ".git", file), f.base+"\n")
			r := f.look(t)
			require.Equal(t, foreign.HasWork, r.Kind)
			require.Len(t, r.Operation, 1)
		})
	}
}

func TestLookDetachedAndUnborn(t *testing.T) {
	f := newFixture(t)
	run(t, f.pane, "checkout", "-q", "--detach")
	require.Equal(t, foreign.Report{Kind: foreign.Empty, Head: f.base}, f.look(t))
	head := f.commit(t, "x", "x")
	require.Equal(t, foreign.HasWork, f.look(t).Kind)
	f.fetch(t)
	require.Equal(t, map[string]string{branch: head}, f.refs(t))

	run(t, f.pane, "checkout", "-q", "--orphan", "unborn")
	r := f.look(t)
	require.Equal(t, foreign.HasWork, r.Kind, "the files are of no commit")
	run(t, f.pane, "rm", "-q", "-r", "-f", ".")
	r = f.look(t)
	require.Equal(t, foreign.Empty, r.Kind, "%+v", r)
}

// TestLookLineEnds: settings of the user by which files were written do not make them changed.
func TestLookLineEnds(t *testing.T) {
	f := newFixture(t)
	gittest.Write(t, os.Getenv("GIT_CONFIG_GLOBAL"), "[core]\n\tautocrlf = true\n")
	require.NoError(t, os.RemoveAll(f.pane))
	f.makePane(t)
	content, err := os.ReadFile(filepath.Join(f.pane, mainFile))
	require.NoError(t, err)
	require.Equal(t, "one\r\n", string(content))
	require.Equal(t, foreign.Empty, f.look(t).Kind)
}

// TestLookIgnoredByUser: what the user has git ignore everywhere is no work.
func TestLookIgnoredByUser(t *testing.T) {
	f := newFixture(t)
	gittest.Write(t, filepath.Join(f.pane, ".DS_Store"), "x")
	require.Equal(t, 1, f.look(t).Changed)
	gittest.Write(t, filepath.Join(os.Getenv("HOME"), "ignored"), ".DS_Store\n")
	gittest.Write(t, os.Getenv("GIT_CONFIG_GLOBAL"), "[core]\n\texcludesFile = ~/ignored\n")
	require.Equal(t, foreign.Empty, f.look(t).Kind)
}
