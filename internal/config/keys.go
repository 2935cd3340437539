package config

import (
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Key is a setting that a configuration file can hold: the long name of a flag.
type Key struct {
	Name string
	// Beside are other flags that say the same thing: one of them given on the command
	// line replaces what the files say.
	Beside []string
	// Variables are those that stand for the flag.
	Variables []string
	// Own says that only the user's own file may hold it.
	Own  bool
	Bool bool
	List bool // repeatable; one value is a list of one
	Path bool // of a file, seen from the directory of the file that names it
	// Gives is what a repository gains by it, for the user who is to allow it. Nothing that
	// a repository sets counts without that, but for what free allows.
	Gives string
	free  func(value string) bool
}

// keys is the one table of settings. A setting of a repository that the user has not
// allowed counts only where the row has free.
var keys = []Key{
	{Name: profileKey, Variables: []string{"AIFO_CODER_PROFILE"}, Own: true},
	{Name: "toolchain", Beside: []string{"toolchain-spec", "toolchain-image"}, List: true, free: isKind, Gives: "tools run in an image that the repository chooses"},
	{Name: "toolchain-define", Variables: []string{"AIFO_TOOLCHAIN_DEFINE"}, Own: true, List: true, Path: true},
	{Name: "no-toolchain-cache", Bool: true, Gives: "tools fetch again what the caches have"},
	{Name: "toolchain-unix-socket", Variables: []string{"AIFO_TOOLEEXEC_USE_UNIX"}, Bool: true, Gives: "tools get the files that the agent has open"},
	{Name: "toolchain-bootstrap", List: true, Gives: "a package is installed in a sidecar"},
	{Name: "toolchain-timeout", Variables: []string{"AIFO_TOOLEEXEC_MAX_SECS", "AIFO_TOOLEEXEC_TIMEOUT_SECS"}, Gives: "tools run for as long as the repository says"},
	{Name: "engine", Variables: []string{"AIFO_CODER_ENGINE"}, Own: true},
	{Name: "image", Variables: []string{"AIFO_CODER_IMAGE", "AIFO_CODER_AGENT_IMAGE"}, Gives: "the agent, with your keys, runs in an image that the repository chooses"},
	{Name: "flavor", Variables: []string{"AIFO_CODER_IMAGE_FLAVOR"}, Gives: "the agent runs in another image"},
	{Name: "ignore-local-images", Variables: []string{"AIFO_CODER_IGNORE_LOCAL_IMAGES"}, Bool: true, Gives: "images come from a registry in place of this machine"},
	{Name: "docker-network", Variables: []string{"AIFO_SESSION_NETWORK"}, Gives: "containers reach the other containers of that network"},
	{Name: "network-policy", Variables: []string{"AIFO_CODER_NETWORK_POLICY"}, List: true, Gives: "containers reach what the repository says"},
	{Name: "allow-host", Variables: []string{"AIFO_CODER_ALLOW_HOSTS"}, List: true, Gives: "containers reach those hosts as well"},
	{Name: "credentials", Variables: []string{"AIFO_CODER_CREDENTIALS"}, Gives: "the agent has your keys, or a broker for them"},
	{Name: "broker-git", Variables: []string{"AIFO_CODER_BROKER_GIT"}, List: true, Gives: "the agent reaches those repositories with your login"},
	{Name: "publish", List: true, Gives: "ports of this machine lead into the session"},
	{Name: "workspace-path", Gives: "containers see where the repository is on this machine"},
	{Name: "mount", List: true, Gives: "containers have those files of this machine"},
	{Name: "env-file", Own: true, List: true, Path: true},
	{Name: "memory", List: true, Gives: "containers take as much of this machine's memory"},
	{Name: "cpus", List: true, Gives: "containers take as many of this machine's processors"},
	{Name: "gpus", List: true, Gives: "containers get this machine's graphics processors"},
	{Name: "pids-limit", List: true, Gives: "containers take as many of this machine's processes"},
	{Name: "quiet", Own: true, Bool: true},
	{Name: "verbose", Own: true, Bool: true},
	{Name: "color", Variables: []string{"AIFO_CODER_COLOR"}, Own: true},
}

// Keys returns all keys in the order in which they are shown.
func Keys() []Key { return slices.Clone(keys) }

// Lookup returns the key of that name.
func Lookup(name string) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// keyOf returns the key that a variable stands for.
func keyOf(variable string) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return slices.Contains(k.Variables, variable) })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Flags returns the flags by which a key can be given on the command line.
func (k Key) Flags() []string { return append([]string{k.Name}, k.Beside...) }

// isKind reports whether a value of toolchain is a kind or a version of one, and no image.
func isKind(value string) bool { return !strings.Contains(value, "=") }

// models are the variables by which agents and the libraries in them are told which
// model to use, and nothing else. LLM_MODEL is none: LLM_API_KEY is of no provider by
// itself, and goes to the one that this model is of.
var models = []string{
	"AIDER_MODEL", "AIDER_WEAK_MODEL", "AIDER_EDITOR_MODEL",
	"OPENAI_MODEL", "ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "GEMINI_MODEL",
}

// isModel reports whether a variable with that value only names a model. Some libraries
// take an address in place of a name, to which an agent would send all it knows.
func isModel(name, value string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@+-"
	return slices.Contains(models, name) && len(value) <= 128 && strings.Trim(value, letters) == "" &&
		!strings.HasPrefix(value, "-") && !strings.Contains(value, "//")
}

// IsCredential reports whether the name is that of a key, an address or another variable of
// a model provider, which an agent gets from the caller's environment.
func IsCredential(name string) bool {
	return slices.ContainsFunc(agent.All(), func(a agent.Agent) bool { return slices.Contains(a.Credentials, name) })
}

// variableGives says what a repository gains by a variable of the agent's.
func variableGives(name string) string {
	switch {
	case !IsCredential(name):
		return "the agent and its libraries do what the variable tells them"
	case Secret(name):
		return "the agent works with a key that the repository chooses, whose owner sees what it sends"
	}
	return "the agent sends your code and its keys where the repository says"
}

// secretWords are parts of the names of variables whose values are not shown.
var secretWords = []string{"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"}

// Secret reports whether the value of a variable is not to be shown or handed on.
func Secret(name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// kindOf returns the built-in toolchain kind whose version or image a variable has.
func kindOf(variable string, variables func(kind string) []string) bool {
	return slices.ContainsFunc(toolchain.Set{}.Names(), func(kind string) bool { return slices.Contains(variables(kind), variable) })
}
