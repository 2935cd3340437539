package plan_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// policies are the modes of containers by name; "" is all.
func policies(modes map[string]netpolicy.Mode) plan.Egress { return plan.Egress{Modes: modes} }

var allClosed = policies(map[string]netpolicy.Mode{"": netpolicy.Allowlist})

// TestClosedSession: no container has a network, a name for the host, or the host's
// proxies; each has a socket directory of its own and a relay, and nothing is created for
// a network.
func TestClosedSession(t *testing.T) {
	f := facts()
	f.Env["HTTPS_PROXY"], f.Env["NPM_CONFIG_REGISTRY"] = "http://user:"+canary+"@proxy.example:3128", "https://npm.example"
	o := plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "node"), Egress: allClosed}
	p := plan.Build(o, f, "id")
	require.Equal(t, plan.Network{}, p.Network)
	require.NotContains(t, lines(p), "docker network ")
	runs := []dockerargs.Run{*p.Agent, p.Sidecars[0].Run, p.Sidecars[1].Run}
	for i, kind := range []string{"agent", "rust", "node"} {
		argv := strings.Join(runs[i].Argv(), " ")
		require.Contains(t, argv, "--network none ", kind)
		require.Contains(t, argv, " --relay ", kind)
		require.Contains(t, argv, "source=/run/user/1000/aifo-coder/aifo-id/"+kind+",target=/run/aifo,readonly", kind)
		require.Contains(t, argv, "--env HTTPS_PROXY=http://127.0.0.1:19128 ", kind)
		require.Contains(t, argv, "--env no_proxy=localhost,127.0.0.1,::1", kind)
		require.Contains(t, argv, "--env NPM_CONFIG_REGISTRY ", kind)
		require.NotContains(t, argv, "host-gateway", kind)
		require.Contains(t, argv, "--add-host "+runs[i].Name+":127.0.0.1 ", kind)
		require.Equal(t, kind, p.WaysOut[i].Container)
		require.Equal(t, 1000, p.WaysOut[i].UID)
	}
	require.NotContains(t, p.Secrets, "HTTPS_PROXY")
	require.NotContains(t, p.Sidecars[0].Secrets, "HTTPS_PROXY")
	require.Contains(t, strings.Join(runs[0].Argv(), " "), "AIFO_TOOLEEXEC_URL=unix:///run/aifo/toolexec.sock", "there is no other way to the toolexec proxy")
	require.Len(t, p.SocketDirs(), 3)
}

// TestOneClosedContainer: the others are as ever.
func TestOneClosedContainer(t *testing.T) {
	p := plan.Build(plan.Options{
		Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "node"),
		Egress: policies(map[string]netpolicy.Mode{"rust": netpolicy.None}),
	}, facts(), "id")
	require.NotEmpty(t, p.Network.Create)
	require.Equal(t, "none", p.Sidecars[0].Run.Network)
	require.Equal(t, p.Network.Name, p.Sidecars[1].Run.Network)
	require.Equal(t, p.Network.Name, p.Agent.Network)
	require.Empty(t, p.Proxy.SocketDir)
	require.Len(t, p.WaysOut, 1)
	require.Equal(t, netpolicy.Policy{Mode: netpolicy.None}, p.WaysOut[0].Policy)
}

// TestOpenSidecarOfAClosedAgent: it is a way out for the agent, and the user is told.
func TestOpenSidecarOfAClosedAgent(t *testing.T) {
	for toolchain, warnings := range map[string]int{"rust": 1, "node": 0} {
		e := policies(map[string]netpolicy.Mode{"agent": netpolicy.None, "node": netpolicy.None})
		p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, toolchain), Egress: e}, facts(), "id")
		require.Len(t, p.Warnings, warnings, toolchain)
	}
}

// reach returns what a container of the session may reach, of some hosts.
func reach(p plan.Plan, container string) []string {
	var list []string
	for _, w := range p.WaysOut {
		for _, host := range []string{"index.crates.io", "registry.npmjs.org", "api.openai.com", "corp.example", "npm.example"} {
			if w.Container == container && w.Policy.Decide(netpolicy.Request{Host: host, Port: 443}).Allowed {
				list = append(list, host)
			}
		}
	}
	return list
}

// TestAllowlistOfEach: a sidecar reaches the registries of its kind and those that the
// user's variables name, the agent its model, and each what was allowed to it or to all.
func TestAllowlistOfEach(t *testing.T) {
	f := facts()
	f.Env["NPM_CONFIG_REGISTRY"], f.Env["GOPROXY"] = "https://npm.example/path", "off,direct"
	e := plan.Egress{Modes: allClosed.Modes, Rules: map[string][]netpolicy.Rule{"rust": {{Host: "corp.example"}}}}
	p := plan.Build(plan.Options{
		Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "node"), Egress: e,
		ModelHosts: []netpolicy.Rule{{Host: "api.openai.com"}},
	}, f, "id")
	require.Equal(t, []string{"api.openai.com"}, reach(p, "agent"))
	require.Equal(t, []string{"index.crates.io", "corp.example", "npm.example"}, reach(p, "rust"))
	require.Equal(t, []string{"registry.npmjs.org", "npm.example"}, reach(p, "node"))

	e.Rules = map[string][]netpolicy.Rule{"": {{Host: "corp.example"}}}
	p = plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "c-cpp"), Egress: e}, facts(), "id")
	require.Equal(t, []string{"corp.example"}, reach(p, "agent"))
	require.Equal(t, []string{"corp.example"}, reach(p, "c-cpp"))
}

// TestBrokeredAgent: it gets placeholders by name, addresses, and no key, however the
// key came to the host's environment.
func TestBrokeredAgent(t *testing.T) {
	f := facts()
	f.Env["AIFO_ENV_OPENAI_API_KEY"] = canary
	o := plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust"), Broker: &plan.Brokered{
		Env:          map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:19128/broker/openai/v1"},
		Placeholders: map[string]string{"OPENAI_API_KEY": "openai"}, Git: []string{"url.x/.insteadOf=https://git.example/"},
	}}
	p := plan.Build(o, f, "id")
	require.Equal(t, map[string]string{"FOO": canary, "TERM": "xterm"}, values(p.Secrets))
	argv := strings.Join(p.Agent.Argv(), " ")
	require.Contains(t, argv, "--env OPENAI_API_KEY ")
	require.Contains(t, argv, "--env OPENAI_BASE_URL=http://127.0.0.1:19128/broker/openai/v1")
	require.Contains(t, argv, " --relay ")
	require.Contains(t, argv, " --git url.x/.insteadOf=https://git.example/ ")
	require.NotContains(t, argv, "HTTPS_PROXY", "its network is open")
	require.Equal(t, p.Network.Name, p.Agent.Network)
	require.Len(t, p.WaysOut, 1)
	require.True(t, p.WaysOut[0].Broker)
	require.Equal(t, netpolicy.None, p.WaysOut[0].Policy.Mode, "the broker's way out is no way around the network")
	require.NotContains(t, strings.Join(p.Sidecars[0].Run.Argv(), " "), "--relay")
}

// TestBrokerForGitAlone: the agent has its own keys.
func TestBrokerForGitAlone(t *testing.T) {
	p := plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Broker: &plan.Brokered{Git: []string{"a.b=c"}}}, facts(), "id")
	require.Equal(t, canary, p.Secrets["OPENAI_API_KEY"])
	require.Contains(t, strings.Join(p.Agent.Args, " "), "--git a.b=c")
}

// TestToolchainCommandClosed: one sidecar alone.
func TestToolchainCommandClosed(t *testing.T) {
	p := plan.Build(plan.Options{Args: []string{"cargo", "fetch"}, Toolchains: selected(t, "rust"), Egress: allClosed}, facts(), "id")
	require.Equal(t, "none", p.Sidecars[0].Run.Network)
	require.Equal(t, []string{"/run/user/1000/aifo-coder/aifo-id/rust"}, p.SocketDirs())
}

// TestPeerOfAKindsUser: a kind whose tools have ids of their own connects as those.
func TestPeerOfAKindsUser(t *testing.T) {
	s := selected(t, "rust")
	s[0].Kind.User = "7:8"
	p := plan.Build(plan.Options{Args: []string{"cargo"}, Toolchains: s, Egress: allClosed}, facts(), "id")
	require.Equal(t, 7, p.WaysOut[0].UID)
}

func TestHostRule(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example/x": "a.example:443", "http://a.example": "a.example:80", "http://[2001:db8::1]:8080": "[2001:db8::1]:8080",
		"sparse+https://a.example/": "a.example:443", "http://host.docker.internal:4873": "host.docker.internal:4873",
		"http://127.0.0.1:80": "", "http://a.example:99999": "",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		var got string
		for _, r := range plan.HostRule(u, "x") {
			got = r.String()
		}
		require.Equal(t, want, got, in)
	}
}

func TestAppArmor(t *testing.T) {
	p := plan.Build(plan.Options{
		Agent: mustAgent(t, agent.Shell), Toolchains: selected(t, "rust"), AppArmor: apparmor.Choice{Agent: "a", Sidecar: "s"},
	}, facts(), "id")
	require.Equal(t, []string{"apparmor=a"}, p.Agent.Security)
	require.Equal(t, []string{"apparmor=s"}, p.Sidecars[0].Run.Security)
}

func TestWarningWithoutSeccomp(t *testing.T) {
	f := facts()
	for options, warnings := range map[string]int{"name=seccomp,profile=builtin": 0, "name=seccomp,profile=unconfined": 1, "name=cgroupns": 1} {
		engine := *f.Engine
		engine.SecurityOptions = []string{options}
		f.Engine = &engine
		require.Len(t, plan.Build(plan.Options{Agent: mustAgent(t, agent.Shell)}, f, "id").Warnings, warnings, options)
	}
	require.Empty(t, plan.Build(plan.Options{Agent: mustAgent(t, agent.Shell)}, hostfacts.Facts{}, "id").Warnings)
}
