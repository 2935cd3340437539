package broker_test

import (
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/broker"
)

const (
	gitUser     = "ann"
	gitPassword = "ghp_0123456789abcdef"
)

// gitServer is a server of git repositories that wants a login, with owner/repo and
// owner/other in it.
func gitServer(t *testing.T) (u *upstream, root string) {
	t.Helper()
	root = t.TempDir()
	for _, name := range []string{"owner/repo.git", "owner/other.git", "ownerous/repo.git"} {
		dir := filepath.Join(root, name)
		git(t, "", "init", "--quiet", "--bare", "--initial-branch=main", dir)
		git(t, dir, "config", "http.receivepack", "true")
	}
	seed := filepath.Join(t.TempDir(), "seed")
	git(t, "", "init", "--quiet", "--initial-branch=main", seed)
	commit(t, seed, "first")
	git(t, seed, "push", "--quiet", filepath.Join(root, "owner/repo.git"), "main")
	exec := strings.TrimSpace(git(t, "", "--exec-path"))
	backend := &cgi.Handler{
		Path: filepath.Join(exec, "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + gitUser},
	}
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || user != gitUser || password != gitPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}), root
}

// git runs git as an agent's container does: with no configuration but what is given.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(t, dir, nil, args...)
	require.NoError(t, err, out)
	return out
}

func tryGit(t *testing.T, dir string, settings []string, args ...string) (string, error) {
	t.Helper()
	for _, s := range settings {
		args = append([]string{"-c", s}, args...)
	}
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "GIT_SSH_COMMAND=false",
		"HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=", "ALL_PROXY=", "all_proxy=",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	require.NotContains(t, string(out), gitPassword)
	return string(out), err
}

// commit writes a file of that name and commits it.
func commit(t *testing.T, dir, name string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(name, 1000)), 0o600))
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "--message", name)
}

// gitSession has a broker serve one grant, and returns the settings of the agent's git.
func gitSession(t *testing.T, u *upstream, path string, push bool) (*session, []string) {
	t.Helper()
	grant := broker.GitGrant{Prefix: strings.TrimSuffix(u.host()+"/"+path, "/"), Push: push, Username: gitUser, Password: gitPassword}
	s := start(t, broker.Config{Git: []broker.GitGrant{grant}}, u)
	return s, broker.GitConfig(s.url, []broker.GitGrant{grant})
}

func TestGit(t *testing.T) {
	u, root := gitServer(t)
	for _, path := range []string{"owner/repo", "owner", ""} {
		_, settings := gitSession(t, u, path, true)
		for _, suffix := range []string{".git", ""} {
			if suffix == "" {
				require.NoError(t, os.Symlink("repo.git", filepath.Join(root, "owner/repo")))
			}
			clone := filepath.Join(t.TempDir(), "clone")
			out, err := tryGit(t, "", settings, "clone", "--quiet", u.URL+"/owner/repo"+suffix, clone)
			require.NoError(t, err, out)
			require.FileExists(t, filepath.Join(clone, "first"))
			commit(t, clone, strings.ReplaceAll("mine "+path+suffix, "/", "-"))
			out, err = tryGit(t, clone, settings, "push", "--quiet", "origin", "HEAD:main")
			require.NoError(t, err, out)
			require.Equal(t, git(t, clone, "rev-parse", "HEAD"), git(t, filepath.Join(root, "owner/repo.git"), "rev-parse", "main"))
			out, err = tryGit(t, clone, settings, "fetch", "origin")
			require.NoError(t, err, out)
			require.NotContains(t, git(t, clone, "config", "--list"), gitPassword)
		}
		require.NoError(t, os.Remove(filepath.Join(root, "owner/repo")))
	}
}

func TestGitPushRefused(t *testing.T) {
	u, root := gitServer(t)
	_, settings := gitSession(t, u, "owner/repo", false)
	clone := filepath.Join(t.TempDir(), "clone")
	out, err := tryGit(t, "", settings, "clone", "--quiet", u.URL+"/owner/repo.git", clone)
	require.NoError(t, err, out)
	before := git(t, filepath.Join(root, "owner/repo.git"), "rev-parse", "main")
	commit(t, clone, "mine")
	out, err = tryGit(t, clone, settings, "push", "origin", "HEAD:main")
	require.Error(t, err)
	require.Contains(t, out, "403")
	require.Equal(t, before, git(t, filepath.Join(root, "owner/repo.git"), "rev-parse", "main"))
}

func TestGitOtherRepository(t *testing.T) {
	u, _ := gitServer(t)
	s, settings := gitSession(t, u, "owner/repo", true)
	for _, path := range []string{"/owner/other.git", "/owner/repo2.git"} {
		_, err := tryGit(t, "", settings, "ls-remote", s.url+"/git/"+u.host()+path)
		require.Error(t, err, path)
	}
	s, settings = gitSession(t, u, "owner", true)
	out, err := tryGit(t, "", settings, "ls-remote", u.URL+"/owner/other.git")
	require.NoError(t, err, out)
	_, err = tryGit(t, "", nil, "ls-remote", s.url+"/git/"+u.host()+"/ownerous/repo.git")
	require.Error(t, err)
}

// TestGitRequests: what is not git's, or not below the grant, does not get out.
func TestGitRequests(t *testing.T) {
	u := serve(t, nil)
	s, _ := gitSession(t, u, "owner/repo", false)
	at := "/git/" + u.host()
	for _, request := range []string{
		"GET " + at + "/owner/repo", "GET " + at + "/owner/repo/HEAD", "GET " + at + "/owner/repo.git/objects/info/packs",
		"GET " + at + "/owner/repo/info/refs", "GET " + at + "/owner/repo/info/refs?git-upload-pack", "GET " + at + "/owner/repo/info/refs?service=git-upload-archive",
		"GET " + at + "/owner/repo/info/refs?service=git-upload-pack&x=y", "GET " + at + "/owner/repo/info/refs?x=y&service=git-upload-pack",
		"GET " + at + "/owner/repo/info/refs?service=git-receive-pack", "POST " + at + "/owner/repo/git-receive-pack",
		"POST " + at + "/owner/repo/git-upload-pack?x=y", "GET " + at + "/owner/repo/git-upload-pack", "POST " + at + "/git-upload-pack",
		"POST " + at + "/owner/repository/git-upload-pack", "POST " + at + "/owner/git-upload-pack", "POST " + at + "/owner.git/repo/git-upload-pack",
		"POST " + at + "/owner/x/../repo/git-upload-pack", "POST " + at + "/owner/repo%2fx/git-upload-pack", "POST " + at + "/owner/re%70o/git-upload-pack",
		"POST " + at + "/owner/repo/x%20y/git-upload-pack", "POST " + at + "/owner/repo.git/info/lfs/objects/batch",
		"POST /git/evil.example/owner/repo/git-upload-pack", "POST /git//owner/repo/git-upload-pack", "POST /git/git-upload-pack", "GET /git/", "PUT " + at + "/owner/repo/git-upload-pack",
	} {
		method, path, _ := strings.Cut(request, " ")
		r := s.do(method, path, nil, nil)
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, r.StatusCode, request)
		require.Contains(t, r.body, "aifo-coder broker: ")
	}
	require.Empty(t, u.got())
	r := s.do(http.MethodPost, at+"/owner/repo/git-upload-pack", map[string]string{"Authorization": "Basic x", "Cookie": "a=b", "Git-Protocol": "version=2"}, nil)
	require.Equal(t, http.StatusOK, r.StatusCode)
	got := u.got()[0]
	user, password, _ := got.BasicAuth()
	require.Equal(t, gitUser+gitPassword, user+password)
	require.Empty(t, got.Header.Values("Cookie"))
	require.Equal(t, "version=2", got.Header.Get("Git-Protocol"))
	require.Equal(t, "/owner/repo/git-upload-pack", got.URL.String())
}

// TestGitGrants: the nearest grant counts, and one to push beats a nearer one that only reads.
func TestGitGrants(t *testing.T) {
	u := serve(t, nil)
	grant := func(path, user string, push bool) broker.GitGrant {
		return broker.GitGrant{Prefix: strings.TrimSuffix(u.host()+"/"+path, "/"), Push: push, Username: user, Password: gitPassword}
	}
	s := start(t, broker.Config{Git: []broker.GitGrant{grant("", "all", false), grant("a", "owner", true), grant("a/b", "repo", false)}}, u)
	for request, want := range map[string]string{
		"/x/y/git-upload-pack": "all", "/a/c/git-upload-pack": "owner", "/a/b/git-upload-pack": "repo",
		"/a/c/git-receive-pack": "owner", "/a/b.git/git-receive-pack": "owner", "/x/y/git-receive-pack": "",
	} {
		r := s.do(http.MethodPost, "/git/"+u.host()+request, nil, nil)
		if want == "" {
			require.Equal(t, http.StatusForbidden, r.StatusCode, request)
			require.Contains(t, r.body, "push")
			continue
		}
		require.Equal(t, http.StatusOK, r.StatusCode, request)
		user, _, _ := u.got()[len(u.got())-1].BasicAuth()
		require.Equal(t, want, user, request)
	}
}

func TestParseGit(t *testing.T) {
	for s, want := range map[string]broker.GitGrant{
		"github.com":                     {Prefix: "github.com"},
		"GitHub.com/Owner/":              {Prefix: "github.com/Owner"},
		"github.com/owner/repo.git=push": {Prefix: "github.com/owner/repo", Push: true},
		"git.example:8443/~u/a/b.c=push": {Prefix: "git.example:8443/~u/a/b.c", Push: true},
		"gitlab.com/group/sub/project":   {Prefix: "gitlab.com/group/sub/project"},
	} {
		got, err := broker.ParseGit(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got)
	}
	for _, s := range []string{
		"", "=push", "/owner", "https://github.com/owner", "git@github.com:owner/repo", "github.com/..", "github.com/a//b", "github.com/a/./b",
		"github.com/a b", "github.com/a=pull", "github.com/a\n", "-x.example", "github.com/a%2fb", "github.com:x/a", "a..@b",
	} {
		_, err := broker.ParseGit(s)
		require.Error(t, err, s)
	}
	require.Equal(t, "github.com=push", broker.GitGrant{Prefix: "github.com", Push: true, Password: "secret"}.String())
}

func FuzzParseGit(f *testing.F) {
	f.Add("github.com/owner/repo.git=push")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := broker.ParseGit(s)
		if err != nil {
			return
		}
		again, err := broker.ParseGit(g.String())
		if err != nil || again.String() != g.String() {
			t.Fatalf("%q becomes %q, and that %q (%v)", s, g, again, err)
		}
		if _, err := broker.New(broker.Config{Git: []broker.GitGrant{g}}); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

func TestGitConfig(t *testing.T) {
	got := broker.GitConfig("http://127.0.0.1:19128/", []broker.GitGrant{
		{Prefix: "github.com/owner/repo"}, {Prefix: "gitlab.com/group"}, {Prefix: "git.example:8443"}, {Prefix: "gitlab.com/group", Push: true},
	})
	require.Equal(t, []string{
		"url.http://127.0.0.1:19128/git/git.example:8443/.insteadOf=https://git.example:8443/",
		"url.http://127.0.0.1:19128/git/github.com/owner/repo.insteadOf=git@github.com:owner/repo",
		"url.http://127.0.0.1:19128/git/github.com/owner/repo.insteadOf=https://github.com/owner/repo",
		"url.http://127.0.0.1:19128/git/github.com/owner/repo.insteadOf=ssh://git@github.com/owner/repo",
		"url.http://127.0.0.1:19128/git/gitlab.com/group/.insteadOf=git@gitlab.com:group/",
		"url.http://127.0.0.1:19128/git/gitlab.com/group/.insteadOf=https://gitlab.com/group/",
		"url.http://127.0.0.1:19128/git/gitlab.com/group/.insteadOf=ssh://git@gitlab.com/group/",
	}, got)
}
