package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// TestTunnels: where the engine is on another kernel, a container without a network gets
// a place for its sockets in place of a mounted directory, and nothing is made on this host.
func TestTunnels(t *testing.T) {
	mac := desktop()
	mac.GOOS = "darwin"
	for name, tc := range map[string]struct {
		f    hostfacts.Facts
		exec plan.Exec
	}{
		"desktop": {desktop(), plan.ExecResident}, "mac": {mac, plan.ExecResident}, "one docker exec a call": {desktop(), plan.ExecDocker},
		"chosen": {facts(), plan.ExecStream},
	} {
		p := plan.Build(plan.Options{
			Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust"), Egress: allClosed, Exec: tc.exec,
			Broker: &plan.Brokered{Placeholders: map[string]string{"OPENAI_API_KEY": "openai"}},
		}, tc.f, "id")
		require.Empty(t, p.SocketDirs(), name)
		require.True(t, p.Proxy.Tunnel, name)
		require.False(t, p.Proxy.TCP(), name)
		require.Len(t, p.Tunnels, 2, name)
		require.Equal(t, plan.Tunnel{
			Container: "agent", Name: "aifo-coder-aider-id", Sockets: []string{"egress.sock", "toolexec.sock"},
			Exec: dockerargs.Exec{
				Interactive: true, User: "1000:1000", Container: "aifo-coder-aider-id",
				Args: []string{"/opt/aifo/bin/aifo-shim", "tunnel", "egress.sock", "toolexec.sock"},
			},
		}, p.Tunnels[0], name)
		require.Equal(t, []string{"egress.sock"}, p.Tunnels[1].Sockets, name)
		for i, run := range []dockerargs.Run{*p.Agent, p.Sidecars[0].Run} {
			argv := strings.Join(run.Argv(), " ")
			require.Contains(t, argv, "--network none ", name)
			require.Contains(t, argv, "--tmpfs /run/aifo:mode=0700,uid=1000,gid=1000,size=65536 ", name)
			require.NotContains(t, argv, "target=/run/aifo", name)
			require.True(t, p.WaysOut[i].Tunnel, name)
			require.Empty(t, p.WaysOut[i].Dir, name)
		}
		require.Contains(t, strings.Join(p.Agent.Argv(), " "), "--env AIFO_TOOLEEXEC_URL=unix:///run/aifo/toolexec.sock ", name)
		require.NotContains(t, plan.ProxyEnv(*p.Proxy, 0, "token"), "AIFO_TOOLEEXEC_URL", name)
	}
}

// TestTunnelOfOneContainer: an agent with a network reaches the toolexec proxy by TCP, also
// where the broker answers through a tunnel.
func TestTunnelOfOneContainer(t *testing.T) {
	o := plan.Options{
		Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "node"),
		Egress: policies(map[string]netpolicy.Mode{"rust": netpolicy.Allowlist}),
	}
	p := plan.Build(o, desktop(), "id")
	require.Len(t, p.Tunnels, 1)
	require.Equal(t, "aifo-tc-rust-id", p.Tunnels[0].Name)
	require.Empty(t, p.Agent.Tmpfs)
	require.Empty(t, p.Sidecars[1].Run.Tmpfs)
	require.True(t, p.Proxy.TCP())

	o.Broker = &plan.Brokered{}
	p = plan.Build(o, desktop(), "id")
	require.Equal(t, []string{"egress.sock"}, p.Tunnels[0].Sockets)
	require.True(t, p.Proxy.TCP())
	require.Contains(t, plan.ProxyEnv(*p.Proxy, 1, "token"), "AIFO_TOOLEEXEC_URL")
	o.UnixSocket, o.Exec = true, plan.ExecStream
	p = plan.Build(o, facts(), "id")
	require.True(t, p.Proxy.Tunnel, "a directory has one owner")
	require.Empty(t, p.SocketDirs())
}

// TestNoTunnel: an open session has none, whatever the engine, and one on this kernel has none.
func TestNoTunnel(t *testing.T) {
	require.Empty(t, plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust")}, desktop(), "id").Tunnels)
	require.Empty(t, plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust"), Egress: allClosed}, facts(), "id").Tunnels)
}

// TestTunnelOfAKindsUser: its end runs as the user of the tools, who owns the place.
func TestTunnelOfAKindsUser(t *testing.T) {
	s := selected(t, "rust")
	s[0].Kind.User = "7:8"
	p := plan.Build(plan.Options{Args: []string{"cargo"}, Toolchains: s, Egress: allClosed}, desktop(), "id")
	require.Equal(t, "7:8", p.Tunnels[0].Exec.User)
	require.Equal(t, []dockerargs.Tmpfs{{Target: "/run/aifo", UID: 7, GID: 8, Size: 64 << 10}}, p.Sidecars[0].Run.Tmpfs)
}
