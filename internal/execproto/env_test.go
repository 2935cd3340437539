package execproto

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// docs/protocol.md, "Environment". Each name that does not pass stands beside
// names that nearly are the same, and do.
func TestPassEnv(t *testing.T) {
	for _, tt := range []struct{ never, pass []string }{
		{[]string{"PATH"}, []string{"PATHS", "MYPATH", "PYTHONPATH", "path", "GOPATH", "MANPATH", "CPATH"}},
		{[]string{"HOME"}, []string{"HOMEPAGE", "CARGO_HOME", "JAVA_HOME", "home"}},
		{[]string{"USER", "LOGNAME"}, []string{"USERNAME", "USER_ID", "LOGNAMES", "PGUSER"}},
		{[]string{"SHELL", "SHLVL"}, []string{"SHELLOPTS_X", "SHELLCHECK_OPTS", "SHLVLS"}},
		{[]string{"PWD", "OLDPWD"}, []string{"PWDX", "OLDPWDS", "INIT_PWD"}},
		{[]string{"HOSTNAME"}, []string{"HOST", "HOSTNAMES", "HOSTTYPE"}},
		{[]string{"_"}, []string{"__", "_X", "a_"}},
		{[]string{"TMPDIR"}, []string{"TMP", "TEMP", "TMPDIRS", "CCACHE_TEMPDIR"}},
		{[]string{"XDG_", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"}, []string{"XDG", "XDGX", "MY_XDG_X"}},
		{[]string{"LD_", "LD_PRELOAD", "LD_LIBRARY_PATH"}, []string{"LD", "LDFLAGS", "LDLIBS", "OLD_X", "ld_preload"}},
		{[]string{"DYLD_INSERT_LIBRARIES"}, []string{"DYLD", "DYLDX"}},
		{[]string{"AIFO_TOOLEEXEC_TOKEN", "AIFO_EXEC_ID", "AIFO_"}, []string{"AIFO", "AIFOX", "MY_AIFO_X"}},
		{[]string{"BASH_FUNC_ls%%", "BASH_FUNC_"}, []string{"BASH_ENV", "BASH_FUNC", "BASH"}},
		{[]string{"GNUPGHOME"}, []string{"GNUPGHOMES", "GPG_TTY"}},
		{[]string{"SSH_AUTH_SOCK"}, []string{"SSH_AUTH_SOCKS", "SSH_CONNECTION", "GIT_SSH"}},
		{[]string{"", "A=B", "A\x00"}, []string{
			"RUSTFLAGS", "CARGO_NET_OFFLINE", "NODE_ENV", "PYTHONDONTWRITEBYTECODE", "GOFLAGS", "CC", "CFLAGS", "CI",
			"npm_config_x", "a.b", "ä", "\xff", "TERM", "LC_ALL", "VIRTUAL_ENV",
		}},
	} {
		for _, name := range tt.never {
			assert.False(t, PassEnv(name), "%q", name)
		}
		for _, name := range tt.pass {
			assert.True(t, PassEnv(name), "%q", name)
		}
	}
}

func TestPassVariable(t *testing.T) {
	for _, ok := range []string{
		"A=", "A=b=c", "A=\xff\n", "VIRTUAL_ENV=/workspace/.venv", "VIRTUAL_ENV=/workspace", "PYTHONHOME=/workspace/a//b/",
		"VIRTUAL_ENV_PROMPT=x", "PYTHONPATH=/usr/lib", "SSL_CERT_FILE=/workspace/ca.pem", "NODE_EXTRA_CA_CERTS=", "SSL_CERT_FILES=/x",
		"HTTPS_PROXY=http://proxy.example:3128", "no_proxy=localhost",
	} {
		assert.True(t, PassVariable(ok, Workspace), "%q", ok)
	}
	for _, bad := range []string{
		"", "A", "=", "=A", "A=\x00", "PATH=/x", "LD_PRELOAD=x", "VIRTUAL_ENV=/opt/venv", "VIRTUAL_ENV=/workspacex", "VIRTUAL_ENV=",
		"VIRTUAL_ENV=.venv", "VIRTUAL_ENV=/workspace/../opt", "PYTHONHOME=/usr", "SSL_CERT_FILE=/opt/venv/cacert.pem",
		"CURL_CA_BUNDLE=/workspacex", "npm_config_cafile=/etc/ssl/cert.pem",
	} {
		assert.False(t, PassVariable(bad, Workspace), "%q", bad)
	}
}

func TestCallerEnv(t *testing.T) {
	initial := []string{"OPENAI_API_KEY=secret", "TERM=xterm", "LC_ALL=C", "PATH=/bin", "LANG=C", "EDITOR=vi", "GONE=1", ""}
	now := []string{"OPENAI_API_KEY=secret", "TERM=dumb", "LC_ALL=C", "PATH=/other", "EDITOR=ed", "FOO=1", "HOME=/x", "broken", "LANG=C"}
	assert.Equal(t, []string{"TERM=dumb", "LC_ALL=C", "EDITOR=ed", "FOO=1", "LANG=C"}, CallerEnv(now, initial, Workspace))
	assert.Equal(t, []string{"TERM=dumb", "LC_ALL=C", "LANG=C"}, CallerEnv(now, now, Workspace))
}
