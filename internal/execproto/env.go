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

// authorities are the variables that name a file or directory of certificate
// authorities. Those of the caller's container are not in the tool's.
var authorities = []string{
	"AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "DENO_CERT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "NODE_EXTRA_CA_CERTS",
	"NPM_CONFIG_CAFILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "npm_config_cafile",
}

// PassEnv reports whether a variable of that name may pass from the caller of a
// tool to the tool (docs/protocol.md, "Environment").
func PassEnv(name string) bool {
	return name != "" && !strings.ContainsAny(name, "=\x00") && !match(never, name)
}

// PassVariable reports whether the variable, NAME=value, may pass. A Python
// environment and a file of certificate authorities must be ones that the
// sidecar sees.
func PassVariable(variable, workspace string) bool {
	name, value, ok := strings.Cut(variable, "=")
	if !ok || !PassEnv(name) || strings.Contains(value, "\x00") {
		return false
	}
	switch {
	case name == "VIRTUAL_ENV", name == "PYTHONHOME":
		return Within(value, workspace)
	case match(authorities, name):
		return value == "" || Within(value, workspace)
	}
	return true
}

// Within reports whether the path name is dir, or below it.
func Within(name, dir string) bool {
	name = path.Clean(name)
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// WorkspaceOf returns where the workspace is mounted in the container whose environment it
// is, in which a caller of tools has no say.
func WorkspaceOf(env []string) string {
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, EnvWorkspace+"="); ok && strings.HasPrefix(value, "/") {
			return value
		}
	}
	return Workspace
}

// CallerEnv returns the variables of env that go with a call: those that may
// pass and are not as they were in initial, or that always pass.
func CallerEnv(env, initial []string, workspace string) []string {
	was := make(map[string]bool, len(initial))
	for _, v := range initial {
		was[v] = true
	}
	var out []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if PassVariable(v, workspace) && (!was[v] || match(always, name)) {
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
