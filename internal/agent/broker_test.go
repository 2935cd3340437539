package agent

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWithBroker(t *testing.T) {
	env := map[string]string{"OPENAI_BASE_URL": "http://b/openai/v1", "LLM_BASE_URL": "http://b/llm"}
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"codex":     {[]string{"exec", "hi"}, env, []string{"codex", "--config", `openai_base_url="http://b/openai/v1"`, "exec", "hi"}},
		"openhands": {nil, env, []string{"/opt/venv-openhands/bin/openhands", "--override-with-envs"}},
		"aider":     {[]string{"--model", "x"}, env, []string{"/opt/venv/bin/aider", "--model", "x"}},
	} {
		a, _ := Lookup(name)
		none := func(string) bool { return false }
		require.Equal(t, tc.want, a.WithBroker(a.Command(tc.args, none), tc.env))
		require.Equal(t, a.Command(tc.args, none), a.WithBroker(a.Command(tc.args, none), nil), "there is no address")
		require.Equal(t, []string{"cargo"}, a.WithBroker([]string{"cargo"}, tc.env), "a tool in its place")
		require.NoError(t, a.CheckBroker())
	}
	a, _ := Lookup("plandex")
	var cannot *NotBrokeredError
	require.ErrorAs(t, a.CheckBroker(), &cannot)
}
