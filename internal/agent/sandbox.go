package agent

import (
	"slices"
	"strings"
)

// SandboxEnv tells programs that know the variable (Claude Code is one) that they
// run in a sandbox, as they do here.
const SandboxEnv = "IS_SANDBOX"

// sandbox is one that an agent puts the commands of its model into.
type sandbox struct {
	off  []string // the arguments that switch it off
	own  []string // the flags by which a user chooses one
	keys []string // the settings by which a user does, as values of a flag
}

// sandboxes are those of the agents that have one.
var sandboxes = map[string]sandbox{
	// A setting, not a flag: it stands before any subcommand, and a later one wins.
	"codex": {
		off:  []string{"--config", `sandbox_mode="danger-full-access"`},
		own:  []string{"-s", "--sandbox", "--approve-for-me", "--full-auto", "--yolo", "--dangerously-bypass-approvals-and-sandbox"},
		keys: []string{"sandbox_mode", "default_permissions"},
	},
}

// WithoutSandbox returns the arguments that switch off the agent's own sandbox, for
// a command line that Command gave; none where the agent has no sandbox, does not
// start, or the user chose one.
func (a Agent) WithoutSandbox(command []string) []string {
	box, ok := sandboxes[a.Name]
	if !ok || command[0] != a.Argv[0] || slices.ContainsFunc(flags(command[1:]), box.chosen) {
		return nil
	}
	return slices.Clone(box.off)
}

// flags returns the words before "--", after which there are only prompts.
func flags(words []string) []string {
	if i := slices.Index(words, "--"); i >= 0 {
		return words[:i]
	}
	return words
}

// chosen reports whether the word chooses a sandbox. A setting may stand alone or
// with its flag: "-c key=x", "-ckey=x", "--config=key=x".
func (s sandbox) chosen(word string) bool {
	setting := strings.TrimPrefix(strings.TrimPrefix(word, "--config="), "-c")
	key, _, isSetting := strings.Cut(setting, "=")
	if isSetting && slices.Contains(s.keys, strings.TrimSpace(key)) {
		return true
	}
	return slices.ContainsFunc(s.own, func(flag string) bool {
		short := len(flag) == len("-x") && strings.HasPrefix(word, flag)
		return word == flag || strings.HasPrefix(word, flag+"=") || short
	})
}
