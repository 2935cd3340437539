//go:build unix

package hostfacts_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// host prepares a host of its own for one test, with an empty home, and
// returns a directory for workspaces, in canonical form.
func host(t *testing.T) (home, dir string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	home, dir = filepath.Join(root, "home"), filepath.Join(root, "src")
	mkdir(t, home)
	mkdir(t, dir)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "AIFO_CODER_CA_BUNDLE", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	return home, dir
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(path, 0o755))
	return path
}

func read(t *testing.T, workspace string) hostfacts.Facts {
	t.Helper()
	f, err := hostfacts.Host(t.Context(), workspace)
	require.NoError(t, err)
	return f
}

func refused(t *testing.T, workspace string) string {
	t.Helper()
	_, err := hostfacts.Host(t.Context(), workspace)
	var w *hostfacts.WorkspaceError
	require.ErrorAs(t, err, &w)
	return w.Reason
}

var oddNames = []string{
	"with space", "with,comma", `with"quote`, "with'quote", "with:colon", "-dash", "--privileged", "ünïcödé 日本", `back\slash`,
	"dollar $HOME", "a=b,readonly", "star*", "#hash", ";", "~",
}

func TestOddWorkspaces(t *testing.T) {
	_, dir := host(t)
	for _, name := range oddNames {
		path := mkdir(t, filepath.Join(dir, name))
		require.Equal(t, path, read(t, path).Workspace, "as an absolute path")
		t.Chdir(dir)
		require.Equal(t, path, read(t, name).Workspace, "as a relative path")
		t.Chdir(path)
		f := read(t, "")
		require.Equal(t, path, f.Workspace, "as the working directory")
		require.Equal(t, path, f.Cwd)
	}
}

func TestWorkingDirectoryThatIsGone(t *testing.T) {
	_, dir := host(t)
	gone := mkdir(t, filepath.Join(dir, "gone"))
	t.Chdir(gone)
	require.NoError(t, os.Remove(gone))
	require.Equal(t, "the working directory is gone; cd to one that exists, or give the whole path of the workspace with --workspace", refused(t, ""))
	require.Contains(t, refused(t, "relative"), "the working directory is gone")
	require.Equal(t, dir, read(t, dir).Workspace, "one that is named needs no other")
}

func TestWorkspaceIsCanonical(t *testing.T) {
	_, dir := host(t)
	real := mkdir(t, filepath.Join(dir, "real"))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(real, link))
	t.Chdir(dir)
	for _, spelled := range []string{real, link, link + "/", real + "/.", "link", "./real/../link", "real/"} {
		require.Equal(t, real, read(t, spelled).Workspace, spelled)
	}
	t.Chdir(link)
	require.Equal(t, real, read(t, "").Workspace)
	require.Equal(t, real, read(t, "").Cwd)
	require.Equal(t, dir, read(t, "..").Workspace)
}

func TestRefusedWorkspaces(t *testing.T) {
	_, dir := host(t)
	t.Chdir(dir)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	dangling := filepath.Join(dir, "dangling")
	require.NoError(t, os.Symlink("nowhere", dangling))
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink("loop", loop))
	rootLink := filepath.Join(dir, "rootlink")
	require.NoError(t, os.Symlink("/", rootLink))

	require.Contains(t, refused(t, file), "not a directory")
	require.Contains(t, refused(t, file+"/below"), "not a directory")
	require.Contains(t, refused(t, "missing"), "no such file")
	require.Contains(t, refused(t, dangling), "no such file")
	require.NotEmpty(t, refused(t, loop))
	require.Contains(t, refused(t, "/"), "root of the file system")
	require.Contains(t, refused(t, "/../"), "root of the file system")
	require.Contains(t, refused(t, rootLink), "root of the file system")
	for _, name := range []string{"new\nline", "carriage\rreturn", "tab\t", "escape\x1b[31m", "del\x7f"} {
		require.Contains(t, refused(t, mkdir(t, filepath.Join(dir, name))), "control character", "%q", name)
		t.Chdir(filepath.Join(dir, name))
		require.Contains(t, refused(t, ""), "control character", "%q", name)
		t.Chdir(dir)
	}
}

func TestHomeIsRefusedUnlessNamed(t *testing.T) {
	home, dir := host(t)
	t.Chdir(home)
	require.Contains(t, refused(t, ""), "home directory")
	require.Equal(t, home, read(t, home).Workspace)
	require.Equal(t, home, read(t, ".").Workspace)
	link := filepath.Join(dir, "made by an agent")
	require.NoError(t, os.Symlink(home, link))
	require.Contains(t, refused(t, link), "home directory", "a link to it does not name it")
	t.Chdir(mkdir(t, filepath.Join(home, "src")))
	require.Equal(t, filepath.Join(home, "src"), read(t, "").Workspace, "below the home is fine")
	t.Chdir(dir)
	require.Equal(t, dir, read(t, "").Workspace)
}

// TestHomeInAnotherSpelling: a home behind a link, or with a slash at its end,
// holds the same keys.
func TestHomeInAnotherSpelling(t *testing.T) {
	home, dir := host(t)
	link := filepath.Join(dir, "home-link")
	require.NoError(t, os.Symlink(home, link))
	t.Chdir(home)
	for _, spelled := range []string{home + "/", link} {
		t.Setenv("HOME", spelled)
		require.Contains(t, refused(t, ""), "home directory", spelled)
	}
}

func TestRepositoryRoot(t *testing.T) {
	_, dir := host(t)
	repo := mkdir(t, filepath.Join(dir, "repo"))
	sub := mkdir(t, filepath.Join(repo, "a", "b c"))
	t.Chdir(sub)
	require.Equal(t, sub, read(t, "").Workspace, "no repository: the working directory")

	mkdir(t, filepath.Join(repo, ".git"))
	f := read(t, "")
	require.Equal(t, repo, f.Workspace)
	require.Equal(t, sub, f.Cwd)
	require.Equal(t, sub, read(t, ".").Workspace, "a workspace that is named is not widened")
	t.Chdir(repo)
	require.Equal(t, repo, read(t, "").Workspace)

	// A worktree and a submodule have a file; the nearest one counts.
	inner := mkdir(t, filepath.Join(repo, "a"))
	require.NoError(t, os.WriteFile(filepath.Join(inner, ".git"), []byte("gitdir: /elsewhere\n"), 0o600))
	t.Chdir(sub)
	require.Equal(t, inner, read(t, "").Workspace)

	// Near misses.
	other := mkdir(t, filepath.Join(dir, "other", "sub"))
	mkdir(t, filepath.Join(dir, "other", ".gitx"))
	mkdir(t, filepath.Join(dir, "other", "git"))
	t.Chdir(other)
	require.Equal(t, other, read(t, "").Workspace)
}

// TestRepositoryRootOfALink: the repository is the one where the directory
// really is, as git has it.
func TestRepositoryRootOfALink(t *testing.T) {
	_, dir := host(t)
	repo := mkdir(t, filepath.Join(dir, "repo"))
	mkdir(t, filepath.Join(repo, ".git"))
	mkdir(t, filepath.Join(repo, "sub"))
	link := filepath.Join(mkdir(t, filepath.Join(dir, "elsewhere")), "link")
	require.NoError(t, os.Symlink(filepath.Join(repo, "sub"), link))
	t.Chdir(link)
	require.Equal(t, repo, read(t, "").Workspace)
}

// TestGitIdentity: the user has one; a repository's own configuration may be
// the work of an agent.
func TestGitIdentity(t *testing.T) {
	home, dir := host(t)
	t.Chdir(dir)
	require.Equal(t, hostfacts.GitIdentity{}, read(t, "").Git)

	mkdir(t, filepath.Join(dir, ".git"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".git", "HEAD"), []byte("ref: refs/heads/main\n"), 0o600))
	mkdir(t, filepath.Join(dir, ".git", "objects"))
	mkdir(t, filepath.Join(dir, ".git", "refs"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".git", "config"), []byte("[user]\n\tname = Mallory\n\temail = m@example.org\n"), 0o600))
	require.Equal(t, hostfacts.GitIdentity{}, read(t, "").Git, "a repository does not say who we are")

	require.NoError(t, os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[user]\n\tname = Ann Example\n\temail = ann@example.org\n"), 0o600))
	require.Equal(t, hostfacts.GitIdentity{Name: "Ann Example", Email: "ann@example.org"}, read(t, "").Git)

	t.Setenv("GIT_AUTHOR_NAME", "Env Name")
	require.Equal(t, hostfacts.GitIdentity{Name: "Env Name", Email: "ann@example.org"}, read(t, "").Git)

	t.Setenv("GIT_DIR", filepath.Join(dir, ".git"))
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(dir, ".git", "config"))
	require.Equal(t, "ann@example.org", read(t, "").Git.Email, "the environment points at no other configuration")

	t.Setenv("PATH", t.TempDir())
	require.Equal(t, hostfacts.GitIdentity{Name: "Env Name"}, read(t, "").Git, "no git is no error")
}

func TestDirs(t *testing.T) {
	home, dir := host(t)
	t.Chdir(dir)
	f := read(t, "")
	require.Equal(t, filepath.Join(home, ".cache", "aifo-coder"), f.CacheDir)
	require.Equal(t, filepath.Join(home, ".local", "state", "aifo-coder"), f.StateDir)
	require.Equal(t, hostfacts.RuntimeDir(nil, os.Getuid()), f.RuntimeDir)

	t.Setenv("XDG_CACHE_HOME", "/c")
	t.Setenv("XDG_STATE_HOME", "/s")
	t.Setenv("XDG_RUNTIME_DIR", "/r")
	f = read(t, "")
	require.Equal(t, []string{"/c/aifo-coder", "/s/aifo-coder", "/r/aifo-coder"}, []string{f.CacheDir, f.StateDir, f.RuntimeDir})
}

// TestRelativeDirs: the base directory specification has relative paths
// ignored, and docker takes none as the source of a mount.
func TestRelativeDirs(t *testing.T) {
	_, dir := host(t)
	t.Chdir(dir)
	want := read(t, "")
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "relative")
	}
	got := read(t, "")
	require.Equal(t, []string{want.CacheDir, want.StateDir, want.RuntimeDir}, []string{got.CacheDir, got.StateDir, got.RuntimeDir})
}

// TestReadingChangesNothing: a dry run reads the same facts.
func TestReadingChangesNothing(t *testing.T) {
	home, dir := host(t)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
	t.Chdir(dir)
	read(t, "")
	for _, d := range []string{home, dir} {
		entries, err := os.ReadDir(d)
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}

func TestPrivateDir(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b")
	require.NoError(t, hostfacts.PrivateDir(dir))
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.NoError(t, hostfacts.PrivateDir(dir), "again")

	for _, mode := range []os.FileMode{0o701, 0o710, 0o704, 0o770, 0o707, 0o755, 0o777} {
		require.NoError(t, os.Chmod(dir, mode))
		require.ErrorContains(t, hostfacts.PrivateDir(dir), "not private", mode)
		info, err := os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), "the mode is left alone")
	}
	require.NoError(t, os.Chmod(dir, 0o700))

	link := filepath.Join(root, "link")
	require.NoError(t, os.Symlink(dir, link))
	require.ErrorContains(t, hostfacts.PrivateDir(link), "not private")
	dangling := filepath.Join(root, "dangling")
	require.NoError(t, os.Symlink(filepath.Join(root, "nowhere"), dangling))
	require.Error(t, hostfacts.PrivateDir(dangling))
	file := filepath.Join(root, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Error(t, hostfacts.PrivateDir(file))
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(dir, 12345, 12345))
		require.ErrorContains(t, hostfacts.PrivateDir(dir), "not private", "another user's")
	}
}

func TestEnvOf(t *testing.T) {
	require.Equal(t, hostfacts.Env{"A": "1", "B": "x=y", "C": ""}, hostfacts.EnvOf([]string{"A=1", "B=x=y", "C=", "D", "=C:=x", ""}))
}
