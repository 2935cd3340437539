package foreign_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

// run runs plain git, as a user or an agent does, and returns what it wrote.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %s: %s", strings.Join(args, " "), out)
	return strings.TrimSuffix(string(out), "\n")
}

// fixture is a repository with one clone in it.
type fixture struct {
	root  string
	pane  string
	base  string
	clone foreign.Clone
}

const (
	branch      = "refs/heads/fork/main/ab12-1"
	baseSubject = "base"
	mainFile    = "file.txt"
)

// newFixture makes a repository with a branch beside main, and a clone of it as package clone does.
func newFixture(t *testing.T, initArgs ...string) *fixture {
	t.Helper()
	gittest.Author(t)
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	f := &fixture{root: filepath.Join(root, "repo"), pane: filepath.Join(root, "repo", ".aifo-coder/forks/ab12/pane-1")}
	require.NoError(t, os.Mkdir(f.root, 0o755))
	run(t, f.root, append([]string{"init", "-q", "-b", "main"}, initArgs...)...)
	gittest.Write(t, filepath.Join(f.root, ".git/info/exclude"), "/.aifo-coder/\n")
	gittest.Write(t, filepath.Join(f.root, mainFile), "one\n")
	gittest.Write(t, filepath.Join(f.root, "dir/other.txt"), "two\n")
	gittest.Write(t, filepath.Join(f.root, ".gitignore"), "*.o\n")
	run(t, f.root, "add", ".")
	run(t, f.root, "commit", "-q", "-m", baseSubject)
	run(t, f.root, "tag", "v1")
	run(t, f.root, "branch", "topic")
	f.makePane(t)
	return f
}

// makePane makes the clone from main as it is.
func (f *fixture) makePane(t *testing.T) {
	t.Helper()
	repo, err := git.Open(t.Context(), f.root)
	require.NoError(t, err)
	f.base = repo.HeadCommit
	require.NoError(t, os.MkdirAll(f.pane, 0o755))
	run(t, f.pane, "init", "-q", "-b", "x", "--template=", "--object-format="+repo.Format)
	gittest.Write(t, filepath.Join(f.pane, ".git/objects/info/alternates"), repo.Objects()+"\n")
	created := []git.Ref{{Name: branch, Object: f.base}, {Name: "refs/remotes/origin/main", Object: f.base}, {Name: "refs/tags/v1", Object: f.base}}
	var packed strings.Builder
	for _, r := range created {
		packed.WriteString(r.Object + " " + r.Name + "\n")
	}
	gittest.Write(t, filepath.Join(f.pane, ".git/packed-refs"), packed.String())
	gittest.Write(t, filepath.Join(f.pane, ".git/HEAD"), "ref: "+branch+"\n")
	run(t, f.pane, "reset", "-q", "--hard")
	f.clone = foreign.Clone{
		Repo: repo, Dir: f.pane, Branch: branch, Base: f.base, Created: created,
		Scratch: t.TempDir(),
	}
}

// commit has the agent commit a file.
func (f *fixture) commit(t *testing.T, name, content string) string {
	t.Helper()
	gittest.Write(t, filepath.Join(f.pane, name), content)
	run(t, f.pane, "add", "-A")
	run(t, f.pane, "commit", "-q", "-m", "agent: "+name)
	return run(t, f.pane, "rev-parse", "HEAD")
}

func (f *fixture) look(t *testing.T) foreign.Report {
	t.Helper()
	r, err := foreign.Look(t.Context(), f.clone)
	require.NoError(t, err)
	f.leavesNothing(t)
	return r
}

func (f *fixture) fetch(t *testing.T) foreign.Fetched {
	t.Helper()
	got, err := f.tryFetch(t.Context())
	require.NoError(t, err)
	f.leavesNothing(t)
	return got
}

func (f *fixture) tryFetch(ctx context.Context) (foreign.Fetched, error) {
	v, err := foreign.Open(ctx, f.clone)
	if err != nil {
		return foreign.Fetched{}, err
	}
	defer v.Close()
	return v.Fetch(ctx)
}

// leavesNothing shows that no quarantine is left behind.
func (f *fixture) leavesNothing(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(f.clone.Scratch)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// refs returns the user's refs, without those that the fixture started with.
func (f *fixture) refs(t *testing.T) map[string]string {
	t.Helper()
	list, err := f.clone.Repo.Refs(t.Context())
	require.NoError(t, err)
	m := map[string]string{}
	for _, r := range list {
		if r.Name != "refs/heads/main" && r.Name != "refs/heads/topic" && r.Name != "refs/tags/v1" {
			m[r.Name] = r.Object
		}
	}
	return m
}
