package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// configured is a host whose user has files for agents.
func configured() hostfacts.Facts {
	f := facts()
	f.ConfigHome, f.ConfigDir = "/home/ann/.config", "/home/ann/.config/aifo-coder"
	f.Files = map[string]string{
		"/home/ann/.aider.conf.yml":                               "/home/ann/dotfiles/aider.yml",
		"/home/ann/.config/aifo-coder/codex/config.toml":          "/home/ann/.config/aifo-coder/codex/config.toml",
		"/home/ann/.codex/config.toml":                            "/home/ann/.codex/config.toml",
		"/home/ann/.config/opencode/opencode.json":                "/home/ann/.config/opencode/opencode.json",
		"/home/ann/.config/aifo-coder/opencode/opencode.jsonc":    "/home/ann/.config/aifo-coder/opencode/opencode.jsonc",
		"/home/ann/.config/opencode/unrelated-file-of-the-reader": "/x",
	}
	return f
}

// TestConfigFiles: an agent gets its own files, for reading, and no other's; a file
// in our directory beats the agent's own.
func TestConfigFiles(t *testing.T) {
	const target = ",target=/opt/aifo/config/"
	for name, want := range map[string][]string{
		"aider":    {"source=/home/ann/dotfiles/aider.yml" + target + ".aider.conf.yml,readonly", "--config /opt/aifo/config/.aider.conf.yml:/home/coder/.aider.conf.yml"},
		"codex":    {"source=/home/ann/.config/aifo-coder/codex/config.toml" + target + "config.toml,readonly", "--config /opt/aifo/config/config.toml:/home/coder/.codex/config.toml"},
		"opencode": {"opencode.json:/home/coder/.config/opencode/opencode.json --config", "opencode.jsonc:/home/coder/.config/opencode/opencode.jsonc --workdir"},
		"crush":    nil,
		"shell":    nil,
	} {
		p := plan.Build(plan.Options{Agent: mustAgent(t, name)}, configured(), "id")
		argv := strings.Join(p.Agent.Argv(), " ")
		for _, w := range want {
			require.Contains(t, argv, w, name)
		}
		if want == nil {
			require.NotContains(t, argv, "/opt/aifo/config", name)
		}
	}
}

func TestConfigFilesOff(t *testing.T) {
	f := configured()
	f.Env = hostfacts.Env{"AIFO_CONFIG_ENABLE": "0"}
	require.Empty(t, plan.ConfigFiles(mustAgent(t, "codex"), f))
	require.NotContains(t, strings.Join(plan.Build(plan.Options{Agent: mustAgent(t, "codex")}, f, "id").Agent.Argv(), " "), "--config /opt")
	require.Empty(t, plan.ConfigFiles(nil, configured()), "the toolchain subcommand")
}

func TestConfigFilesThatAreLookedFor(t *testing.T) {
	require.Equal(t, []string{
		"/home/ann/.config/aifo-coder/crush/crush.json", "/home/ann/.config/crush/crush.json",
	}, plan.ConfigFiles(mustAgent(t, "crush"), configured()))
}
