package netpolicy

import "slices"

// Preset is a set of hosts with a name.
type Preset struct {
	Name  string // without the "@"
	Short string // what is there, for people
	Hosts []string
}

// presets are sorted by name, and their hosts, too. They hold what the usual clients
// ask when nothing is configured, and nothing that they can do without.
var presets = []Preset{
	{"alpine", "packages of Alpine Linux", []string{"dl-cdn.alpinelinux.org"}},
	{"anthropic", "Anthropic's models, and the login of Claude Code", []string{"api.anthropic.com", "claude.ai", "console.anthropic.com", "platform.claude.com"}},
	{"azure-openai", "models on Azure", []string{"*.cognitiveservices.azure.com", "*.openai.azure.com", "*.services.ai.azure.com"}},
	{"crates", "Rust packages", []string{"crates.io", "index.crates.io", "static.crates.io"}},
	{"debian", "packages of Debian", []string{"deb.debian.org", "security.debian.org"}},
	{"deepseek", "DeepSeek's models", []string{"api.deepseek.com"}},
	{"gemini", "Google's models, and the login of Gemini CLI", []string{"cloudcode-pa.googleapis.com", "generativelanguage.googleapis.com", "oauth2.googleapis.com"}},
	{"github", "repositories, releases and the API of GitHub", []string{
		"api.github.com", "codeload.github.com", "gist.githubusercontent.com", "github-cloud.githubusercontent.com", "github-cloud.s3.amazonaws.com",
		"github-releases.githubusercontent.com", "github.com", "media.githubusercontent.com", "objects.githubusercontent.com",
		"raw.githubusercontent.com", "release-assets.githubusercontent.com", "uploads.github.com",
	}},
	{"gitlab", "repositories of gitlab.com", []string{"gitlab.com"}},
	{"go", "Go modules", []string{"proxy.golang.org", "storage.googleapis.com", "sum.golang.org"}},
	{"groq", "models on Groq", []string{"api.groq.com"}},
	{"mistral", "Mistral's models", []string{"api.mistral.ai", "codestral.mistral.ai"}},
	{"npm", "packages of npm, pnpm and Yarn, and the headers of Node.js", []string{"nodejs.org", "registry.npmjs.org", "registry.yarnpkg.com", "repo.yarnpkg.com"}},
	{"openai", "OpenAI's models, and the login of codex", []string{"api.openai.com", "auth.openai.com", "chatgpt.com"}},
	{"openrouter", "models on OpenRouter", []string{"openrouter.ai"}},
	{"pypi", "Python packages", []string{"files.pythonhosted.org", "pypi.org"}},
	{"rustup", "Rust toolchains", []string{"static.rust-lang.org"}},
	{"ubuntu", "packages of Ubuntu", []string{"archive.ubuntu.com", "ports.ubuntu.com", "security.ubuntu.com"}},
	{"xai", "xAI's models", []string{"api.x.ai"}},
}

// Presets returns all presets, sorted by name.
func Presets() []Preset { return slices.Clone(presets) }

func (p Preset) rules() []Rule {
	var rules []Rule
	for _, host := range p.Hosts {
		rules = append(rules, Rule{Host: host, Source: "@" + p.Name})
	}
	return rules
}
