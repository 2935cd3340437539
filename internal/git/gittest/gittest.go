// Package gittest makes repositories for tests, with the real git and without the
// configuration of whoever runs them.
package gittest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Home gives the test a home of its own with a user's configuration, and returns it.
func Home(t testing.TB) string {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "GIT_") {
			t.Setenv(name, "") // restored at the end
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	Write(t, filepath.Join(home, ".gitconfig"),
		"[user]\n\tname = User\n\temail = user@example.com\n[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n\tallow = always\n")
	return home
}

// Author gives the test a home of its own without a configuration, and an author for commits.
func Author(t testing.TB) {
	t.Helper()
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"),
		"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": filepath.Join(home, "gitconfig"),
		"GIT_AUTHOR_NAME": "A U Thor", "GIT_AUTHOR_EMAIL": "author@example.com",
		"GIT_COMMITTER_NAME": "A U Thor", "GIT_COMMITTER_EMAIL": "author@example.com",
	} {
		t.Setenv(name, value)
	}
}

// Init makes a repository in a new directory below dir and returns its canonical path.
func Init(t testing.TB, dir, name string, options ...string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	Git(t, dir, append(append([]string{"init", "--quiet"}, options...), "--", path)...)
	return path
}

// Git runs git as a user does and returns what it prints, without the last line break.
func Git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "git %s: %s", strings.Join(args, " "), stderr.String())
	return strings.TrimSuffix(string(out), "\n")
}

// Write writes a file and makes its directories.
func Write(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// Commit writes a file, commits everything, and returns the commit.
func Commit(t testing.TB, repo, name, content string) string {
	t.Helper()
	Write(t, filepath.Join(repo, name), content)
	Git(t, repo, "add", "--all", "--force", "--", name)
	Git(t, repo, "commit", "--quiet", "--message", "change "+name)
	return Git(t, repo, "rev-parse", "HEAD")
}

// Trap returns a command that leaves a mark, and what fails the test when it ran.
func Trap(t testing.TB) (command string, check func()) {
	t.Helper()
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	script := filepath.Join(dir, "trap")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$0 $*\" >>'"+mark+"'\nexit 1\n"), 0o755))
	return script, func() {
		t.Helper()
		require.NoFileExists(t, mark, "a command of the repository ran")
	}
}

// Tree returns all files below dir with their content, mode, size and time, but those below the
// directories that are left out.
func Tree(t testing.TB, dir string, without ...string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	files := os.DirFS(dir)
	require.NoError(t, fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(without, path) {
			return fs.SkipDir
		}
		info, err := e.Info()
		if err != nil || info.IsDir() {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() {
			content, err = fs.ReadFile(files, path)
		}
		tree[path] = info.Mode().String() + info.ModTime().String() + string(content)
		return err
	}))
	return tree
}
