package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func words(s string) []string { return strings.Fields(s) }

// network returns the plan of a session with an agent and two sidecars on a
// host with the variables.
func network(t *testing.T, f hostfacts.Facts, env ...string) plan.Plan {
	t.Helper()
	f.Env = hostfacts.EnvOf(env)
	return plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust", "node")}, f, "id")
}

const sessionHosts = "localhost,127.0.0.1,::1,host.docker.internal,aifo-coder-shell-id,aifo-tc-rust-id,aifo-tc-node-id"

func TestProxies(t *testing.T) {
	const proxy = "http://ann:" + canary + "@proxy.example:3128"
	p := network(t, facts(), "HTTPS_PROXY="+proxy, "http_proxy=http://plain.example", "no_proxy=.corp.example, localhost")
	want := map[string]string{
		"HTTPS_PROXY": proxy, "https_proxy": proxy, "HTTP_PROXY": "http://plain.example", "http_proxy": "http://plain.example",
		"NO_PROXY": ".corp.example," + sessionHosts, "no_proxy": ".corp.example," + sessionHosts,
	}
	require.Equal(t, want, values(p.Secrets))
	for _, s := range p.Sidecars {
		require.Equal(t, want, values(s.Secrets))
		for name := range want {
			require.Contains(t, s.Run.Argv(), name)
		}
	}
	require.NotContains(t, lines(p), canary)
	require.Empty(t, p.Warnings)
}

// TestBothCasesOfAVariable: they may differ, and then stay apart.
func TestBothCasesOfAVariable(t *testing.T) {
	p := network(t, facts(), "ALL_PROXY=socks5h://a", "all_proxy=socks5h://b", "NO_PROXY=a", "no_proxy=b")
	require.Equal(t, map[string]string{
		"ALL_PROXY": "socks5h://a", "all_proxy": "socks5h://b", "NO_PROXY": "a," + sessionHosts, "no_proxy": "b," + sessionHosts,
	}, values(p.Secrets))
}

func TestWithoutAProxyNothingIsExcepted(t *testing.T) {
	require.Empty(t, values(network(t, facts(), "NO_PROXY=.corp.example", "HTTP_PROXY=").Secrets))
}

func TestAgentsOwnVariablesBeatTheHosts(t *testing.T) {
	p := network(t, facts(), "HTTP_PROXY=http://a", "AIFO_ENV_HTTP_PROXY=http://b")
	require.Equal(t, "http://b", p.Secrets["HTTP_PROXY"])
	require.Equal(t, "http://a", p.Sidecars[0].Secrets["HTTP_PROXY"])
}

// TestLoopback: what listens on the host's loopback is reached by an engine in a
// virtual machine alone, under its name for the host.
func TestLoopback(t *testing.T) {
	for value, there := range map[string]string{
		"http://127.0.0.1:3128":         "http://host.docker.internal:3128",
		"127.0.0.1:3128":                "host.docker.internal:3128",
		"localhost":                     "host.docker.internal",
		"http://u:p@LocalHost:1/":       "http://u:p@host.docker.internal:1/",
		"socks5h://[::1]:1080":          "socks5h://host.docker.internal:1080",
		"http://127.1.2.3/x":            "http://host.docker.internal/x",
		"http://127.1:3128":             "http://host.docker.internal:3128",
		"http://127.0.1/":               "http://host.docker.internal/",
		"HTTP://LOCALHOST.:3128":        "HTTP://host.docker.internal:3128",
		"http://0.0.0.0:3128":           "http://host.docker.internal:3128",
		"http://[::]:3128":              "http://host.docker.internal:3128",
		"http://localhost.example:3128": "",
		"http://127.1.example":          "",
		"http://10.127.1:3128":          "",
		"http://127.example":            "",
		"http://proxy/localhost":        "",
		"http://10.0.0.1:3128":          "",
	} {
		p := network(t, facts(), "HTTP_PROXY="+value)
		onDesktop := network(t, desktop(), "HTTP_PROXY="+value)
		require.Empty(t, onDesktop.Warnings, value)
		if there == "" {
			require.Equal(t, value, p.Secrets["HTTP_PROXY"])
			require.Equal(t, value, onDesktop.Secrets["HTTP_PROXY"])
			continue
		}
		require.Empty(t, values(p.Secrets), value)
		require.Len(t, p.Warnings, 1, value)
		require.Contains(t, p.Warnings[0], "HTTP_PROXY: ")
		require.Equal(t, there, onDesktop.Secrets["http_proxy"], value)
	}
	p := network(t, facts(), "HTTP_PROXY=http://ann:"+canary+"@localhost:1", "GOPROXY=http://localhost:3000,direct", "npm_config_registry=http://localhost:4873")
	require.Len(t, p.Warnings, 1, "said once")
	require.Contains(t, p.Warnings[0], "HTTP_PROXY, GOPROXY, npm_config_registry: ")
	require.NotContains(t, p.Warnings[0], canary)
	require.Equal(t, "http://host.docker.internal:3000,direct", network(t, desktop(), "GOPROXY=http://localhost:3000,direct").Secrets["GOPROXY"])
}

func TestRegistries(t *testing.T) {
	passed := []string{
		"NPM_CONFIG_REGISTRY=https://npm.example", "GOPROXY=https://go.example|direct", "GOPRIVATE=corp.example/*", "PIP_INDEX_URL=https://u:" + canary + "@pypi.example",
		"CARGO_REGISTRIES_CORP_INDEX=sparse+https://cargo.example/", "RUSTUP_DIST_SERVER=https://rustup.example",
	}
	p := network(t, facts(), append(slices.Clone(passed), "NPM_TOKEN=x", "CARGO_REGISTRIES_CORP_TOKEN=x", "CARGO_REGISTRIES__INDEXX=x", "GOFLAGS=-x", "PIP_FIND_LINKS=/x")...)
	require.Equal(t, map[string]string(hostfacts.EnvOf(passed)), values(p.Secrets))
	require.Equal(t, p.Secrets, p.Sidecars[0].Secrets)
	require.NotContains(t, lines(p), canary)
}

func TestWarningsOfTheHostAreThePlans(t *testing.T) {
	f := facts()
	f.Warnings = []string{"odd"}
	require.Equal(t, []string{"odd"}, network(t, f).Warnings)
}
