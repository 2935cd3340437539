package plan_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/publish"
)

// ends returns the containers whose ports are led, and of each whether it has a socket.
func ends(t *testing.T, o plan.Options) (names []string, sockets []bool) {
	t.Helper()
	p := plan.Build(o, facts(), "s1")
	for _, e := range p.Ports {
		names, sockets = append(names, e.Container+" "+string(e.Mode)), append(sockets, e.SocketDir != "")
		run := p.Agent
		if e.Container != plan.KindAgent {
			run = &p.Sidecars[slices.IndexFunc(p.Sidecars, func(s plan.Sidecar) bool { return s.Kind == e.Container })].Run
		}
		require.Equal(t, run.Name, e.Name)
		mounted := slices.ContainsFunc(run.Mounts, func(m dockerargs.Mount) bool { return m.Target == execproto.SocketDir && m.Source == e.SocketDir })
		require.Equal(t, e.SocketDir != "", mounted, "%s has the directory, and the end knows it", e.Container)
		require.Equal(t, e.SocketDir != "", slices.Contains(p.SocketDirs(), e.SocketDir), "it is made")
	}
	return names, sockets
}

func TestPortEnds(t *testing.T) {
	published := []publish.Port{{Container: 3000}}
	for name, tt := range map[string]struct {
		change  func(*plan.Options)
		names   []string
		sockets []bool
	}{
		"usual":       {func(*plan.Options) {}, []string{"agent open", "node open", "python open"}, []bool{true, true, true}},
		"unix socket": {func(o *plan.Options) { o.UnixSocket = true }, []string{"agent open", "node open", "python open"}, []bool{true, true, true}},
		"docker exec": {func(o *plan.Options) { o.Exec = plan.ExecDocker }, []string{"agent open", "node open", "python open"}, []bool{false, false, false}},
		"stream":      {func(o *plan.Options) { o.Exec = plan.ExecStream }, []string{"agent open", "node open", "python open"}, []bool{false, false, false}},
		"one closed":  {func(o *plan.Options) { o.Egress = policies(map[string]netpolicy.Mode{"node": netpolicy.None}) }, []string{"agent open", "node none", "python open"}, []bool{true, true, true}},
		"closed and stream": {func(o *plan.Options) {
			o.Exec, o.Egress = plan.ExecStream, policies(map[string]netpolicy.Mode{"": netpolicy.None})
		}, []string{"agent none", "node none", "python none"}, []bool{false, false, false}},
		"agent alone":       {func(o *plan.Options) { o.Toolchains = nil }, nil, nil},
		"agent published":   {func(o *plan.Options) { o.Toolchains, o.Publish = nil, published }, []string{"agent open"}, []bool{true}},
		"direct":            {func(o *plan.Options) { o.Agent, o.Toolchains = nil, o.Toolchains[:1] }, nil, nil},
		"direct, published": {func(o *plan.Options) { o.Agent, o.Toolchains, o.Publish = nil, o.Toolchains[:1], published }, []string{"node open"}, []bool{true}},
		"direct, published, docker exec": {func(o *plan.Options) {
			o.Agent, o.Toolchains, o.Publish, o.Exec = nil, o.Toolchains[:1], published, plan.ExecDocker
		}, []string{"node open"}, []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			o := plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "node", "python")}
			tt.change(&o)
			names, sockets := ends(t, o)
			require.Equal(t, tt.names, names)
			require.Equal(t, tt.sockets, sockets)
		})
	}
}

func TestPortsExec(t *testing.T) {
	require.Equal(t, words("exec --interactive --user 1:2 c "+execproto.ShimBinary+" ports --connect /run/aifo/ports.sock"),
		plan.Ports("c", "1:2", "/run/aifo/ports.sock").Argv())
}

func TestPublishWarning(t *testing.T) {
	for value, warned := range map[string]bool{"3000": false, "[::1]:0:3000": false, "0.0.0.0:8080:80": true, "[::]:80": true} {
		p, err := publish.Parse(value)
		require.NoError(t, err)
		built := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Publish: []publish.Port{p}}, facts(), "s1")
		require.Equal(t, warned, len(built.Warnings) > 0, "%q", value)
	}
}
