package execproto

import (
	"path"
	"strings"
)

// EnvFiles is where boot leaves the environment with which an agent begins, each
// variable ended by a NUL: the first of them that can be written.
var EnvFiles = []string{"/.aifo-env", "/run/.aifo-env"}

// never are the variables that do not pass from a caller to a tool: they
// describe the caller's container, process or session, or change how any
// program is loaded. A name that ends in '*' stands for all that begin so.
var never = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "_", "TMPDIR",
	"XDG_*", "LD_*", "DYLD_*", "AIFO_*", "BASH_FUNC_*", "GNUPGHOME", "SSH_AUTH_SOCK",
}

// always are the variables that pass although the caller did not change them:
// how to show output, and to whom.
var always = []string{"TERM", "COLORTERM", "LANG", "LC_*", "NO_COLOR", "FORCE_COLOR", "CI", "TZ"}

// PassEnv reports whether a variable of that name may pass from the caller of a
// tool to the tool (docs/protocol.md, "Environment").
func PassEnv(name string) bool {
	return name != "" && !strings.ContainsAny(name, "=\x00") && !match(never, name)
}

// PassVariable reports whether the variable, NAME=value, may pass. A Python
// environment must be one that the sidecar sees.
func PassVariable(variable string) bool {
	name, value, ok := strings.Cut(variable, "=")
	if !ok || !PassEnv(name) || strings.Contains(value, "\x00") {
		return false
	}
	switch name {
	case "VIRTUAL_ENV", "PYTHONHOME":
		value = path.Clean(value)
		return value == Workspace || strings.HasPrefix(value, Workspace+"/")
	}
	return true
}

// CallerEnv returns the variables of env that go with a call: those that may
// pass and are not as they were in initial, or that always pass.
func CallerEnv(env, initial []string) []string {
	was := make(map[string]bool, len(initial))
	for _, v := range initial {
		was[v] = true
	}
	var out []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if PassVariable(v) && (!was[v] || match(always, name)) {
			out = append(out, v)
		}
	}
	return out
}

func match(patterns []string, name string) bool {
	for _, p := range patterns {
		prefix, many := strings.CutSuffix(p, "*")
		if name == p || many && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
