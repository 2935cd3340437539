//go:build linux

package e2e

import (
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const gitPassword = "password-of-the-test"

// gitServer serves the repository owner/repo over HTTPS to who has the password.
func gitServer(t *testing.T) (address string, authority []byte) {
	t.Helper()
	root := t.TempDir()
	git := func(args ...string) string {
		out, err := exec.Command("git", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(root, "owner/repo.git"))
	git("init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(root, "owner/other.git"))
	backend := &cgi.Handler{
		Path: filepath.Join(git("--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ann"},
	}
	server, authority := privateServer(t, "localhost", "127.0.0.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != gitPassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	return "localhost:" + port(server.URL), authority
}

// TestGitThroughTheBroker: an agent without a network pushes to a repository and clones it,
// by its usual address and with the user's login, which it does not see; other repositories
// of that server it does not reach.
func TestGitThroughTheBroker(t *testing.T) {
	c := ordinary(t)
	address, authority := gitServer(t)
	roots := filepath.Join(c.home, "roots.pem")
	require.NoError(t, os.WriteFile(roots, authority, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(c.home, ".git-credentials"), []byte("https://ann:"+gitPassword+"@"+address+"\n"), 0o600))
	config, err := os.OpenFile(filepath.Join(c.home, ".gitconfig"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = config.WriteString("[credential]\n\thelper = store\n")
	require.NoError(t, err)
	require.NoError(t, config.Close())
	c.own(c.home)
	c.env = append(c.env, "SSL_CERT_FILE="+roots)

	script := strings.ReplaceAll(`
git init -q -b main new && cd new && git commit -q --allow-empty -m one && git push -q https://ADDRESS/owner/repo main && cd ..
git clone -q https://ADDRESS/owner/repo clone && git -C clone log --format=%s
git clone -q https://ADDRESS/owner/other stolen; echo $?
env; cat /etc/gitconfig`, "ADDRESS", address)
	closed := []string{"--network-policy", "none"}
	r := c.script(script, append(closed, "--broker-git", address+"/owner/repo=push")...)
	require.Equal(t, 0, r.code)
	require.Contains(t, r.stdout, "one\n128\n")
	require.NotContains(t, r.stdout+r.stderr, gitPassword)

	r = c.script("cd new && git commit -q --allow-empty -m two && git push -q https://"+address+"/owner/repo main", append(closed, "--broker-git", address+"/owner/repo")...)
	require.NotEqual(t, 0, r.code)
	require.Contains(t, r.stderr, "=push", "it says what would allow it")
}
