package keys_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/keys"
)

// gitHome returns the environment of a user whose git configuration has the lines.
func gitHome(t *testing.T, config string) func(string) string {
	t.Helper()
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600))
	env := map[string]string{"HOME": home, "PATH": os.Getenv("PATH")}
	return func(name string) string { return env[name] }
}

func TestGitLoginFromVariables(t *testing.T) {
	for _, test := range []struct {
		host, name string
		want       keys.Login
	}{
		{"github.com", "GH_TOKEN", keys.Login{Username: "x-access-token", Password: "t"}},
		{"github.com", "GITHUB_TOKEN", keys.Login{Username: "x-access-token", Password: "t"}},
		{"gitlab.com", "GITLAB_TOKEN", keys.Login{Username: "oauth2", Password: "t"}},
	} {
		got, err := keys.GitLogin(t.Context(), func(n string) string { return map[string]string{test.name: "t", "PATH": os.Getenv("PATH")}[n] }, test.host, "")
		require.NoError(t, err)
		require.Equal(t, test.want, got)
	}
}

func TestGitLoginFromHelper(t *testing.T) {
	get := gitHome(t, `[credential]
	helper = "!f() { cat > \"$HOME/asked\"; echo username=ann; echo password=a=b; }; f"
`)
	got, err := keys.GitLogin(t.Context(), get, "git.example:8443", "owner/repo")
	require.NoError(t, err)
	require.Equal(t, keys.Login{Username: "ann", Password: "a=b"}, got)
	asked, err := os.ReadFile(filepath.Join(get("HOME"), "asked"))
	require.NoError(t, err)
	require.Contains(t, string(asked), "host=git.example:8443\n")
	require.Contains(t, string(asked), "protocol=https\n")
}

// TestGitLoginTokenOfAnotherHost: a token goes to its host alone.
func TestGitLoginTokenOfAnotherHost(t *testing.T) {
	home := gitHome(t, "")
	_, err := keys.GitLogin(t.Context(), func(n string) string {
		if n == "GH_TOKEN" {
			return "secret"
		}
		return home(n)
	}, "github.com.evil.example", "")
	var none *keys.NoLoginError
	require.ErrorAs(t, err, &none)
}

// TestGitLoginNone: nobody is asked, whatever asks is configured.
func TestGitLoginNone(t *testing.T) {
	get := gitHome(t, `[core]
	askPass = "touch asked; echo secret; true"
[credential]
	helper = "!false"
`)
	_, err := keys.GitLogin(t.Context(), func(n string) string {
		if n == "SSH_ASKPASS" || n == "GIT_ASKPASS" {
			return "/bin/echo"
		}
		return get(n)
	}, "github.com", "")
	var none *keys.NoLoginError
	require.ErrorAs(t, err, &none)
	require.Contains(t, none.Hint(), "GH_TOKEN")
	_, err = keys.GitLogin(t.Context(), get, "git.example", "")
	require.ErrorAs(t, err, &none)
	require.NotContains(t, none.Hint(), "GH_TOKEN")
}

// TestGitLoginIgnoresTheEnvironment: what a shell has in GIT_ variables has no say.
func TestGitLoginIgnoresTheEnvironment(t *testing.T) {
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "credential.helper")
	t.Setenv("GIT_CONFIG_VALUE_0", "!echo username=evil; echo password=evil; true")
	_, err := keys.GitLogin(t.Context(), gitHome(t, ""), "git.example", "")
	var none *keys.NoLoginError
	require.ErrorAs(t, err, &none)
}
