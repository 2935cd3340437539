// Package provider knows the providers of language models: which variables hold their
// keys and addresses, and how a key travels in a request. It also decides what an agent
// gets in place of keys when the credential broker is used. It is a table of data and a
// pure function of it; it never looks at the host.
package provider

import "slices"

// Place is where a request carries a key.
type Place struct {
	Header string // canonical name; empty: the query
	Scheme string // word before the key in the header, as in "Bearer KEY"; empty: none
	Query  string // parameter of the query
}

// The places that the providers' libraries use.
var (
	Bearer     = Place{Header: "Authorization", Scheme: "Bearer"}
	XAPIKey    = Place{Header: "X-Api-Key"}
	APIKey     = Place{Header: "Api-Key"}
	GoogAPIKey = Place{Header: "X-Goog-Api-Key"}
	QueryKey   = Place{Query: "key"}
)

// Places are all of them.
func Places() []Place { return []Place{Bearer, XAPIKey, APIKey, GoogAPIKey, QueryKey} }

// Provider is one provider, or a kind of provider whose address the user gives.
type Provider struct {
	Name string

	// Keys are the variables that hold its key; the first that is set on the host counts.
	// All of them get the placeholder, since agents differ in which one they read.
	Keys []string
	// Tokens are further ones, that an agent sends in another place than a key. Only the
	// one that is set on the host, when no key is, gets the placeholder.
	Tokens []string
	// Bases are the variables of its address; the first that is set on the host counts.
	Bases []string
	// Written are further variables in which some agents look for the address. They are
	// set in the agent and not read on the host.
	Written []string
	// Plain are the variables that hold no secret.
	Plain []string

	// Upstream is the address when no variable gives one, as those variables have it;
	// empty: there is none.
	Upstream string
	// Version is the first part of the API's paths. Some libraries take it for a part of
	// the address and some do not, so the broker adds it where it is missing; empty: never.
	Version string
	// Places are where the libraries put the key, and the upstream takes it.
	Places []Place
	// Minting are the paths, without the version, at which the API hands out further
	// credentials. Those would be of use without the broker.
	Minting []string
	// Prefix begins a placeholder: some clients look at the beginning of a key.
	Prefix string
}

// The names of variables come from the libraries and agents themselves: openai-python and
// openai-node (OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT), anthropic-sdk (ANTHROPIC_BASE_URL),
// google-genai (GOOGLE_GEMINI_BASE_URL), litellm, which aider and OpenHands use
// (…_API_BASE), and the model database of Crush (…_API_ENDPOINT).
var table = []Provider{
	{
		Name:     "openai",
		Keys:     []string{"CODEX_API_KEY", "OPENAI_API_KEY"},
		Bases:    []string{"OPENAI_BASE_URL", "OPENAI_API_BASE"},
		Written:  []string{"OPENAI_API_ENDPOINT"},
		Plain:    []string{"OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_ORGANIZATION", "OPENAI_ORG_ID", "OPENAI_PROJECT"},
		Upstream: "https://api.openai.com/v1",
		// OPENAI_API_TYPE=azure makes the libraries send the other one.
		Places:  []Place{Bearer, APIKey},
		Minting: openaiMinting,
		Prefix:  "sk-",
	},
	{
		Name:    "azure",
		Keys:    []string{"AZURE_OPENAI_API_KEY", "AZURE_API_KEY"},
		Bases:   []string{"AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"},
		Written: []string{"AZURE_OPENAI_API_ENDPOINT"},
		Plain:   []string{"AZURE_API_VERSION", "AZURE_OPENAI_API_VERSION"},
		Places:  []Place{APIKey, Bearer},
		Minting: openaiMinting,
	},
	{
		Name:     "anthropic",
		Keys:     []string{"ANTHROPIC_API_KEY"},
		Tokens:   []string{"ANTHROPIC_AUTH_TOKEN"},
		Bases:    []string{"ANTHROPIC_BASE_URL"},
		Written:  []string{"ANTHROPIC_API_BASE", "ANTHROPIC_API_ENDPOINT"},
		Upstream: "https://api.anthropic.com",
		Version:  "v1",
		Places:   []Place{XAPIKey, Bearer},
		Minting:  []string{"organizations", "oauth"},
		Prefix:   "sk-ant-",
	},
	{
		Name:     "gemini",
		Keys:     []string{"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"},
		Written:  []string{"GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE", "GEMINI_API_ENDPOINT"},
		Upstream: "https://generativelanguage.googleapis.com",
		Version:  "v1beta",
		// Its endpoint for OpenAI's libraries takes the key as those send it.
		Places:  []Place{GoogAPIKey, Bearer, QueryKey},
		Minting: []string{"auth_tokens"},
	},
	{
		Name:     "openrouter",
		Keys:     []string{"OPENROUTER_API_KEY"},
		Written:  []string{"OPENROUTER_API_BASE"},
		Upstream: "https://openrouter.ai/api/v1",
		Places:   []Place{Bearer},
		Minting:  []string{"keys", "auth/keys"},
		Prefix:   "sk-or-v1-",
	},
	{
		// OpenHands', for whatever provider its model is of.
		Name:   LLM,
		Keys:   []string{"LLM_API_KEY"},
		Bases:  []string{"LLM_BASE_URL"},
		Plain:  []string{"LLM_MODEL"},
		Places: Places(),
		Prefix: "sk-",
	},
}

// openaiMinting are the paths of OpenAI's API for short-lived credentials, which live on without
// a session, and for the administration of keys.
var openaiMinting = []string{
	"realtime/client_secrets", "realtime/sessions", "realtime/transcription_sessions", "chatkit/sessions", "organization",
}

// LLM is the provider whose address follows from the model, when it is not given.
const LLM = "llm"

// The variables that stand for those of openai and azure.
const (
	genericKey     = "AIFO_API_KEY"
	genericBase    = "AIFO_API_BASE"
	genericVersion = "AIFO_API_VERSION"
)

// generic maps a variable to the one that stands for it when it is not set.
var generic = map[string]string{
	"OPENAI_API_KEY":           genericKey,
	"AZURE_OPENAI_API_KEY":     genericKey,
	"AZURE_API_KEY":            genericKey,
	"OPENAI_BASE_URL":          genericBase,
	"OPENAI_API_BASE":          genericBase,
	"AZURE_OPENAI_ENDPOINT":    genericBase,
	"AZURE_API_BASE":           genericBase,
	"OPENAI_API_VERSION":       genericVersion,
	"AZURE_OPENAI_API_VERSION": genericVersion,
	"AZURE_API_VERSION":        genericVersion,
}

// All returns every provider in the order in which they are shown.
func All() []Provider { return slices.Clone(table) }

// Names returns the names of all providers in that order.
func Names() []string {
	var names []string
	for _, p := range table {
		names = append(names, p.Name)
	}
	return names
}

// Lookup returns the provider of that name.
func Lookup(name string) (Provider, bool) {
	i := slices.IndexFunc(table, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return table[i], true
}

// KeyVariables returns the variables that may hold the provider's key, the generic one
// last, in the order in which they count.
func (p Provider) KeyVariables() []string {
	names := slices.Concat(p.Keys, p.Tokens)
	if slices.ContainsFunc(p.Keys, func(k string) bool { return generic[k] == genericKey }) {
		names = append(names, genericKey)
	}
	return names
}
