package keys

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Login is what a git server asks for.
type Login struct{ Username, Password string }

// NoLoginError says that the host has no login for a git server.
type NoLoginError struct{ Host string }

func (e *NoLoginError) Error() string {
	return "there is no login for " + e.Host + " on this machine"
}

// Hint says what to do about it.
func (e *NoLoginError) Hint() string {
	for _, t := range tokens {
		if t.host == e.Host {
			return "set " + t.variables[0] + ", or have a credential helper in your git configuration that knows one"
		}
	}
	return "have a credential helper in your git configuration that knows one (git help credentials)"
}

// tokens are the variables that hold a login, with the name that goes with them.
var tokens = []struct {
	host, username string
	variables      []string
}{
	{host: "github.com", username: "x-access-token", variables: []string{"GH_TOKEN", "GITHUB_TOKEN"}},
	{host: "gitlab.com", username: "oauth2", variables: []string{"GITLAB_TOKEN"}},
}

// helperWait bounds what the user's credential helpers take: they may ask somebody.
const helperWait = 10 * time.Second

// GitLogin returns the user's login for a git server: from a variable, which get returns,
// or from the credential helpers of the user's own git configuration. host may have a
// port; path is that of a repository or of what is above it, or empty. It never asks. It returns a
// *NoLoginError when there is none.
func GitLogin(ctx context.Context, get func(string) string, host, path string) (Login, error) {
	for _, t := range tokens {
		if t.host != host {
			continue
		}
		for _, name := range t.variables {
			if v := get(name); v != "" {
				return Login{Username: t.username, Password: v}, nil
			}
		}
	}
	login, err := fill(ctx, get, host, path)
	if err != nil || login.Password == "" {
		return Login{}, errors.Join(&NoLoginError{Host: host}, context.Cause(ctx))
	}
	return login, nil
}

// passed are the variables that credential helpers need.
var passed = []string{
	"HOME", "PATH", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "DBUS_SESSION_BUS_ADDRESS",
	"GIT_CONFIG_GLOBAL", "GH_CONFIG_DIR",
	"SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
}

// fill asks the helpers of the user's own configuration, never of a repository's.
func fill(ctx context.Context, get func(string) string, host, path string) (Login, error) {
	ctx, cancel := context.WithTimeout(ctx, helperWait)
	defer cancel()
	// An empty GIT_ASKPASS stands above core.askPass and SSH_ASKPASS, and is no program.
	env := []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "GCM_INTERACTIVE=never"}
	for _, name := range passed {
		if v := get(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	out, err := proc.Output(ctx, proc.Cmd{
		Argv: []string{git.Program, "-c", "credential.interactive=false", "credential", "fill"},
		Dir:  string(filepath.Separator), Env: env, Detached: true,
		Stdin: strings.NewReader("protocol=https\nhost=" + host + "\npath=" + path + "\n\n"),
	})
	return parseLogin(string(out)), err
}

// parseLogin reads what git credential prints.
func parseLogin(out string) Login {
	var l Login
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "username":
			l.Username = value
		case "password":
			l.Password = value
		}
	}
	return l
}
