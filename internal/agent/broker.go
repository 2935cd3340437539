package agent

import (
	"fmt"
	"slices"
)

// NotBrokeredError says that an agent cannot work without having keys itself.
type NotBrokeredError struct{ Agent, Reason string }

func (e *NotBrokeredError) Error() string {
	return fmt.Sprintf("the credential broker cannot stand between %s and its models: %s", e.Agent, e.Reason)
}

// Hint says what to do.
func (e *NotBrokeredError) Hint() string {
	return "let it have its keys: --credentials pass; --network-policy says what it reaches with them"
}

// CheckBroker returns a *NotBrokeredError for an agent whose keys go elsewhere.
func (a Agent) CheckBroker() error {
	if a.Name == "plandex" {
		return &NotBrokeredError{Agent: a.Name, Reason: "it hands its keys to a server, which asks them"}
	}
	return nil
}

// WithBroker returns a command line that Command gave with the arguments by which the
// agent's program uses the addresses of env, which it does not by itself. The user's own
// come later, and so have the last word.
func (a Agent) WithBroker(command []string, env map[string]string) []string {
	if len(a.Argv) == 0 || command[0] != a.Argv[0] {
		return command
	}
	return slices.Insert(slices.Clone(command), 1, a.brokerArgs(env)...)
}

func (a Agent) brokerArgs(env map[string]string) []string {
	switch base := env["OPENAI_BASE_URL"]; {
	case a.Name == "codex" && base != "":
		return []string{"--config", fmt.Sprintf("openai_base_url=%q", base)}
	case a.Name == "openhands" && env["LLM_BASE_URL"] != "":
		return []string{"--override-with-envs"}
	}
	return nil
}
