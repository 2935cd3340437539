//go:build unix

package git_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

func open(t *testing.T, dir string) git.Repo {
	t.Helper()
	r, err := git.Open(t.Context(), dir)
	require.NoError(t, err)
	return r
}

func TestOpen(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "a repo")
	require.Equal(t, git.Repo{
		Root: repo, GitDir: repo + "/.git", CommonDir: repo + "/.git", Format: "sha1", HeadRef: "refs/heads/main",
	}, open(t, repo), "unborn")

	commit := gittest.Commit(t, repo, "sub/deep/f", "1")
	r := open(t, repo+"/sub/deep")
	require.Equal(t, repo, r.Root)
	require.Equal(t, commit, r.HeadCommit)
	require.Equal(t, "refs/heads/main", r.HeadRef)
	require.Equal(t, repo+"/.git/objects", r.Objects())

	link := filepath.Join(home, "link")
	require.NoError(t, os.Symlink(repo, link))
	require.Equal(t, r, open(t, link), "a link to it")

	gittest.Git(t, repo, "checkout", "--quiet", "--detach")
	r = open(t, repo)
	require.Empty(t, r.HeadRef)
	require.Equal(t, commit, r.HeadCommit)
}

func TestOpenOthers(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	commit := gittest.Commit(t, repo, "f", "1")
	gittest.Commit(t, repo, "f", "2")

	tree := filepath.Join(home, "tree")
	gittest.Git(t, repo, "worktree", "add", "--quiet", "-b", "other", tree, commit)
	require.Equal(t, git.Repo{
		Root: tree, GitDir: repo + "/.git/worktrees/tree", CommonDir: repo + "/.git", Format: "sha1",
		HeadRef: "refs/heads/other", HeadCommit: commit,
	}, open(t, tree))

	shallow := filepath.Join(home, "shallow")
	gittest.Git(t, home, "clone", "--quiet", "--depth=1", "file://"+repo, shallow)
	require.True(t, open(t, shallow).Shallow)

	long := gittest.Init(t, home, "sha256", "--object-format=sha256")
	r := open(t, long)
	require.Equal(t, "sha256", r.Format)
	c := gittest.Commit(t, long, "f", "1")
	require.Len(t, c, 64)
	r = open(t, long)
	require.NoError(t, r.UpdateRefs(t.Context(), "test", git.Update{Ref: "refs/heads/new", New: c}))

	super := gittest.Init(t, home, "super")
	gittest.Git(t, super, "submodule", "--quiet", "add", repo, "sub")
	r = open(t, super+"/sub")
	require.Equal(t, super+"/.git/modules/sub", r.GitDir)
}

func TestOpenNone(t *testing.T) {
	home := gittest.Home(t)
	bare := gittest.Init(t, home, "bare", "--bare")
	repo := gittest.Init(t, home, "repo")
	for _, dir := range []string{home, bare, repo + "/.git"} {
		_, err := git.Open(t.Context(), dir)
		var none *git.NotRepositoryError
		require.ErrorAs(t, err, &none, dir)
		require.Equal(t, dir, none.Dir)
	}
}

func TestOpenPartialClone(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	gittest.Commit(t, repo, "f", "1")
	gittest.Git(t, repo, "config", "uploadpack.allowFilter", "true")
	part := filepath.Join(home, "part")
	gittest.Git(t, home, "clone", "--quiet", "--no-checkout", "--filter=blob:none", "file://"+repo, part)
	_, err := git.Open(t.Context(), part)
	var partial *git.PartialCloneError
	require.ErrorAs(t, err, &partial)
	require.NotEmpty(t, partial.Hint())
}

// TestOpenMissingHead: a repository whose HEAD is a commit that it lacks and that its
// configuration says how to fetch.
func TestOpenMissingHead(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	trap, check := gittest.Trap(t)
	gittest.Write(t, repo+"/.git/refs/heads/main", strings.Repeat("1", 40)+"\n")
	for key, value := range map[string]string{
		"remote.origin.url": "ext::" + trap, "remote.origin.promisor": "true", "protocol.ext.allow": "always",
		"remote.origin.uploadpack": trap,
	} {
		gittest.Git(t, repo, "config", key, value)
	}
	_, err := git.Open(t.Context(), repo)
	require.Error(t, err)
	check()
}

// TestOpenLeadsElsewhere: what an agent can change so that we would read what belongs to
// another repository of the user.
func TestOpenLeadsElsewhere(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, repo, other string){
		"core.worktree": func(t *testing.T, repo, other string) {
			gittest.Git(t, repo, "config", "core.worktree", filepath.Dir(repo))
		},
		".git file": func(t *testing.T, repo, other string) {
			require.NoError(t, os.RemoveAll(repo+"/.git"))
			gittest.Write(t, repo+"/.git", "gitdir: "+other+"/.git\n")
		},
		".git link": func(t *testing.T, repo, other string) {
			require.NoError(t, os.RemoveAll(repo+"/.git"))
			require.NoError(t, os.Symlink(other+"/.git", repo+"/.git"))
		},
		"work tree of another": func(t *testing.T, repo, other string) {
			gittest.Git(t, other, "worktree", "add", "--quiet", "--detach", filepath.Dir(repo)+"/tree")
			require.NoError(t, os.RemoveAll(repo+"/.git"))
			gittest.Write(t, repo+"/.git", "gitdir: "+other+"/.git/worktrees/tree\n")
		},
		"commondir": func(t *testing.T, repo, other string) {
			gittest.Write(t, repo+"/.git/commondir", other+"/.git\n")
		},
		"alternates": func(t *testing.T, repo, other string) {
			gittest.Write(t, repo+"/.git/objects/info/alternates", other+"/.git/objects\n")
		},
		"objects": func(t *testing.T, repo, other string) {
			require.NoError(t, os.RemoveAll(repo+"/.git/objects"))
			require.NoError(t, os.Symlink(other+"/.git/objects", repo+"/.git/objects"))
		},
		"pack directory": func(t *testing.T, repo, other string) {
			require.NoError(t, os.RemoveAll(repo+"/.git/objects/pack"))
			require.NoError(t, os.Symlink(other+"/.git/objects/pack", repo+"/.git/objects/pack"))
		},
		"pack": func(t *testing.T, repo, other string) {
			require.NoError(t, os.Symlink(other+"/x.pack", repo+"/.git/objects/pack/pack-1.pack"))
		},
		"loose objects": func(t *testing.T, repo, other string) {
			require.NoError(t, os.Symlink(other+"/.git/objects/00", repo+"/.git/objects/00"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := gittest.Home(t)
			repo, other := gittest.Init(t, home, "repo"), gittest.Init(t, home, "other")
			gittest.Commit(t, other, "secret", "1")
			gittest.Write(t, repo+"/f", "1")
			open(t, repo)
			change(t, repo, other)
			_, err := git.Open(t.Context(), repo)
			var layout *git.LayoutError
			require.ErrorAs(t, err, &layout)
			require.NotEmpty(t, layout.Hint())
		})
	}
}

func TestRefs(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	one := gittest.Commit(t, repo, "f", "1")
	two := gittest.Commit(t, repo, "f", "2")
	r := open(t, repo)
	require.NoError(t, r.UpdateRefs(t.Context(), "test",
		git.Update{Ref: "refs/heads/a", New: one}, git.Update{Ref: "refs/heads/b/c", New: two}))
	require.Error(t, r.UpdateRefs(t.Context(), "test",
		git.Update{Ref: "refs/heads/a", New: two, Old: one}, git.Update{Ref: "refs/heads/b/c", New: one, Old: one}), "b/c is not one")
	require.Error(t, r.UpdateRefs(t.Context(), "test", git.Update{Ref: "refs/heads/a", New: two}), "a exists")
	refs, err := r.Refs(t.Context(), "refs/heads/")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]git.Ref{
		{Name: "refs/heads/a", Object: one}, {Name: "refs/heads/b/c", Object: two}, {Name: "refs/heads/main", Object: two},
	}, refs))
	require.NoError(t, r.UpdateRefs(t.Context(), "test", git.Update{Ref: "refs/heads/a", Old: one}))
	refs, err = r.Refs(t.Context(), "refs/heads/a", "refs/heads/b")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]git.Ref{{Name: "refs/heads/b/c", Object: two}}, refs))
}

// TestCloneOfForkModeIsLeftWhole: what it borrows must not be taken for an agent's doing.
func TestCloneOfForkModeIsLeftWhole(t *testing.T) {
	for place, want := range map[string]string{"repo/.aifo-coder/forks/ab12/pane-1": "start from its repository: ", "other": "remove it"} {
		home := gittest.Home(t)
		dir := filepath.Join(home, place, ".git/objects")
		gittest.Write(t, filepath.Join(dir, "info/alternates"), "/repo/.git/objects\n")
		var layout *git.LayoutError
		require.ErrorAs(t, git.CheckObjects(dir), &layout)
		require.Contains(t, layout.Remedy, want)
	}
}

// TestUpdateRefsBelowAnother: git has no branch below another one, be that in a file or packed.
func TestUpdateRefsBelowAnother(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	one := gittest.Commit(t, repo, "f", "1")
	r := open(t, repo)
	gittest.Git(t, repo, "branch", "fork/main")
	for range 2 {
		var taken *git.RefTakenError
		require.ErrorAs(t, r.UpdateRefs(t.Context(), "test", git.Update{Ref: "refs/heads/fork/main/a-1", New: one}), &taken)
		require.Equal(t, git.RefTakenError{Ref: "refs/heads/fork/main/a-1", By: "refs/heads/fork/main"}, *taken)
		require.Contains(t, taken.Hint(), "git branch -m fork/main ")
		require.ErrorAs(t, r.CheckFree(t.Context(), "refs/heads/x", "refs/heads/fork/main/a/b"), &taken)
		require.NoError(t, r.CheckFree(t.Context(), "refs/heads/x", "refs/heads/fork/other", "refs/heads/fork/main-1/x"))
		gittest.Git(t, repo, "pack-refs", "--all")
	}
}

// TestUpdateRefsThroughLinks: git appends to a reflog wherever it is.
func TestUpdateRefsThroughLinks(t *testing.T) {
	for _, link := range []string{"logs/refs/heads/main", "logs/HEAD", "logs", "refs/heads", "packed-refs"} {
		home := gittest.Home(t)
		repo := gittest.Init(t, home, "repo")
		one := gittest.Commit(t, repo, "f", "1")
		two := gittest.Commit(t, repo, "f", "2")
		r := open(t, repo)
		path := filepath.Join(repo, ".git", link)
		target := filepath.Join(home, "target")
		if os.Rename(path, target) != nil {
			gittest.Write(t, target, "")
		}
		require.NoError(t, os.Symlink(target, path))
		before := gittest.Tree(t, home)
		var layout *git.LayoutError
		require.ErrorAs(t, r.UpdateRefs(t.Context(), "test", git.Update{Ref: "refs/heads/main", New: one, Old: two}), &layout, link)
		require.Empty(t, cmp.Diff(before, gittest.Tree(t, home)), link)
	}
}

func TestIdentity(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	require.Equal(t, []string{
		"GIT_AUTHOR_NAME=User", "GIT_AUTHOR_EMAIL=user@example.com", "GIT_COMMITTER_NAME=User", "GIT_COMMITTER_EMAIL=user@example.com",
	}, open(t, repo).Identity(t.Context()))
	gittest.Write(t, home+"/.gitconfig", "[user]\n\tuseConfigOnly = true\n")
	require.Nil(t, open(t, repo).Identity(t.Context()))
}

func TestDataConfig(t *testing.T) {
	home := gittest.Home(t)
	gittest.Git(t, home, "config", "--global", "core.autocrlf", "input")
	gittest.Git(t, home, "config", "--global", "core.eol", "lf")
	repo := gittest.Init(t, home, "repo")
	gittest.Git(t, repo, "config", "core.eol", "crlf")
	gittest.Git(t, repo, "config", "user.name", "a\n\"b\" \\ # ;")
	gittest.Git(t, repo, "config", "core.fsmonitor", "x")
	gittest.Git(t, repo, "config", "core.protectNTFS", "false")
	r := open(t, repo)
	data, err := r.DataConfig(t.Context())
	require.NoError(t, err)
	want := []string{"core.eol=crlf", "core.filemode=true", "user.name=a\n\"b\" \\ # ;"}
	require.Empty(t, cmp.Diff(want, data))
	settings, err := r.Settings(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(append([]string{"core.autocrlf=input"}, want...), settings.Data(git.Effective)))

	s, err := r.Shadow(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	name, err := s.Git("config", "user.name").Line(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a\n\"b\" \\ # ;", name, "it is read back as it was")
	require.NoError(t, s.Remove())
}

func TestFormatConfig(t *testing.T) {
	home := gittest.Home(t)
	list := git.Settings{{Key: "core.bare", Value: "false"}, {Key: `submodule.a "b" \ c.d=e.active`, Value: "true"}, {Key: "core.x", Value: " # "}}
	file := filepath.Join(home, "config")
	gittest.Write(t, file, string(git.FormatConfig(list)))
	out := gittest.Git(t, home, "config", "--file", file, "--list", "-z")
	require.Equal(t, "core.bare\nfalse\x00submodule.a \"b\" \\ c.d=e.active\ntrue\x00core.x\n # \x00", out)
}

func TestDirty(t *testing.T) {
	home := gittest.Home(t)
	gittest.Write(t, home+"/.config/git/ignore", "*.ignored-by-user\n")
	repo := gittest.Init(t, home, "repo")
	for _, f := range []string{"same", "changed", "staged", "gone", "sub/moved", "tracked.log"} {
		gittest.Commit(t, repo, f, f)
	}
	gittest.Commit(t, repo, ".aifo-coder/tracked", "1")
	gittest.Commit(t, repo, ".gitignore", "*.log\n")
	dirty := func() []string {
		t.Helper()
		r := open(t, repo+"/sub")
		before := gittest.Tree(t, home)
		got, err := r.Dirty(t.Context(), filepath.Join(home, "shadow"))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(before, gittest.Tree(t, home)), "nothing is written")
		require.NoDirExists(t, filepath.Join(home, "shadow"))
		return got
	}
	later := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(repo+"/same", later, later))
	require.Empty(t, dirty(), "a file that was only touched")

	gittest.Write(t, repo+"/changed", "2")
	gittest.Write(t, repo+"/staged", "2")
	gittest.Git(t, repo, "add", "staged")
	gittest.Write(t, repo+"/staged", "staged")
	require.NoError(t, os.Remove(repo+"/gone"))
	gittest.Git(t, repo, "mv", "sub/moved", "sub/to")
	gittest.Write(t, repo+"/tracked.log", "2")
	gittest.Write(t, repo+"/x.log", "2")
	gittest.Write(t, repo+"/x.ignored-by-user", "2")
	gittest.Write(t, repo+"/new dir/Ünïcode \"\n", "2")
	gittest.Write(t, repo+"/.aifo-coder/tracked", "2")
	gittest.Write(t, repo+"/.aifo-coder/forks/x/pane-1/f", "2")
	gittest.Init(t, repo, "nested")
	require.ElementsMatch(t, []string{
		"changed", "staged", "gone", "sub/moved", "sub/to", "tracked.log", "new dir/Ünïcode \"\n", "nested/",
	}, dirty())
}

// TestDirtyWithinASecond: a file that was changed, with its size and time as before, in the
// second in which the index was written.
func TestDirtyWithinASecond(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	gittest.Write(t, repo+"/f", "1")
	require.NoError(t, os.Chtimes(repo+"/f", then, then))
	gittest.Git(t, repo, "add", "f")
	gittest.Git(t, repo, "commit", "--quiet", "-m", "x")
	f, err := os.OpenFile(repo+"/f", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("2")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, os.Chtimes(repo+"/f", then, then))
	gittest.Git(t, home, "config", "--global", "core.trustctime", "false")
	require.NoError(t, os.Chtimes(repo+"/.git/index", then, then))
	got, err := open(t, repo).Dirty(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	require.Equal(t, []string{"f"}, got)
}

func TestDirtySplitIndex(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	gittest.Commit(t, repo, "f", "1")
	gittest.Git(t, repo, "update-index", "--split-index")
	gittest.Commit(t, repo, "g", "1")
	gittest.Write(t, repo+"/f", "22")
	got, err := open(t, repo).Dirty(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	require.Equal(t, []string{"f"}, got)
}

// TestShadowWritesAWholeIndex: the second half of a split one would be in the shadow.
func TestShadowWritesAWholeIndex(t *testing.T) {
	home := gittest.Home(t)
	gittest.Git(t, home, "config", "--global", "core.splitIndex", "true")
	repo := gittest.Init(t, home, "repo")
	gittest.Commit(t, repo, "f", "1")
	s, err := open(t, repo).Shadow(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	gittest.Write(t, repo+"/g", "1")
	require.NoError(t, s.Git("add", "g").Run(t.Context()))
	require.NoError(t, s.Remove())
	require.Equal(t, "A  g", gittest.Git(t, repo, "status", "--short"))
}

func TestDirtySubmodule(t *testing.T) {
	home := gittest.Home(t)
	lib := gittest.Init(t, home, "lib")
	gittest.Commit(t, lib, "f", "1")
	repo := gittest.Init(t, home, "repo")
	gittest.Git(t, repo, "submodule", "--quiet", "add", lib, "sub")
	gittest.Git(t, repo, "commit", "--quiet", "-m", "x")
	next := gittest.Commit(t, repo+"/sub", "f", "2")
	gittest.Git(t, repo+"/sub", "reset", "--quiet", "--hard", "HEAD~")
	trap, check := gittest.Trap(t)
	hostile(t, repo+"/.git/modules/sub", repo+"/sub", trap)
	gittest.Write(t, repo+"/sub/f", "2")
	r := open(t, repo)
	got, err := r.Dirty(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	require.Empty(t, got, "what is in a submodule does not count")
	check()
	gittest.Write(t, repo+"/.git/modules/sub/refs/heads/main", next+"\n")
	got, err = r.Dirty(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	require.Equal(t, []string{"sub"}, got)
}

func TestExclude(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	gittest.Commit(t, repo, "f", "1")
	exclude := repo + "/.git/info/exclude"
	for before, after := range map[string]string{
		"":                       "/.aifo-coder/\n",
		"a":                      "a\n/.aifo-coder/\n",
		"a\n":                    "a\n/.aifo-coder/\n",
		"x\r\n/.aifo-coder/\r\n": "x\r\n/.aifo-coder/\r\n",
	} {
		gittest.Write(t, exclude, before)
		for range 2 {
			require.NoError(t, open(t, repo).Exclude())
			got, err := os.ReadFile(exclude)
			require.NoError(t, err)
			require.Equal(t, after, string(got))
		}
	}
	require.NoError(t, os.RemoveAll(repo+"/.git/info"))
	tree := filepath.Join(home, "tree")
	gittest.Git(t, repo, "worktree", "add", "--quiet", "-b", "x", tree)
	require.NoError(t, open(t, tree).Exclude())
	for _, dir := range []string{repo, tree} {
		gittest.Write(t, dir+"/.aifo-coder/f", "1")
		require.Empty(t, gittest.Git(t, dir, "status", "--short"))
	}
	entries, err := os.ReadDir(repo + "/.git/info")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestExcludeThroughLinks(t *testing.T) {
	for _, link := range []string{"info", "info/exclude"} {
		home := gittest.Home(t)
		repo := gittest.Init(t, home, "repo")
		target := filepath.Join(home, "target")
		require.NoError(t, os.Rename(repo+"/.git/"+link, target))
		require.NoError(t, os.Symlink(target, repo+"/.git/"+link))
		before := gittest.Tree(t, home)
		var layout *git.LayoutError
		require.ErrorAs(t, open(t, repo).Exclude(), &layout)
		require.Empty(t, cmp.Diff(before, gittest.Tree(t, home)))
	}
}

// hostile configures everything that git could run in a repository to run trap.
func hostile(t *testing.T, gitDir, workTree, trap string) {
	t.Helper()
	var config strings.Builder
	for section, names := range map[string][]string{
		"core":                    {"fsmonitor", "sshCommand", "pager", "editor", "askPass", "alternateRefsCommand"},
		"diff":                    {"external"},
		`diff "x"`:                {"command", "textconv"},
		`filter "x"`:              {"clean", "smudge", "process"},
		`merge "x"`:               {"driver"},
		"credential":              {"helper"},
		"gpg":                     {"program"},
		"uploadpack":              {"packObjectsHook"},
		`remote "origin"`:         {"uploadpack", "receivepack", "vcs"},
		"alias":                   {"status", "config", "rev-parse", "for-each-ref", "update-ref", "lfs"},
		"sequence":                {"editor"},
		"interactive":             {"diffFilter"},
		`submodule "sub"`:         {"update"},
		"core \"unused\"":         {"fsmonitor"},
		`trace2`:                  {},
		`filter "lfs"`:            {"clean", "smudge", "process"},
		`protocol "ext"`:          {},
		`url "ext::` + trap + `"`: {},
	} {
		config.WriteString("[" + section + "]\n")
		for _, name := range names {
			value := trap
			if section == "alias" || section == `submodule "sub"` {
				value = "!" + trap
			}
			config.WriteString("\t" + name + " = " + value + "\n")
		}
	}
	config.WriteString("[commit]\n\tgpgSign = true\n[gc]\n\tauto = 1\n[protocol \"ext\"]\n\tallow = always\n[include]\n\tpath = more\n[user]\n\tname = a\n\temail = a@b\n")
	f, err := os.OpenFile(gitDir+"/config", os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(config.String())
	require.NoError(t, err)
	require.NoError(t, f.Close())
	gittest.Write(t, gitDir+"/more", "[core]\n\thooksPath = "+gitDir+"/hooks\n[core]\n\tfsmonitor = "+trap+"\n")
	script, err := os.ReadFile(trap)
	require.NoError(t, err)
	for _, hook := range []string{
		"reference-transaction", "post-checkout", "pre-commit", "post-commit", "post-index-change", "pre-auto-gc", "fsmonitor-watchman",
		"commit-msg", "prepare-commit-msg", "post-merge", "post-rewrite", "update", "post-update", "pre-receive", "post-receive",
	} {
		gittest.Write(t, gitDir+"/hooks/"+hook, string(script))
		require.NoError(t, os.Chmod(gitDir+"/hooks/"+hook, 0o755))
	}
	gittest.Write(t, workTree+"/.gitattributes", "* filter=x diff=x merge=x\n")
	gittest.Write(t, gitDir+"/info/attributes", "* filter=x diff=x merge=x\n")
}

// TestNothingOfTheRepositoryRuns goes through all functions of the package.
func TestNothingOfTheRepositoryRuns(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	commit := gittest.Commit(t, repo, "f", "1")
	trap, check := gittest.Trap(t)
	hostile(t, repo+"/.git", repo, trap)
	gittest.Write(t, repo+"/f", "2")
	for _, v := range []string{"GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_EDITOR"} {
		t.Setenv(v, trap)
	}
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
	t.Setenv("GIT_CONFIG_VALUE_0", trap)
	t.Setenv("GIT_DIR", "/nowhere")
	t.Setenv("GIT_INDEX_FILE", "/nowhere")

	r := open(t, repo)
	_, err := r.Refs(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.UpdateRefs(t.Context(), "test", git.Update{Ref: "refs/heads/new", New: commit}))
	require.NotNil(t, r.Identity(t.Context()))
	dirty, err := r.Dirty(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{".gitattributes", "f"}, dirty)
	require.NoError(t, r.Exclude())
	s, err := r.Shadow(t.Context(), filepath.Join(home, "shadow"))
	require.NoError(t, err)
	require.NoError(t, s.Git("status").Run(t.Context()))
	require.NoError(t, s.Git("add", "--all").Run(t.Context()))
	require.NoError(t, s.Git("read-tree", "--reset", "-u", commit).Run(t.Context()))
	check()
}

func TestCancelled(t *testing.T) {
	home := gittest.Home(t)
	repo := gittest.Init(t, home, "repo")
	r := open(t, repo)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Dirty(ctx, filepath.Join(home, "shadow"))
	require.ErrorIs(t, err, context.Canceled)
	require.NoDirExists(t, filepath.Join(home, "shadow"))
}

func TestModule(t *testing.T) {
	home := gittest.Home(t)
	lib := gittest.Init(t, home, "lib")
	gittest.Commit(t, lib, "f", "1")
	repo := gittest.Init(t, home, "repo")
	gittest.Git(t, repo, "submodule", "--quiet", "add", "--name", "a/b", lib, "sub")
	r := open(t, repo)
	m, err := r.Module(t.Context(), "a/b")
	require.NoError(t, err)
	require.Equal(t, repo+"/.git/modules/a/b", m.GitDir)
	// As with another branch, which has no such submodule.
	require.NoError(t, os.RemoveAll(repo+"/sub"))
	refs, err := m.Refs(t.Context(), "refs/heads/")
	require.NoError(t, err)
	require.Len(t, refs, 1)

	_, err = r.Module(t.Context(), "c")
	require.ErrorIs(t, err, os.ErrNotExist)
	var name *git.ModuleNameError
	for _, bad := range []string{"", "..", "../x", "a/../../x", "/x", "-x", "a//b", "a/./b", "x\ny", `a\b`, "a/.GIT"} {
		_, err = r.Module(t.Context(), bad)
		require.ErrorAs(t, err, &name, bad)
	}
	require.NoError(t, os.Rename(repo+"/.git/modules/a/b", home+"/b"))
	require.NoError(t, os.Symlink(home+"/b", repo+"/.git/modules/a/b"))
	var layout *git.LayoutError
	_, err = r.Module(t.Context(), "a/b")
	require.ErrorAs(t, err, &layout)
}
