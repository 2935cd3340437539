package hostfacts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// linked makes a repository with a linked worktree and returns the directories of both.
func linked(t *testing.T) (main, work string) {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	main, work = filepath.Join(base, "main"), filepath.Join(base, "work")
	git(t, base, "init", "--quiet", main)
	git(t, main, "commit", "--quiet", "--allow-empty", "--message", "base")
	git(t, main, "worktree", "add", "--quiet", work)
	return main, work
}

func place(t *testing.T, workspace string) hostfacts.Facts {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	f, err := hostfacts.Place(workspace)
	require.NoError(t, err)
	return f
}

func TestGitLinkOfAWorktree(t *testing.T) {
	main, work := linked(t)
	f := place(t, work)
	require.NotNil(t, f.GitLink, f.Warnings)
	require.Equal(t, filepath.Join(main, ".git"), f.GitLink.Common)
	require.Equal(t, filepath.Join(main, ".git/worktrees/work"), f.GitLink.Dir)
	require.True(t, f.GitLink.Worktree())
	require.True(t, f.GitLink.CommonHas["hooks"])
	require.True(t, f.GitLink.DirHas["commondir"])
	require.False(t, f.GitLink.DirHas["config.worktree"])

	require.Nil(t, place(t, main).GitLink, "a git directory in its usual place")
}

func TestGitLinkOfASubmodule(t *testing.T) {
	library, _ := linked(t)
	super := filepath.Join(filepath.Dir(library), "super")
	git(t, filepath.Dir(library), "init", "--quiet", super)
	git(t, super, "submodule", "--quiet", "add", library, "deps/lib")
	f := place(t, filepath.Join(super, "deps/lib"))
	require.NotNil(t, f.GitLink, f.Warnings)
	require.Equal(t, filepath.Join(super, ".git/modules/deps/lib"), f.GitLink.Dir)
	require.False(t, f.GitLink.Worktree())
}

// TestGitLinkIsForged: what an agent may have written names no directory that containers get.
func TestGitLinkIsForged(t *testing.T) {
	main, work := linked(t)
	base := filepath.Dir(main)
	secret := filepath.Join(base, "secret")
	require.NoError(t, os.Mkdir(secret, 0o700))
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	other := filepath.Join(base, "other")
	require.NoError(t, os.Mkdir(other, 0o700))
	dir := filepath.Join(main, ".git/worktrees/work")
	for name, prepare := range map[string]func(){
		"another directory":             func() { write(filepath.Join(other, ".git"), "gitdir: "+secret+"\n") },
		"a repository that has it not":  func() { write(filepath.Join(other, ".git"), "gitdir: "+main+"/.git\n") },
		"the worktree of somebody else": func() { write(filepath.Join(other, ".git"), "gitdir: "+dir+"\n") },
		"no path":                       func() { write(filepath.Join(other, ".git"), "gitdir: \n") },
		"nothing of that kind":          func() { write(filepath.Join(other, ".git"), "hello") },
		"a directory that is not there": func() { write(filepath.Join(other, ".git"), "gitdir: /nowhere/at/all\n") },
		"a device":                      func() { write(filepath.Join(other, ".git"), "gitdir: /dev/zero\n") },
		"a submodule that names another": func() {
			modules := filepath.Join(base, "x/.git/modules/m")
			git(t, base, "init", "--quiet", "--bare", modules)
			git(t, base, "--git-dir", modules, "config", "core.worktree", work)
			write(filepath.Join(other, ".git"), "gitdir: "+modules+"\n")
		},
		"objects that are a link": func() {
			modules := filepath.Join(base, "y/.git/modules/m")
			git(t, base, "init", "--quiet", "--bare", modules)
			git(t, base, "--git-dir", modules, "config", "core.worktree", other)
			require.NoError(t, os.RemoveAll(filepath.Join(modules, "objects")))
			require.NoError(t, os.Symlink(secret, filepath.Join(modules, "objects")))
			write(filepath.Join(other, ".git"), "gitdir: "+modules+"\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			prepare()
			f := place(t, other)
			require.Nil(t, f.GitLink)
			require.NotEmpty(t, f.Warnings)
		})
	}
}

// TestGitDirectoryInTheWorkspace: containers have it with the workspace, and are given no part of it on its own, which an
// agent could move: it may have made all of this.
func TestGitDirectoryInTheWorkspace(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	git(t, base, "init", "--quiet", "--bare", ".bare")
	git(t, base, "--git-dir", ".bare", "commit-tree", "-m", "base", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")
	file := filepath.Join(base, ".git")
	require.NoError(t, os.WriteFile(file, []byte("gitdir: ./.bare\n"), 0o600))
	f := place(t, base)
	require.Nil(t, f.GitLink)
	require.Empty(t, f.Warnings)

	require.NoError(t, os.WriteFile(file, []byte("gitdir: "+filepath.Join(base, ".bare")+"\n"), 0o600))
	f = place(t, base)
	require.Nil(t, f.GitLink)
	require.Len(t, f.Warnings, 1)
	require.Contains(t, f.Warnings[0], "--workspace-path host")
}

func TestMountSource(t *testing.T) {
	_, work := linked(t)
	base := filepath.Dir(work)
	outside := filepath.Join(base, "outside")
	require.NoError(t, os.Mkdir(outside, 0o700))
	require.NoError(t, os.Symlink(outside, filepath.Join(work, "link")))
	require.NoError(t, os.Symlink(work, filepath.Join(base, "to-work")))
	require.NoError(t, os.Symlink(outside, filepath.Join(base, "to-outside")))
	f := place(t, work)
	for path, want := range map[string]string{
		outside: outside, filepath.Join(base, "to-outside"): outside, work: work, filepath.Join(base, "to-work"): work,
		filepath.Join(work, "link"): "", filepath.Join(base, "to-work/link"): "", filepath.Join(base, "nothing"): "",
		f.StateDir: "", filepath.Dir(f.StateDir): "", "/": "",
	} {
		got, err := f.MountSource(path)
		require.Equal(t, want, got, path)
		require.Equal(t, want == "", err != nil, path)
	}
}
