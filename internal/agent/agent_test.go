package agent_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
)

func lookup(t *testing.T, name string) agent.Agent {
	t.Helper()
	a, ok := agent.Lookup(name)
	require.True(t, ok, name)
	return a
}

func TestLookup(t *testing.T) {
	var names []string
	for _, a := range agent.All() {
		names = append(names, a.Name)
		require.Equal(t, a.Name, lookup(t, a.Name).Name)
	}
	require.Equal(t, []string{"aider", "codex", "crush", "openhands", "opencode", "plandex", "shell"}, names)
	for _, name := range []string{"", "Aider", "aide", "aiderx", "letta"} {
		_, ok := agent.Lookup(name)
		require.False(t, ok, name)
	}
	agent.All()[0].Name = "changed"
	require.Equal(t, "aider", agent.All()[0].Name)
}

func TestCommand(t *testing.T) {
	isTool := func(w string) bool { return w == "cargo" }
	const aider = "/opt/venv/bin/aider"
	for _, tt := range []struct {
		agent string
		args  []string
		want  []string
	}{
		{"aider", nil, []string{aider}},
		{"aider", []string{}, []string{aider}},
		{"aider", []string{"--model", "x"}, []string{aider, "--model", "x"}},
		{"aider", []string{"file.go"}, []string{aider, "file.go"}},
		{"aider", []string{"cargo", "build", "--release"}, []string{"cargo", "build", "--release"}},
		{"aider", []string{"--", "cargo"}, []string{aider, "--", "cargo"}},
		{"aider", []string{"Cargo"}, []string{aider, "Cargo"}},
		{"aider", []string{"/usr/bin/cargo"}, []string{aider, "/usr/bin/cargo"}},
		{"aider", []string{"--help", "cargo"}, []string{aider, "--help", "cargo"}},
		{"aider", []string{""}, []string{aider, ""}},
		{"codex", []string{"exec", "hi"}, []string{"codex", "exec", "hi"}},
		{"openhands", nil, []string{"/opt/venv-openhands/bin/openhands"}},
		{"shell", nil, []string{"bash"}},
		{"shell", []string{"-c", "x"}, []string{"bash", "-c", "x"}},
		{"shell", []string{"ls", "-l"}, []string{"ls", "-l"}},
		{"shell", []string{"cargo"}, []string{"cargo"}},
		{"shell", []string{"./run me"}, []string{"./run me"}},
	} {
		got := lookup(t, tt.agent).Command(tt.args, isTool)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %q (-want +got):\n%s", tt.agent, tt.args, diff)
		}
	}
}

func TestCommandDoesNotShareMemory(t *testing.T) {
	none := func(string) bool { return false }
	args := []string{"ls", "-l"}
	lookup(t, "shell").Command(args, none)[0] = "changed"
	require.Equal(t, []string{"ls", "-l"}, args)
	lookup(t, "aider").Command(nil, none)[0] = "changed"
	require.Equal(t, []string{"/opt/venv/bin/aider"}, lookup(t, "aider").Argv)
}

func TestImage(t *testing.T) {
	for _, tt := range []struct {
		o    agent.ImageOptions
		want string
	}{
		{agent.ImageOptions{}, "aifo-coder-aider:latest"},
		{agent.ImageOptions{Slim: true}, "aifo-coder-aider-slim:latest"},
		{agent.ImageOptions{Tag: "v1", Slim: true}, "aifo-coder-aider-slim:v1"},
		{agent.ImageOptions{Prefix: "r.io/x"}, "r.io/x-aider:latest"},
		{agent.ImageOptions{Image: "a:1", Prefix: "p", Tag: "t", Slim: true}, "a:1"},
	} {
		require.Equal(t, tt.want, lookup(t, "aider").Image(tt.o))
	}
	require.Equal(t, "build-shell", lookup(t, "shell").MakeTarget(false))
	require.Equal(t, "build-shell-slim", lookup(t, "shell").MakeTarget(true))
	require.Equal(t, "build-aider", lookup(t, "aider").MakeTarget(false))
	require.Equal(t, "build-opencode-slim", lookup(t, "opencode").MakeTarget(true))
}

func TestCredentialValues(t *testing.T) {
	for _, tt := range []struct {
		name, agent string
		env, want   map[string]string
	}{
		{"nothing", "aider", nil, map[string]string{}},
		{"others stay out", "aider", map[string]string{"GITHUB_TOKEN": "x", "OPENAI_API_KEYS": "x"}, map[string]string{}},
		{"empty is unset", "aider", map[string]string{"OPENAI_API_KEY": ""}, map[string]string{}},
		{"own", "aider", map[string]string{"ANTHROPIC_API_KEY": "a"}, map[string]string{"ANTHROPIC_API_KEY": "a"}},
		{"of an agent that does not take it", "codex", map[string]string{"ANTHROPIC_API_KEY": "a"}, map[string]string{}},
		{"of another agent", "codex", map[string]string{"LLM_API_KEY": "a", "CODEX_API_KEY": "b"}, map[string]string{"CODEX_API_KEY": "b"}},
		{"shell takes none", "shell", map[string]string{"OPENAI_API_KEY": "a", "AIFO_API_KEY": "b"}, map[string]string{}},
		{"generic key", "aider", map[string]string{"AIFO_API_KEY": "k"}, map[string]string{
			"AIFO_API_KEY": "k", "OPENAI_API_KEY": "k", "AZURE_OPENAI_API_KEY": "k", "AZURE_API_KEY": "k",
		}},
		{"generic base and version", "aider", map[string]string{"AIFO_API_BASE": "b", "AIFO_API_VERSION": "v"}, map[string]string{
			"AIFO_API_BASE": "b", "OPENAI_BASE_URL": "b", "OPENAI_API_BASE": "b", "AZURE_OPENAI_ENDPOINT": "b", "AZURE_API_BASE": "b",
			"AIFO_API_VERSION": "v", "OPENAI_API_VERSION": "v", "AZURE_OPENAI_API_VERSION": "v", "AZURE_API_VERSION": "v",
		}},
		{"own wins over generic", "plandex", map[string]string{"AIFO_API_KEY": "k", "OPENAI_API_KEY": "own"}, map[string]string{
			"AIFO_API_KEY": "k", "OPENAI_API_KEY": "own",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := lookup(t, tt.agent).CredentialValues(func(name string) string { return tt.env[name] })
			require.Empty(t, cmp.Diff(tt.want, got))
		})
	}
}

// TestStateIsBelowHome: the plan derives host directories from these paths.
func TestStateIsBelowHome(t *testing.T) {
	for _, a := range agent.All() {
		for _, dir := range a.State {
			require.True(t, strings.HasPrefix(dir, "/home/coder/"), "%s: %s", a.Name, dir)
		}
	}
}
