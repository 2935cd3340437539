package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/config"
)

// names splits settings into the names of those that count and of those that wait.
func names(settings []config.Setting) (free, waiting []string) {
	f, w := config.Split(settings)
	for _, s := range f {
		free = append(free, s.Name)
	}
	for _, s := range w {
		waiting = append(waiting, s.Name)
	}
	return free, waiting
}

func TestParse(t *testing.T) {
	const file = `# comment
toolchain: [rust, node@20]
memory: 4g
pids-limit: 1000
no-toolchain-cache: true
toolchain-timeout: 1h30m
env:
  AIDER_MODEL: openai/gpt-x
  FOO: "a b"
`
	got, err := config.Parse("c.yaml", []byte(file), config.User)
	require.NoError(t, err)
	values := map[string][]string{}
	for _, s := range got {
		values[s.Name] = s.Values
		assert.False(t, s.Approval, "%s: the user's own word needs no other", s.Name)
	}
	assert.Equal(t, map[string][]string{
		"toolchain": {"rust", "node@20"}, "memory": {"4g"}, "pids-limit": {"1000"}, "no-toolchain-cache": {"true"},
		"toolchain-timeout": {"1h30m"}, "env.AIDER_MODEL": {"openai/gpt-x"}, "env.FOO": {"a b"},
	}, values)
	assert.Equal(t, "c.yaml:3", got[1].Place())
	assert.Equal(t, "AIFO_ENV_FOO", got[6].Variable)
}

func TestParseEmpty(t *testing.T) {
	for _, file := range []string{"", "\n", "# nothing\n", "---\n", "null\n"} {
		got, err := config.Parse("c.yaml", []byte(file), config.Project)
		require.NoError(t, err, "%q", file)
		assert.Empty(t, got)
	}
}

// TestProjectNeedsApproval: what a repository may do by itself is a short list.
func TestProjectNeedsApproval(t *testing.T) {
	for file, wantFree := range map[string]bool{
		"toolchain: rust":                         true,
		"toolchain: [rust@1.80, py]":              true,
		"toolchain: [rust, node=evil/image]":      false,
		"toolchain: node@20=evil/image":           false,
		"image: evil/image":                       false,
		"flavor: slim":                            false,
		"memory: 1g":                              false,
		"pids-limit: 100":                         false,
		"docker-network: net":                     false,
		"no-toolchain-cache: true":                false,
		"toolchain-unix-socket: true":             false,
		"toolchain-bootstrap: typescript=global":  false,
		"toolchain-timeout: 90s":                  false,
		"ignore-local-images: true":               false,
		"env: {AIDER_MODEL: anthropic/claude-x}":  true,
		"env: {AIDER_MODEL: 'ollama/qwen:7b'}":    true,
		"env: {LLM_MODEL: openrouter/x}":          false, // LLM_API_KEY, whosever it is, goes there
		"env: {LLM_MODEL: gpt-x}":                 false, // or to OpenAI
		"env: {AIDER_MODEL: 'https://evil/x'}":    false,
		"env: {AIDER_MODEL: 'x/http://evil'}":     false,
		"env: {AIDER_MODEL: '--help'}":            false,
		"env: {AIDER_MODEL: '$(id)'}":             false,
		"env: {OPENAI_BASE_URL: 'https://evil'}":  false,
		"env: {OPENAI_API_KEY: k}":                false,
		"env: {BASH_ENV: /workspace/x}":           false,
		"env: {AIDER_OPENAI_API_BASE: 'http://'}": false,
	} {
		got, err := config.Parse(config.ProjectFile, []byte(file), config.Project)
		require.NoError(t, err, file)
		require.Len(t, got, 1, file)
		assert.Equal(t, wantFree, !got[0].Approval, file)
		if got[0].Approval {
			assert.NotEmpty(t, got[0].Gives, file)
		}
	}
}

// TestLongNamesAreRefused: a question names all that a file sets, and a name that fills
// the screen would push the others off it.
func TestLongNamesAreRefused(t *testing.T) {
	_, err := config.Parse(config.ProjectFile, []byte("env: {"+strings.Repeat("A", 128)+": x}"), config.Project)
	require.NoError(t, err)
	_, err = config.Parse(config.ProjectFile, []byte("env: {"+strings.Repeat("A", 129)+": x}"), config.Project)
	require.ErrorContains(t, err, "longer than 128 bytes")
	require.Less(t, len(err.Error()), 400)
}

// TestEveryKeyIsDecided: a row of the table is for the user alone, or says what a repository
// gains by it.
func TestEveryKeyIsDecided(t *testing.T) {
	for _, k := range config.Keys() {
		assert.Equal(t, k.Own, k.Gives == "", k.Name)
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for file, want := range map[string]string{
		"memroy: 4g":                           `c.yaml:1: "memroy" is not a setting`,
		"a: 1\nmemory: 4g":                     `c.yaml:1: "a" is not a setting`,
		"memory: 4g\nmemory: 5g":               `c.yaml:2: "memory" is there twice; the first is in line 1`,
		"env: {A: x, A: y}":                    `"A" is there twice`,
		"memory: ''":                           "empty value",
		"memory:":                              "empty value",
		"image: [4g]":                          "image takes a single value",
		"toolchain: []":                        "takes from 1 to 64 values",
		"toolchain: {rust: 1}":                 "toolchain takes a list of values, as in toolchain: [VALUE, VALUE]",
		"toolchain: [[rust]]":                  "toolchain takes a list of values",
		"no-toolchain-cache: 'true'":           "takes true or false",
		"no-toolchain-cache: yes":              "takes true or false",
		"memory: !!binary NGc=":                "tags are not taken",
		"memory: !x 4g":                        "tags are not taken",
		"memory: &a 4g":                        "anchors and aliases are not taken",
		"env: {A: &a x, B: *a}":                "anchors and aliases are not taken",
		"toolchain: &a [rust]":                 "anchors and aliases are not taken",
		"<<: {memory: 4g}":                     `"<<" is not a setting`,
		"- memory":                             "takes a mapping",
		"memory":                               "takes a mapping",
		"{memory: 4g}: 1":                      "takes a single value",
		"memory: 4g\n---\nmemory: 5g":          "more than one document",
		"memory: \"4g\\e[31m\"":                "control character",
		"memory: \"4g\\u0085\"":                "control character",
		"env: 1":                               "takes a mapping",
		"env: {PATH: /x}":                      "cannot be set",
		"env: {AIFO_CODER_IMAGE: x}":           "cannot be set",
		"env: {LD_PRELOAD: x}":                 "cannot be set",
		"env: {DOCKER_HOST: x}":                "cannot be set",
		"env: {'A=B': x}":                      "cannot be set",
		"env: {A: {b: c}}":                     "A takes a single value",
		"memory: [":                            "c.yaml:",
		"\tmemory: 4g":                         "c.yaml:",
		"memory: " + strings.Repeat("x", 5000): "longer than",
		"a: " + deep:                           "c.yaml",
		"toolchain: [" + strings.Repeat("a,", 65) + "]": "takes from 1 to 64",
		"dry-run: true":                    "not a setting",
		"workspace: /":                     "not a setting",
		"notifications-command: [/bin/sh]": "not a setting",
	} {
		for _, from := range []config.Origin{config.User, config.Project} {
			got, err := config.Parse("c.yaml", []byte(file), from)
			require.Error(t, err, "%.40q", file)
			assert.Contains(t, err.Error(), want, "%.40q", file)
			assert.Empty(t, got)
		}
	}
	for file, want := range map[string]string{
		"color: never":                   "color is for your own configuration file, and no repository's",
		"quiet: true":                    "no repository's",
		"toolchain-define: x.yaml":       "no repository's",
		"env: {GIT_SSH_COMMAND: x}":      "no repository may set",
		"env: {GIT_CONFIG_COUNT: '1'}":   "no repository may set",
		"env: {FOO: a, GIT_DIR: /other}": "no repository may set",
	} {
		_, err := config.Parse("p.yaml", []byte(file), config.Project)
		require.ErrorContains(t, err, want, file)
		_, err = config.Parse("c.yaml", []byte(file), config.User)
		require.NoError(t, err, file)
	}
}

// TestAliasBomb: nine levels of ten references each.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: &a0 [x]\n")
	for i := range 9 {
		b.WriteString("b: &a" + string(rune('1'+i)) + " [" + strings.Repeat("*a"+string(rune('0'+i))+", ", 10) + "]\n")
	}
	_, err := config.Parse("c.yaml", []byte(b.String()), config.Project)
	require.Error(t, err)
}

func TestParseEnv(t *testing.T) {
	const file = `# the application's own
DATABASE_URL=postgres://x
export AIDER_MODEL=gpt-x   # a comment
ANTHROPIC_MODEL='claude-x'
AIFO_RUST_TOOLCHAIN_VERSION="1.80"
AIFO_CODER_IMAGE=evil/image
AIFO_NODE_TOOLCHAIN_IMAGE=evil/node
OPENAI_API_KEY=sk-123
OPENAI_BASE_URL=https://evil
HOME=/tmp
PATH=/tmp
DOCKER_HOST=tcp://evil
GIT_SSH=/x
LD_PRELOAD=/x
AIFO_NOTIFICATIONS_CONFIG=/x
AIFO_ENV_FOO=x
AIFO_CODER_COLOR=always
AIFO_TOOLCHAIN_DEFINE=evil.yaml
AIFO_CODER_CONFIG_HOST_DIR=/x
AIFO_CODER_CA_BUNDLE=/x
LLM_MODEL=openrouter/x
AIDER_WEAK_MODEL=https://evil/model
GEMINI_MODEL=$(id)
not a line
`
	got := config.ParseEnv(config.EnvFile, []byte(file))
	free, waiting := names(got)
	assert.Equal(t, []string{"AIDER_MODEL", "ANTHROPIC_MODEL", "AIFO_RUST_TOOLCHAIN_VERSION"}, free)
	assert.Equal(t, []string{"AIFO_CODER_IMAGE", "AIFO_NODE_TOOLCHAIN_IMAGE", "OPENAI_API_KEY", "OPENAI_BASE_URL", "LLM_MODEL"}, waiting)
	assert.Equal(t, "AIFO_ENV_AIDER_MODEL", got[0].Variable)
	assert.Equal(t, []string{"gpt-x"}, got[0].Values)
	assert.Equal(t, ".env:3", got[0].Place())
	assert.Equal(t, []string{"1.80"}, got[2].Values)
	assert.Equal(t, "OPENAI_API_KEY", got[5].Variable)
	assert.Equal(t, "(hidden)", got[5].Value())
}

func TestParseEnvValues(t *testing.T) {
	for line, want := range map[string]string{
		"AIDER_MODEL=a":                "a",
		"  AIDER_MODEL = a  ":          "a",
		"AIDER_MODEL=a\r":              "a",
		"AIDER_MODEL=a#b":              "", // # is no letter of a model's name
		"AIDER_MODEL='a' # c":          "a",
		"AIDER_MODEL=\"a\"":            "a",
		"AIDER_MODEL=":                 "",
		"AIDER_MODEL=# c":              "",
		"AIDER_MODEL='a":               "",
		"AIDER_MODEL='a'b":             "",
		"AIDER_MODEL=\"$A\"":           "",
		"AIDER_MODEL=\"`id`\"":         "",
		"AIDER_MODEL=a\nAIDER_MODEL=b": "b",
		"AIDER_MODEL=a\x1b[31m":        "",
	} {
		got := config.ParseEnv(".env", []byte(line))
		if want == "" {
			assert.Empty(t, got, "%q", line)
			continue
		}
		require.Len(t, got, 1, "%q", line)
		assert.Equal(t, []string{want}, got[0].Values, "%q", line)
	}
}

// effective returns what counts, as NAME=VALUE@FILE.
func effective(flags []string, env map[string]string, layers ...[]config.Setting) []string {
	above := config.Above{
		Flag: func(name string) bool {
			for _, f := range flags {
				if f == name {
					return true
				}
			}
			return false
		},
		Env: func(name string) string { return env[name] },
	}
	var got []string
	for _, s := range config.Effective(above, layers...) {
		got = append(got, s.Name+"="+strings.Join(s.Values, ",")+"@"+s.File)
	}
	return got
}

func TestEffective(t *testing.T) {
	parse := func(name, text string, from config.Origin) []config.Setting {
		s, err := config.Parse(name, []byte(text), from)
		require.NoError(t, err)
		return s
	}
	project := parse("p", "toolchain: [rust, node]\nimage: p/i\nenv: {AIDER_MODEL: p, OPENAI_API_KEY: p}", config.Project)
	dotenv := config.ParseEnv("e", []byte("AIFO_CODER_IMAGE=e/i\nAIFO_CODER_IMAGE_FLAVOR=slim\nAIDER_MODEL=e\nANTHROPIC_MODEL=e\nAIFO_CODER_AGENT_IMAGE=e/j"))
	user := parse("u", "toolchain: go\nimage: u/i\nflavor: full\nmemory: 1g\nenv: {AIDER_MODEL: u, ANTHROPIC_MODEL: u, EDITOR: u}", config.User)

	assert.Equal(t, []string{
		"toolchain=rust,node@p", "image=p/i@p", "env.AIDER_MODEL=p@p", "env.OPENAI_API_KEY=p@p",
		"AIFO_CODER_IMAGE_FLAVOR=slim@e", "ANTHROPIC_MODEL=e@e",
		"memory=1g@u", "env.EDITOR=u@u",
	}, effective(nil, nil, project, dotenv, user), "each file replaces what is below it as a whole")

	assert.Equal(t, []string{
		"AIFO_CODER_IMAGE=e/i@e", "AIFO_CODER_IMAGE_FLAVOR=slim@e", "AIDER_MODEL=e@e", "ANTHROPIC_MODEL=e@e", "AIFO_CODER_AGENT_IMAGE=e/j@e",
	}, effective(nil, nil, dotenv))

	keys := config.ParseEnv("e", []byte("OPENAI_API_KEY=e\nLLM_MODEL=e"))
	mine := parse("u", "env: {OPENAI_API_KEY: u, LLM_MODEL: u}", config.User)
	assert.Equal(t, []string{"OPENAI_API_KEY=e@e", "LLM_MODEL=e@e"}, effective(nil, nil, keys, mine))
	assert.Equal(t, []string{"env.OPENAI_API_KEY=u@u", "env.LLM_MODEL=u@u"}, effective(nil, nil, mine, keys))

	got := effective([]string{"toolchain-image", "memory"}, map[string]string{
		"AIFO_CODER_AGENT_IMAGE": "x", "AIFO_CODER_IMAGE_FLAVOR": "full", "AIFO_ENV_AIDER_MODEL": "x", "OPENAI_API_KEY": "x", "ANTHROPIC_MODEL": "x", "EDITOR": "x",
	}, project, dotenv, user)
	assert.Equal(t, []string{
		"ANTHROPIC_MODEL=e@e", // the caller's reaches no agent by itself
		"env.EDITOR=u@u",      // says what AIFO_ENV_EDITOR says, which beats EDITOR
	}, got)
	assert.Equal(t, []string{"image=u/i@u"}, effective([]string{"toolchain", "memory", "flavor"}, map[string]string{
		"AIFO_ENV_AIDER_MODEL": "x", "AIFO_ENV_ANTHROPIC_MODEL": "x", "AIFO_ENV_EDITOR": "x",
	}, user))
}

func TestValue(t *testing.T) {
	for _, c := range [][3]string{
		{"env.FOO", "plain", "plain"},
		{"OPENAI_BASE_URL", "https://me:secret@host/x", "https://me:xxxxx@host/x"},
		{"env.MY_TOKEN", "abc", "(hidden)"},
		{"env.FOO", "a\u202eb", `"a\u202eb"`},
		{"env.FOO", "a  b", "a  b"},
	} {
		assert.Equal(t, c[2], config.Setting{Name: c[0], Values: []string{c[1]}}.Value())
	}
}

// TestShown: what wraps at the edge of a terminal does not look like a line of ours.
func TestShown(t *testing.T) {
	for _, c := range [][3]string{
		{"env.FOO", "plain", "plain"},
		{"env.MY_TOKEN", "a b", "(hidden)"},
		{"env.FOO", "a\u202eb", `"a\u202eb"`},
		{"env.FOO", "a b", `"a b"`},
		{"env.FOO", "x    toolchain = rust", `"x\x20\x20\x20\x20toolchain = rust"`},
		{"env.FOO", "x   y", `"x\x20\x20 y"`},
	} {
		assert.Equal(t, c[2], config.Setting{Name: c[0], Values: []string{c[1]}}.Shown())
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"memory: 4g", "env: {A: &a b, C: *a}", "toolchain: [a, b]", "? [a]\n: b", "a: !!int 'x'", "<<: *a", "---\n...\n---"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := config.Parse("f", data, config.Project)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x1b\x07\r") {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		for _, s := range got {
			if len(s.Values) == 0 || s.Line == 0 || s.Key == "" && s.Variable == "" {
				t.Errorf("%+v", s)
			}
			for _, v := range s.Values {
				if v == "" || strings.ContainsAny(v, "\x00\x1b\n") {
					t.Errorf("value %q", v)
				}
			}
		}
	})
}

func FuzzParseEnv(f *testing.F) {
	f.Add([]byte("AIDER_MODEL='a'\nexport OPENAI_API_KEY=\"b\" # c"))
	f.Add([]byte("AIDER_MODEL=\"a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range config.ParseEnv("f", data) {
			if s.Variable == "" || len(s.Values) != 1 || s.Values[0] == "" || strings.ContainsAny(s.Values[0], "\x00\x1b\n\r") {
				t.Errorf("%+v", s)
			}
		}
	})
}
