//go:build unix

package clone_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/clone"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/git/gittest"
)

var zero = time.Unix(1, 0)

// withSubmodule gives the base a submodule that has one itself. It returns their commits.
func withSubmodule(t *testing.T, b base) (lib, inner string) {
	t.Helper()
	innermost := gittest.Init(t, b.home, "inner")
	inner = gittest.Commit(t, innermost, "i", "1")
	middle := gittest.Init(t, b.home, "lib")
	gittest.Git(t, middle, "submodule", "--quiet", "add", innermost, "in/side")
	lib = gittest.Commit(t, middle, "l", "1")
	gittest.Git(t, b.root, "submodule", "--quiet", "add", "--name", "odd = \"name", middle, "vendor/lib")
	gittest.Git(t, b.root, "submodule", "--quiet", "update", "--init", "--recursive")
	gittest.Commit(t, b.root, "f", "1")
	return lib, inner
}

func TestSubmodules(t *testing.T) {
	b := newBase(t)
	lib, inner := withSubmodule(t, b)
	source := b.prepare()
	require.Empty(t, source.Warnings)
	spec := b.spec(1)
	made, err := source.Make(t.Context(), spec)
	require.NoError(t, err)
	module := b.root + "/.git/modules/odd = \"name"
	require.Equal(t, []string{b.root + "/.git/objects", module + "/objects", module + "/modules/in/side/objects"}, made.Borrowed)
	require.Empty(t, cmp.Diff([]clone.Submodule{
		{Path: "vendor/lib", GitDir: `.git/modules/odd = "name`, Commit: lib, Refs: []git.Ref{{Name: "refs/remotes/origin/main", Object: lib}}},
		{
			Path: "vendor/lib/in/side", GitDir: `.git/modules/odd = "name/modules/in/side`, Commit: inner,
			Refs: []git.Ref{{Name: "refs/remotes/origin/main", Object: inner}},
		},
	}, made.Submodules))
	requireClean(t, spec.Dir)
	requireClean(t, spec.Dir+"/vendor/lib")
	requireClean(t, spec.Dir+"/vendor/lib/in/side")
	require.FileExists(t, spec.Dir+"/vendor/lib/in/side/i")
	require.Equal(t, lib, gittest.Git(t, spec.Dir+"/vendor/lib", "rev-parse", "HEAD"))
	require.Equal(t, b.home+"/lib", gittest.Git(t, spec.Dir, "config", "submodule.odd = \"name.url"))
	gittest.Git(t, spec.Dir, "submodule", "--quiet", "update", "--init", "--recursive")

	next := gittest.Commit(t, spec.Dir+"/vendor/lib", "l", "2")
	require.Equal(t, "M vendor/lib", gittest.Git(t, spec.Dir, "status", "--short")[1:])
	require.NotEqual(t, next, gittest.Git(t, b.root+"/vendor/lib", "rev-parse", "HEAD"))
}

func TestSubmodulesDissociated(t *testing.T) {
	b := newBase(t)
	withSubmodule(t, b)
	spec := b.spec(1)
	spec.Dissociate = true
	made, err := b.prepare().Make(t.Context(), spec)
	require.NoError(t, err)
	require.Empty(t, made.Borrowed)
	require.NoError(t, os.Rename(b.root+"/.git", b.home+"/gone"))
	requireClean(t, spec.Dir+"/vendor/lib/in/side")
}

// TestSubmodulesOfALinkedWorkTree: git keeps them with the work tree.
func TestSubmodulesOfALinkedWorkTree(t *testing.T) {
	b := newBase(t)
	withSubmodule(t, b)
	main := b.root
	b.root = b.home + "/tree"
	gittest.Git(t, main, "worktree", "add", "--quiet", "-b", "x", b.root)
	gittest.Git(t, b.root, "submodule", "--quiet", "update", "--init", "--recursive")
	require.NoError(t, os.RemoveAll(main+"/.git/modules"))
	dir, made := b.make()
	require.Len(t, made.Submodules, 2)
	require.Equal(t, main+`/.git/worktrees/tree/modules/odd = "name/objects`, made.Borrowed[1])
	requireClean(t, dir+"/vendor/lib")
}

// TestSubmodulesThatAreLeftOut: absent ones, and what an agent may have committed.
func TestSubmodulesThatAreLeftOut(t *testing.T) {
	const path = "vendor/lib"
	for name, change := range map[string]func(t *testing.T, b base, trap string){
		"absent": func(t *testing.T, b base, _ string) { require.NoError(t, os.RemoveAll(b.root+"/.git/modules")) },
		"another commit": func(t *testing.T, b base, _ string) {
			gittest.Git(t, b.root, "update-index", "--cacheinfo", "160000,1111111111111111111111111111111111111111,"+path)
		},
		"unnamed": func(t *testing.T, b base, _ string) {
			gittest.Write(t, b.root+"/.gitmodules", "# none\n")
		},
		"elsewhere": func(t *testing.T, b base, _ string) {
			other := gittest.Init(t, b.home, "other")
			gittest.Write(t, b.root+"/.gitmodules", "[submodule \"../../../other/.git\"]\n\tpath = "+path+"\n\turl = "+other+"\n")
		},
		"broken .gitmodules": func(t *testing.T, b base, _ string) { gittest.Write(t, b.root+"/.gitmodules", "[submodule") },
		"a link": func(t *testing.T, b base, _ string) {
			require.NoError(t, os.Rename(b.root+"/.git/modules", b.home+"/modules"))
			require.NoError(t, os.Symlink(b.home+"/modules", b.root+"/.git/modules"))
		},
		"alternates": func(t *testing.T, b base, _ string) {
			gittest.Write(t, b.root+"/.git/modules/odd = \"name/objects/info/alternates", b.home+"/inner/.git/objects\n")
		},
		"partial": func(t *testing.T, b base, trap string) {
			for _, kv := range [][2]string{
				{"remote.origin.promisor", "true"}, {"remote.origin.url", "ext::" + trap}, {"protocol.ext.allow", "always"}, {"core.fsmonitor", trap},
			} {
				gittest.Git(t, b.root+"/.git/modules/odd = \"name", "config", "--file", "config", kv[0], kv[1])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBase(t)
			withSubmodule(t, b)
			trap, check := gittest.Trap(t)
			change(t, b, trap)
			if _, err := os.Stat(b.root + "/.git/modules"); err == nil {
				gittest.Git(t, b.root, "-c", "core.fsmonitor=", "add", "--ignore-errors", "--", ".gitmodules")
			}
			commit := gittest.Git(t, b.root, "commit-tree", "-m", "x", gittest.Git(t, b.root, "write-tree"))
			source, err := clone.Prepare(t.Context(), b.open(), commit, b.scratch)
			require.NoError(t, err)
			require.Len(t, source.Warnings, 1)
			require.Contains(t, source.Warnings[0], path)
			spec := b.spec(1)
			made, err := source.Make(t.Context(), spec)
			require.NoError(t, err)
			require.Empty(t, made.Submodules)
			entries, err := os.ReadDir(spec.Dir + "/" + path)
			require.NoError(t, err)
			require.Empty(t, entries)
			check()
		})
	}
}

// TestSubmoduleBehindALink: a submodule whose path leads through a link of the same commit.
func TestSubmoduleBehindALink(t *testing.T) {
	b := newBase(t)
	lib, _ := withSubmodule(t, b)
	outside := t.TempDir()
	gittest.Write(t, b.root+"/target", outside)
	object := gittest.Git(t, b.root, "hash-object", "-w", "target")
	// A tree with a link and a directory of one name, which git would not write.
	sub := mktree(t, b.root, "160000 commit "+lib+"\tlib")
	modules := gittest.Git(t, b.root, "rev-parse", "HEAD:.gitmodules")
	tree := mktree(t, b.root, "100644 blob "+modules+"\t.gitmodules\n120000 blob "+object+"\tvendor\n040000 tree "+sub+"\tvendor")
	commit := gittest.Git(t, b.root, "commit-tree", "-m", "x", tree)
	source, err := clone.Prepare(t.Context(), b.open(), commit, b.scratch)
	require.NoError(t, err)
	spec := b.spec(1)
	_, err = source.Make(t.Context(), spec)
	require.NoError(t, err, "git has left out the link")
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// mktree writes a tree as it is told to.
func mktree(t *testing.T, repo, lines string) string {
	t.Helper()
	cmd := exec.Command("git", "mktree", "--missing")
	cmd.Dir, cmd.Stdin = repo, strings.NewReader(lines+"\n")
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
