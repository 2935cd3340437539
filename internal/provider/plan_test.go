package provider_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

const base = "http://127.0.0.1:19128"

// plan plans for an agent on a host with the variables.
func plan(t *testing.T, name string, env, stored map[string]string) provider.Result {
	t.Helper()
	r, err := tryPlan(t, name, env, stored)
	require.NoError(t, err)
	return r
}

func tryPlan(t *testing.T, name string, env, stored map[string]string) (provider.Result, error) {
	t.Helper()
	a, ok := agent.Lookup(name)
	require.True(t, ok)
	return provider.Plan(provider.Request{
		Credentials: a.Credentials, Get: func(n string) string { return env[n] }, Stored: stored, Base: base,
	})
}

// grant returns the only grant of a provider.
func grant(t *testing.T, r provider.Result, name string) provider.Grant {
	t.Helper()
	for _, g := range r.Grants {
		if g.Provider == name {
			return g
		}
	}
	require.Fail(t, "no grant", "of %s in %v", name, r.Grants)
	return provider.Grant{}
}

func TestPlanNothing(t *testing.T) {
	r := plan(t, "aider", nil, nil)
	require.Empty(t, r.Grants)
	require.Empty(t, r.Env)
	require.Empty(t, r.Placeholders)
	require.Empty(t, r.Warnings)
}

// TestPlanEachProvider has one key set at a time.
func TestPlanEachProvider(t *testing.T) {
	for _, test := range []struct {
		agent    string
		env      map[string]string
		provider string
		upstream string
		want     map[string]string
		keys     []string
	}{
		{
			"codex", map[string]string{"OPENAI_API_KEY": "k"}, "openai", "https://api.openai.com",
			map[string]string{
				"OPENAI_BASE_URL": base + "/broker/openai/v1", "OPENAI_API_BASE": base + "/broker/openai/v1",
				"OPENAI_API_ENDPOINT": base + "/broker/openai/v1",
			},
			[]string{"CODEX_API_KEY", "OPENAI_API_KEY"},
		},
		{
			"aider", map[string]string{"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://localhost:11434/v1/", "OPENAI_ORGANIZATION": "o"},
			"openai", "http://localhost:11434",
			map[string]string{
				"OPENAI_BASE_URL": base + "/broker/openai/v1", "OPENAI_API_BASE": base + "/broker/openai/v1",
				"OPENAI_API_ENDPOINT": base + "/broker/openai/v1", "OPENAI_ORGANIZATION": "o",
			},
			[]string{"OPENAI_API_KEY"},
		},
		{
			"aider", map[string]string{"OPENAI_API_KEY": "k", "OPENAI_API_BASE": "https://GW.example:8443/llm"},
			"openai", "https://gw.example:8443/llm",
			map[string]string{
				"OPENAI_BASE_URL": base + "/broker/openai", "OPENAI_API_BASE": base + "/broker/openai",
				"OPENAI_API_ENDPOINT": base + "/broker/openai",
			},
			[]string{"OPENAI_API_KEY"},
		},
		{
			"aider", map[string]string{"ANTHROPIC_API_KEY": "k"}, "anthropic", "https://api.anthropic.com",
			map[string]string{
				"ANTHROPIC_BASE_URL": base + "/broker/anthropic", "ANTHROPIC_API_BASE": base + "/broker/anthropic",
				"ANTHROPIC_API_ENDPOINT": base + "/broker/anthropic",
			},
			[]string{"ANTHROPIC_API_KEY"},
		},
		{
			"aider", map[string]string{"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://gw.example/anthropic/v1"}, "anthropic", "https://gw.example/anthropic",
			map[string]string{
				"ANTHROPIC_BASE_URL": base + "/broker/anthropic", "ANTHROPIC_API_BASE": base + "/broker/anthropic",
				"ANTHROPIC_API_ENDPOINT": base + "/broker/anthropic",
			},
			[]string{"ANTHROPIC_API_KEY"},
		},
		{
			"crush", map[string]string{"ANTHROPIC_AUTH_TOKEN": "k"}, "anthropic", "https://api.anthropic.com",
			map[string]string{
				"ANTHROPIC_BASE_URL": base + "/broker/anthropic", "ANTHROPIC_API_BASE": base + "/broker/anthropic",
				"ANTHROPIC_API_ENDPOINT": base + "/broker/anthropic",
			},
			[]string{"ANTHROPIC_AUTH_TOKEN"},
		},
		{
			"opencode", map[string]string{"GOOGLE_API_KEY": "k"}, "gemini", "https://generativelanguage.googleapis.com",
			map[string]string{
				"GOOGLE_GEMINI_BASE_URL": base + "/broker/gemini", "GEMINI_API_BASE": base + "/broker/gemini",
				"GEMINI_API_ENDPOINT": base + "/broker/gemini",
			},
			[]string{"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"},
		},
		{
			"plandex", map[string]string{"OPENROUTER_API_KEY": "k"}, "openrouter", "https://openrouter.ai/api",
			map[string]string{"OPENROUTER_API_BASE": base + "/broker/openrouter/v1"},
			[]string{"OPENROUTER_API_KEY"},
		},
		{
			"opencode", map[string]string{"AZURE_API_KEY": "k", "AZURE_RESOURCE_NAME": "mine", "AZURE_API_VERSION": "2025-04-01"},
			"azure", "https://mine.openai.azure.com",
			map[string]string{
				"AZURE_OPENAI_ENDPOINT": base + "/broker/azure", "AZURE_API_BASE": base + "/broker/azure",
				"AZURE_OPENAI_API_ENDPOINT": base + "/broker/azure", "AZURE_API_VERSION": "2025-04-01",
			},
			[]string{"AZURE_API_KEY", "AZURE_OPENAI_API_KEY"},
		},
		{
			"openhands", map[string]string{"LLM_API_KEY": "k", "LLM_MODEL": "anthropic/claude"}, "llm", "https://api.anthropic.com",
			map[string]string{"LLM_BASE_URL": base + "/broker/llm", "LLM_MODEL": "anthropic/claude"},
			[]string{"LLM_API_KEY"},
		},
		{
			"openhands", map[string]string{"LLM_API_KEY": "k", "LLM_MODEL": "gpt-5"}, "llm", "https://api.openai.com",
			map[string]string{"LLM_BASE_URL": base + "/broker/llm/v1", "LLM_MODEL": "gpt-5"},
			[]string{"LLM_API_KEY"},
		},
		{
			"openhands", map[string]string{"LLM_API_KEY": "k", "LLM_MODEL": "other/m", "LLM_BASE_URL": "http://10.0.0.1:8000/v1"},
			"llm", "http://10.0.0.1:8000",
			map[string]string{"LLM_BASE_URL": base + "/broker/llm/v1", "LLM_MODEL": "other/m"},
			[]string{"LLM_API_KEY"},
		},
	} {
		r := plan(t, test.agent, test.env, nil)
		require.Len(t, r.Grants, 1, "%v", test.env)
		g := grant(t, r, test.provider)
		require.Equal(t, test.upstream, g.Upstream)
		require.Equal(t, "k", g.Key)
		require.Contains(t, test.env, g.Source)
		require.Equal(t, test.want, r.Env)
		require.Equal(t, test.keys, slices.Sorted(maps.Keys(r.Placeholders)))
		require.Empty(t, r.Warnings)
	}
}

// TestPlanGeneric wants that AIFO_API_* stand for the same variables as when keys are passed.
func TestPlanGeneric(t *testing.T) {
	env := map[string]string{"AIFO_API_KEY": "k", "AIFO_API_BASE": "https://gw.example/v1", "AIFO_API_VERSION": "2"}
	r := plan(t, "aider", env, nil)
	require.Len(t, r.Grants, 2)
	for _, name := range []string{"openai", "azure"} {
		g := grant(t, r, name)
		require.Equal(t, "https://gw.example", g.Upstream)
		require.Equal(t, "k", g.Key)
		require.Equal(t, "AIFO_API_KEY", g.Source)
	}
	require.Equal(t, "openai", r.Placeholders["AIFO_API_KEY"])
	require.Equal(t, base+"/broker/openai/v1", r.Env["AIFO_API_BASE"])
	require.Equal(t, "2", r.Env["OPENAI_API_VERSION"])
	require.Empty(t, r.Warnings)

	a, _ := agent.Lookup("aider")
	for name := range a.CredentialValues(func(n string) string { return env[n] }) {
		require.True(t, r.Placeholders[name] != "" || r.Env[name] != "", name)
	}
}

// TestPlanGenericAlone: without an address the generic key is OpenAI's, as its libraries
// have it, and Azure is not warned of.
func TestPlanGenericAlone(t *testing.T) {
	r := plan(t, "aider", map[string]string{"AIFO_API_KEY": "k"}, nil)
	require.Len(t, r.Grants, 1)
	require.Equal(t, "https://api.openai.com", grant(t, r, "openai").Upstream)
	require.Empty(t, r.Warnings)
}

func TestPlanStored(t *testing.T) {
	r := plan(t, "aider", map[string]string{"GEMINI_API_KEY": "mine"}, map[string]string{"anthropic": "a", "gemini": "g", "azure": "z"})
	require.Equal(t, "mine", grant(t, r, "gemini").Key, "the environment comes first")
	require.Equal(t, "a", grant(t, r, "anthropic").Key)
	require.Equal(t, provider.SourceStored, grant(t, r, "anthropic").Source)
	require.Equal(t, "anthropic", r.Placeholders["ANTHROPIC_API_KEY"])
	require.NotContains(t, r.Placeholders, "ANTHROPIC_AUTH_TOKEN")
	require.Len(t, r.Grants, 2)
	require.Contains(t, strings.Join(r.Warnings, "\n"), "AZURE_OPENAI_ENDPOINT")
}

// TestPlanNotTheAgents: a key that the agent does not take is not served.
func TestPlanNotTheAgents(t *testing.T) {
	r := plan(t, "codex", map[string]string{"ANTHROPIC_API_KEY": "k"}, map[string]string{"gemini": "g"})
	require.Empty(t, r.Grants)
	require.Empty(t, r.Placeholders)
	r = plan(t, "aider", map[string]string{"CODEX_API_KEY": "c", "OPENAI_API_KEY": "o"}, nil)
	require.Equal(t, "o", grant(t, r, "openai").Key)
}

// TestPlanWithoutKey: a server that wants no key is reached through the broker, too.
func TestPlanWithoutKey(t *testing.T) {
	r := plan(t, "opencode", map[string]string{"OPENAI_BASE_URL": "http://localhost:8000/v1"}, nil)
	g := grant(t, r, "openai")
	require.Empty(t, g.Key)
	require.Empty(t, g.Source)
	require.Equal(t, "http://localhost:8000", g.Upstream)
	require.Equal(t, "openai", r.Placeholders["OPENAI_API_KEY"])
}

func TestPlanWarnings(t *testing.T) {
	r := plan(t, "aider", map[string]string{
		"AZURE_API_KEY": "k1", "GEMINI_API_KEY": "k2", "GOOGLE_API_KEY": "k3", "ANTHROPIC_API_KEY": "k4", "ANTHROPIC_AUTH_TOKEN": "k5",
	}, nil)
	all := strings.Join(r.Warnings, "\n")
	for _, name := range []string{"AZURE_OPENAI_ENDPOINT", "GOOGLE_API_KEY", "ANTHROPIC_AUTH_TOKEN"} {
		require.Contains(t, all, name)
	}
	require.NotContains(t, r.Placeholders, "ANTHROPIC_AUTH_TOKEN")
	require.NotContains(t, r.Placeholders, "AZURE_API_KEY")
}

func TestPlanRefuses(t *testing.T) {
	for value, name := range map[string]string{
		"ftp://example.org/v1":              "OPENAI_BASE_URL",
		"https://user:secret@example.org":   "OPENAI_BASE_URL",
		"https://example.org/v1#x":          "OPENAI_BASE_URL",
		"https://example.org/v1?key=secret": "OPENAI_BASE_URL",
		"https://example.org/a/../b":        "OPENAI_BASE_URL",
		"https://example.org/a%2fb":         "OPENAI_BASE_URL",
		"https:///v1":                       "OPENAI_BASE_URL",
		"example.org":                       "OPENAI_BASE_URL",
		"http://[::1":                       "OPENAI_BASE_URL",
		"sec ret":                           "OPENAI_API_KEY",
		"secret\r\nX: y":                    "OPENAI_API_KEY",
		"sécret":                            "OPENAI_API_KEY",
	} {
		env := map[string]string{"OPENAI_API_KEY": "sk-real"}
		env[name] = value
		_, err := tryPlan(t, "aider", env, nil)
		var wrong *provider.VariableError
		require.ErrorAs(t, err, &wrong, value)
		require.Equal(t, name, wrong.Name)
		require.NotContains(t, err.Error(), "secret")
		require.NotEmpty(t, wrong.Hint())
	}
	_, err := tryPlan(t, "aider", nil, map[string]string{"openai": "two\nlines"})
	require.ErrorContains(t, err, "openai")
	_, err = tryPlan(t, "aider", map[string]string{"AIFO_API_KEY": "k", "AIFO_API_BASE": "x"}, nil)
	require.ErrorContains(t, err, "AIFO_API_BASE")
	_, err = tryPlan(t, "aider", map[string]string{"AZURE_API_KEY": "k", "AZURE_RESOURCE_NAME": "evil.example/x"}, nil)
	require.ErrorContains(t, err, "AZURE_RESOURCE_NAME")
}

// TestPlanHidesKeys sets every variable of every agent to a value of its own and wants that
// none that can be a key gets into the container, in whatever way.
func TestPlanHidesKeys(t *testing.T) {
	for _, a := range agent.All() {
		env := map[string]string{}
		for _, name := range a.Credentials {
			env[name] = "real-" + strings.ToLower(name)
			if strings.HasSuffix(name, "_BASE") || strings.HasSuffix(name, "_URL") || strings.HasSuffix(name, "_ENDPOINT") {
				env[name] = "https://" + strings.ReplaceAll(strings.ToLower(name), "_", "-") + ".example/v1"
			}
		}
		r := plan(t, a.Name, env, nil)
		for _, name := range a.Credentials {
			isKey := strings.HasSuffix(name, "KEY") || strings.HasSuffix(name, "TOKEN")
			_, plain := r.Env[name]
			require.False(t, isKey && plain, "%s: %s", a.Name, name)
			for other, v := range r.Env {
				require.False(t, isKey && strings.Contains(v, env[name]), "%s: %s is in %s", a.Name, name, other)
			}
		}
		for name := range r.Placeholders {
			require.Contains(t, a.Credentials, name)
			require.NotContains(t, r.Env, name)
		}
	}
}

// TestTableKnowsEveryCredential: what an agent takes is known, so nothing is left out by oversight.
func TestTableKnowsEveryCredential(t *testing.T) {
	known := map[string]bool{"AIFO_API_KEY": true, "AIFO_API_BASE": true, "AIFO_API_VERSION": true, "AZURE_RESOURCE_NAME": true}
	for _, p := range provider.All() {
		for _, name := range slices.Concat(p.Keys, p.Tokens, p.Bases, p.Plain) {
			require.False(t, known[name], "%s twice", name)
			known[name] = true
		}
		require.NotEmpty(t, p.Places, p.Name)
	}
	for _, a := range agent.All() {
		for _, name := range a.Credentials {
			require.True(t, known[name], "%s of %s", name, a.Name)
		}
	}
}

func TestUpstreams(t *testing.T) {
	require.Equal(t, []string{"a.example:443", "b.example:80", "c.example:8443"}, provider.Upstreams([]provider.Grant{
		{Upstream: "http://b.example/x"}, {Upstream: "https://a.example"}, {Upstream: "https://c.example:8443"}, {Upstream: "https://a.example/y"},
	}))
}

func TestGrantHidesKey(t *testing.T) {
	g := provider.Grant{Provider: "openai", Upstream: "https://api.openai.com", Key: "secret"}
	require.NotContains(t, g.String()+g.GoString(), "secret")
}

func TestKeyVariables(t *testing.T) {
	p, ok := provider.Lookup("openai")
	require.True(t, ok)
	require.Equal(t, []string{"CODEX_API_KEY", "OPENAI_API_KEY", "AIFO_API_KEY"}, p.KeyVariables())
	_, ok = provider.Lookup("no")
	require.False(t, ok)
	require.Contains(t, provider.Names(), "gemini")
}
