// Package agent knows the coding agents: their images, programs, state and
// credentials. It is a table of data; it never looks at the host.
package agent

import (
	"slices"
	"strings"
)

// Agent is one coding agent.
type Agent struct {
	Name  string
	Short string   // one line of help
	Argv  []string // the program and its fixed arguments, in the image

	// State lists the directories in the container that outlive a session,
	// each kept for this agent alone.
	State []string
	// Config lists the files, relative to HOME, in which a user configures the agent.
	// Those of the host are copied to the same place in the container. Files with
	// tokens of a login are not among them.
	Config []string
	// Credentials are the variables that are passed by name when they are set
	// on the host.
	Credentials []string
}

// The variables of the model providers, by provider.
var (
	aifo       = []string{"AIFO_API_KEY", "AIFO_API_BASE", "AIFO_API_VERSION"}
	openai     = []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_ORGANIZATION", "OPENAI_ORG_ID", "OPENAI_PROJECT"}
	azure      = []string{"AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_VERSION", "AZURE_RESOURCE_NAME"}
	anthropic  = []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"}
	gemini     = []string{"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"}
	openrouter = []string{"OPENROUTER_API_KEY"}
	all        = slices.Concat(aifo, openai, azure, anthropic, gemini, openrouter)
)

var agents = []Agent{
	{
		Name: "aider", Short: "Run aider", Argv: []string{"/opt/venv/bin/aider"},
		State: []string{"/home/coder/.aider"}, Credentials: all,
		Config: []string{".aider.conf.yml", ".aider.model.settings.yml", ".aider.model.metadata.json"},
	},
	{
		Name: "codex", Short: "Run OpenAI Codex", Argv: []string{"codex"},
		State:       []string{"/home/coder/.codex"},
		Config:      []string{".codex/config.toml", ".codex/AGENTS.md"},
		Credentials: slices.Concat(aifo, openai, azure, []string{"CODEX_API_KEY"}),
	},
	{
		Name: "crush", Short: "Run Crush", Argv: []string{"crush"},
		State:  []string{"/home/coder/.crush", "/home/coder/.config/crush", "/home/coder/.local/share/crush"},
		Config: []string{".config/crush/crush.json"}, Credentials: all,
	},
	{
		Name: "openhands", Short: "Run OpenHands", Argv: []string{"/opt/venv-openhands/bin/openhands"},
		State:       []string{"/home/coder/.openhands"},
		Config:      []string{".openhands/config.toml", ".openhands/settings.json", ".openhands/agent_settings.json"},
		Credentials: slices.Concat(all, []string{"LLM_API_KEY", "LLM_BASE_URL", "LLM_MODEL"}),
	},
	{
		Name: "opencode", Short: "Run opencode", Argv: []string{"opencode"},
		State: []string{
			"/home/coder/.config/opencode", "/home/coder/.local/share/opencode",
			"/home/coder/.local/state/opencode", "/home/coder/.cache/opencode",
		},
		Config:      []string{".config/opencode/opencode.json", ".config/opencode/opencode.jsonc", ".config/opencode/AGENTS.md"},
		Credentials: all,
	},
	{
		Name: "plandex", Short: "Run Plandex", Argv: []string{"plandex"},
		State: []string{"/home/coder/.plandex-home", "/home/coder/.plandex-home-v2"}, Credentials: slices.Concat(aifo, openai, anthropic, gemini, openrouter),
	},
	{Name: Shell, Short: "Run a shell, or a command, in the base agent image", Argv: []string{"bash"}},
}

// Shell is the agent for people and scripts: a shell without state or credentials.
const Shell = "shell"

// All returns every agent in the order in which they are shown.
func All() []Agent { return slices.Clone(agents) }

// Lookup returns the agent of that name.
func Lookup(name string) (Agent, bool) {
	i := slices.IndexFunc(agents, func(a Agent) bool { return a.Name == name })
	if i < 0 {
		return Agent{}, false
	}
	return agents[i], true
}

// Command returns what runs in the container for the words after "--".
// isTool tells whether a word is a tool that a shim stands for: then the words
// are a command of their own and the agent does not start. The shell agent
// also takes any other command, as `docker run IMAGE COMMAND` does; words that
// begin with "-" are options of the shell.
func (a Agent) Command(args []string, isTool func(string) bool) []string {
	switch {
	case len(args) == 0:
		return slices.Clone(a.Argv)
	case isTool(args[0]), a.Name == Shell && !strings.HasPrefix(args[0], "-"):
		return slices.Clone(args)
	}
	return slices.Concat(a.Argv, args)
}

// ImageOptions say how an agent's image is chosen.
type ImageOptions struct {
	Image  string // this image and no other
	Prefix string // image name prefix; empty: aifo-coder
	Tag    string // empty: latest
	Slim   bool
}

// Image returns the reference of the agent's image.
func (a Agent) Image(o ImageOptions) string {
	if o.Image != "" {
		return o.Image
	}
	prefix, tag, flavor := o.Prefix, o.Tag, ""
	if prefix == "" {
		prefix = "aifo-coder"
	}
	if tag == "" {
		tag = "latest"
	}
	if o.Slim {
		flavor = "-slim"
	}
	return prefix + "-" + a.Name + flavor + ":" + tag
}

// MakeTarget returns the target of the Makefile that builds the agent's image.
func (a Agent) MakeTarget(slim bool) string {
	if slim {
		return "build-" + a.Name + "-slim"
	}
	return "build-" + a.Name
}

// aifoNames maps each of the generic AIFO_API_* variables to the variables in
// which the providers' libraries look for the same thing.
var aifoNames = map[string][]string{
	"AIFO_API_KEY":     {"OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_API_KEY"},
	"AIFO_API_BASE":    {"OPENAI_BASE_URL", "OPENAI_API_BASE", "AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"},
	"AIFO_API_VERSION": {"OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION", "AZURE_API_VERSION"},
}

// CredentialValues returns the agent's credential variables with their values:
// what the host has set, and for an unset variable of a provider the value of
// the AIFO_API_* variable that stands for it.
func (a Agent) CredentialValues(get func(string) string) map[string]string {
	values := map[string]string{}
	for _, name := range a.Credentials {
		if v := get(name); v != "" {
			values[name] = v
		}
	}
	for generic, names := range aifoNames {
		for _, name := range names {
			if v := get(generic); v != "" && values[name] == "" && slices.Contains(a.Credentials, name) {
				values[name] = v
			}
		}
	}
	return values
}
