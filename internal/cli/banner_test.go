package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

func TestBanner(t *testing.T) {
	aider, _ := agent.Lookup("aider")
	shell, _ := agent.Lookup(agent.Shell)
	rust, _ := toolchain.Set{}.ParseOne("rust")
	node, _ := toolchain.Set{}.ParseOne("node@20")
	f := hostfacts.Facts{Home: "/home/ann", Workspace: "/home/ann/project"}
	broker := &plan.Brokered{Placeholders: map[string]string{"OPENAI_API_KEY": "x"}}
	modes := func(m map[string]netpolicy.Mode) plan.Egress { return plan.Egress{Modes: m} }
	for name, tt := range map[string]struct {
		o    plan.Options
		f    hostfacts.Facts
		want []string
	}{
		"alone": {
			o: plan.Options{Agent: &shell}, f: hostfacts.Facts{Home: "/home/ann", Workspace: "/srv/x"},
			want: []string{"shell in image:1", "workspace /srv/x, network open"},
		},
		"toolchains": {
			o: plan.Options{Agent: &aider, Toolchains: []toolchain.Selection{rust, node}}, f: f,
			want: []string{"aider in image:1, with rust, node@20", "workspace ~/project, network open, keys with the agent"},
		},
		"careful": {
			o: plan.Options{Agent: &aider, Broker: broker, Egress: modes(map[string]netpolicy.Mode{"": netpolicy.Allowlist})}, f: f,
			want: []string{"aider in image:1", "workspace ~/project, network allowlist, keys on the host"},
		},
		"git's login alone": {
			o: plan.Options{Agent: &aider, Broker: &plan.Brokered{}, Egress: modes(map[string]netpolicy.Mode{plan.KindAgent: netpolicy.None})}, f: f,
			want: []string{"aider in image:1", "workspace ~/project, network none for the agent, open for toolchains, keys with the agent"},
		},
		"exceptions": {
			o: plan.Options{Agent: &shell, Egress: modes(map[string]netpolicy.Mode{"": netpolicy.None, "rust": netpolicy.Allowlist})}, f: f,
			want: []string{"shell in image:1", "workspace ~/project, network none, with exceptions"},
		},
	} {
		require.Equal(t, tt.want, banner(tt.o, plan.Plan{Agent: &dockerargs.Run{Image: "image:1"}}, tt.f), name)
	}
}
