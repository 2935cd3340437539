package plan_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// resolution is what images are chosen from, and what comes of it.
type resolution struct {
	what    string // an agent, or a toolchain as --toolchain takes it
	env     string // NAME=value words
	present string
	ignore  bool
	image   string // --image
	want    string
	source  string
}

const (
	ownRust  = "aifo-coder-toolchain-rust:latest"
	internal = "AIFO_CODER_INTERNAL_REGISTRY_PREFIX"
	mirror   = "AIFO_CODER_MIRROR_REGISTRY_PREFIX"
)

var toolchainImages = []resolution{
	{what: "rust", want: "rust:1.80-slim", source: "default"},
	{what: "rust", present: "rust:1.80-slim", want: "rust:1.80-slim", source: "default"},
	{what: "rust", present: ownRust, want: ownRust, source: "local"},
	{what: "rust", present: "aifo-coder-toolchain-rust:1.80 aifo-coder-toolchain-node:latest", want: "rust:1.80-slim", source: "default"},
	{what: "rust@1.80", present: ownRust, want: "rust:1.80-slim", source: "--toolchain"},
	{what: "rust=x:1", present: ownRust, want: "x:1", source: "--toolchain"},
	{what: "rust@1.79=x:1", want: "x:1", source: "--toolchain"},
	{what: "node", want: "node:22-bookworm-slim", source: "default"},
	{what: "node@20", present: "aifo-coder-toolchain-node:latest", want: "node:20-bookworm-slim", source: "--toolchain"},
	{what: "python", want: "python:3.12-slim", source: "default"},
	{what: "go", want: "golang:1.22-bookworm", source: "default"},
	{what: "c-cpp", want: "aifo-cpp-toolchain:latest", source: "default"},
	{what: "c-cpp", present: "aifo-cpp-toolchain:latest", want: "aifo-cpp-toolchain:latest", source: "local"},
	{what: "c-cpp@2", want: "aifo-cpp-toolchain:2", source: "--toolchain"},

	{what: "rust", env: "AIFO_RUST_TOOLCHAIN_IMAGE=x:1 AIFO_RUST_TOOLCHAIN_VERSION=1.79 AIFO_TAG=t", present: ownRust, want: "x:1", source: "AIFO_RUST_TOOLCHAIN_IMAGE"},
	{what: "rust", env: "AIFO_RUST_TOOLCHAIN_VERSION=1.79 AIFO_TAG=t", present: ownRust, want: "rust:1.79-slim", source: "AIFO_RUST_TOOLCHAIN_VERSION"},
	{what: "rust@1.78", env: "AIFO_RUST_TOOLCHAIN_IMAGE=x:1", want: "rust:1.78-slim", source: "--toolchain"},
	{what: "rust", env: "AIFO_RUST_TOOLCHAIN_USE_OFFICIAL=1 AIFO_TAG=t", present: ownRust, want: "rust:1.80-slim", source: "AIFO_RUST_TOOLCHAIN_USE_OFFICIAL"},
	{what: "rust", env: "AIFO_RUST_TOOLCHAIN_USE_OFFICIAL=0", present: ownRust, want: ownRust, source: "local"},
	{what: "c-cpp", env: "AIFO_CPP_TOOLCHAIN_USE_OFFICIAL=1", want: "aifo-cpp-toolchain:latest", source: "default"},
	{what: "c-cpp", env: "AIFO_CCPP_TOOLCHAIN_IMAGE=y:1", want: "y:1", source: "AIFO_CCPP_TOOLCHAIN_IMAGE"},
	{what: "c-cpp", env: "AIFO_CCPP_TOOLCHAIN_IMAGE=y:1 AIFO_CPP_TOOLCHAIN_IMAGE=x:1", want: "x:1", source: "AIFO_CPP_TOOLCHAIN_IMAGE"},
	{what: "go", env: "AIFO_GO_TOOLCHAIN_VERSION=1.23", want: "golang:1.23-bookworm", source: "AIFO_GO_TOOLCHAIN_VERSION"},

	{what: "rust", env: "RUST_TOOLCHAIN_TAG=a AIFO_TOOLCHAIN_TAG=b AIFO_TAG=c", present: ownRust, want: "aifo-coder-toolchain-rust:a", source: "RUST_TOOLCHAIN_TAG"},
	{what: "rust", env: "AIFO_TOOLCHAIN_TAG=b AIFO_TAG=c", present: ownRust, want: "aifo-coder-toolchain-rust:b", source: "AIFO_TOOLCHAIN_TAG"},
	{what: "rust", env: "AIFO_TAG=c", present: ownRust, want: "aifo-coder-toolchain-rust:c", source: "AIFO_TAG"},
	{what: "c-cpp", env: "CPP_TOOLCHAIN_TAG=a", want: "aifo-cpp-toolchain:a", source: "CPP_TOOLCHAIN_TAG"},

	{what: "rust", env: internal + "=reg.example", want: "reg.example/" + ownRust, source: internal},
	{what: "rust", env: internal + "=reg.example//", want: "reg.example/" + ownRust, source: internal},
	{what: "rust", env: internal + "=/", want: "rust:1.80-slim", source: "default"},
	{what: "rust", env: internal + "=reg.example", present: ownRust, want: ownRust, source: "local"},
	{what: "rust", env: internal + "=reg.example", present: ownRust, ignore: true, want: "reg.example/" + ownRust, source: internal},
	{what: "rust@1.80", env: internal + "=reg.example", want: "rust:1.80-slim", source: "--toolchain"},
	{what: "c-cpp@2", env: internal + "=reg.example/a/", want: "reg.example/a/aifo-cpp-toolchain:2", source: "--toolchain"},
	{what: "rust=rust:1", env: internal + "=reg.example " + mirror + "=m.example", want: "rust:1", source: "--toolchain"},

	{what: "rust", env: mirror + "=m.example/hub", want: "m.example/hub/rust:1.80-slim", source: mirror},
	{what: "rust@1.79", env: mirror + "=m.example/", want: "m.example/rust:1.79-slim", source: "--toolchain"},
	{what: "rust", env: mirror + "=m.example", present: "rust:1.80-slim", want: "rust:1.80-slim", source: "local"},
	{what: "rust", env: mirror + "=m.example", present: "rust:1.80-slim", ignore: true, want: "m.example/rust:1.80-slim", source: mirror},
	{what: "c-cpp", env: mirror + "=m.example", want: "aifo-cpp-toolchain:latest", source: "default"},
	{what: "rust", present: ownRust, ignore: true, want: "rust:1.80-slim", source: "default"},

	{what: "java", env: "AIFO_TAG=t " + internal + "=reg.example", want: "temurin:21", source: "default"},
	{what: "java", env: mirror + "=m.example", want: "m.example/temurin:21", source: mirror},
	{what: "dot-net", env: mirror + "=m.example", want: "reg.example/sdk:8", source: "default"},
	{what: "dot-net", env: "AIFO_DOT_NET_TOOLCHAIN_VERSION=9", want: "reg.example/sdk:9", source: "AIFO_DOT_NET_TOOLCHAIN_VERSION"},
}

var agentImages = []resolution{
	{what: "aider", want: "aifo-coder-aider:latest", source: "default"},
	{what: "aider", present: "aifo-coder-aider:latest", want: "aifo-coder-aider:latest", source: "local"},
	{what: "aider", image: "i:1", env: "AIFO_CODER_IMAGE=x:1 AIFO_CODER_IMAGE_TAG=t", want: "i:1", source: "--image"},
	{what: "aider", env: "AIFO_CODER_IMAGE=x:1 AIFO_CODER_AGENT_IMAGE=y:1 AIFO_CODER_IMAGE_TAG=t", present: "aifo-coder-aider:latest", want: "x:1", source: "AIFO_CODER_IMAGE"},
	{what: "aider", env: "AIFO_CODER_AGENT_IMAGE=y:1 AIFO_TAG=t", want: "y:1", source: "AIFO_CODER_AGENT_IMAGE"},
	{what: "aider", env: "AIFO_CODER_IMAGE_TAG=a AIFO_TAG=b AIFO_CODER_AGENT_TAG=c", want: "aifo-coder-aider:a", source: "AIFO_CODER_IMAGE_TAG"},
	{what: "aider", env: "AIFO_TAG=b AIFO_CODER_AGENT_TAG=c", want: "aifo-coder-aider:b", source: "AIFO_TAG"},
	{what: "aider", env: "AIFO_CODER_AGENT_TAG=c " + internal + "=reg.example", want: "reg.example/aifo-coder-aider:c", source: "AIFO_CODER_AGENT_TAG"},
	{what: "aider", env: internal + "=reg.example", present: "aifo-coder-aider:latest", ignore: true, want: "reg.example/aifo-coder-aider:latest", source: internal},
	{what: "aider", env: mirror + "=m.example", want: "aifo-coder-aider:latest", source: "default"},
	{what: "aider", env: "AIFO_CODER_IMAGE_PREFIX=ours", want: "ours-aider:latest", source: "AIFO_CODER_IMAGE_PREFIX"},
	{what: "aider", env: "AIFO_CODER_IMAGE_PREFIX=r.example/ours " + internal + "=reg.example", want: "r.example/ours-aider:latest", source: "AIFO_CODER_IMAGE_PREFIX"},
}

func (r resolution) inputs() (plan.Options, hostfacts.Env, func(string) bool) {
	present := words(r.present)
	return plan.Options{Image: r.image, IgnoreLocal: r.ignore}, hostfacts.EnvOf(words(r.env)),
		func(ref string) bool { return slices.Contains(present, ref) }
}

func TestToolchainImages(t *testing.T) {
	kinds, err := toolchain.Set{}.With("f", []byte("- {kind: java, image: 'temurin:{version}', version: '21', tools: [java]}\n"+
		"- {kind: dot-net, image: 'reg.example/sdk:{version}', version: '8', tools: [dotnet]}\n"))
	require.NoError(t, err)
	for _, r := range toolchainImages {
		t.Run(r.what+" "+r.env, func(t *testing.T) {
			s, err := kinds.ParseOne(r.what)
			require.NoError(t, err)
			o, env, present := r.inputs()
			o.Toolchains = []toolchain.Selection{s}
			asked := plan.Images(o, env)
			got := plan.ToolchainImage(s, o, env, func(ref string) bool {
				// A caller looks them all up beforehand.
				require.Contains(t, asked, ref)
				return present(ref)
			})
			require.Equal(t, []string{r.want, r.source}, []string{got.Ref, got.Source})
			require.Contains(t, asked, got.Ref)
		})
	}
}

func TestAgentImages(t *testing.T) {
	for _, r := range agentImages {
		t.Run(r.env, func(t *testing.T) {
			a, ok := agent.Lookup(r.what)
			require.True(t, ok)
			o, env, present := r.inputs()
			o.Agent = &a
			got := plan.AgentImage(a, o, env, present)
			require.Equal(t, []string{r.want, r.source}, []string{got.Ref, got.Source})
			require.Contains(t, plan.Images(o, env), got.Ref)
		})
	}
}

// TestPullsAndRegistries: what is ours comes from a registry that is named, and
// from no other.
func TestPullsAndRegistries(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "c-cpp", "go")}
	f := facts()
	f.Env[internal], f.Env[mirror] = "reg.example", "m.example"
	p := plan.Build(o, f, "id")
	require.Equal(t, []string{"reg.example/aifo-cpp-toolchain:latest", "reg.example/aifo-coder-toolchain-go:latest", "reg.example/aifo-coder-aider:latest"}, p.Pulls)
	require.Empty(t, p.Missing)

	o.IgnoreLocal = true
	p = plan.Build(o, f, "id")
	require.Contains(t, p.Pulls, "reg.example/"+ownRust)

	delete(f.Env, internal)
	p = plan.Build(o, f, "id")
	require.Equal(t, []string{"m.example/rust:1.80-slim", "m.example/golang:1.22-bookworm"}, p.Pulls)
	require.Equal(t, []plan.MissingImage{
		{Ref: "aifo-cpp-toolchain:latest", Target: "build-toolchain-cpp", Ignored: true}, {Ref: "aifo-coder-aider:latest", Target: "build-aider", Ignored: true},
	}, p.Missing)

	f.Env["AIFO_CODER_IMAGE_PREFIX"] = "ours"
	p = plan.Build(plan.Options{Agent: mustAgent(t, "aider")}, f, "id")
	require.Empty(t, p.Pulls, "another name of ours is still nobody else's")
	require.Equal(t, []plan.MissingImage{{Ref: "ours-aider:latest"}}, p.Missing)
}

// TestHintNamesWhatHelps: make builds an image with any tag, but has to be told.
func TestHintNamesWhatHelps(t *testing.T) {
	f := facts()
	f.Env["AIFO_TAG"] = "v9"
	p := plan.Build(plan.Options{Agent: mustAgent(t, "codex"), Toolchains: selected(t, "rust")}, f, "id")
	require.Len(t, p.Missing, 2)
	require.Contains(t, p.Missing[0].Hint(), "AIFO_CODER_BUILD_TAG=v9 make build-toolchain-rust")
	require.Contains(t, p.Missing[1].Hint(), "AIFO_CODER_BUILD_TAG=v9 make build-codex")

	p = plan.Build(plan.Options{Toolchains: selected(t, "c-cpp@2"), Args: []string{"x"}}, f, "id")
	require.Equal(t, []plan.MissingImage{{Ref: "aifo-cpp-toolchain:2"}}, p.Missing, "a version is not a tag of ours")

	f.Env["AIFO_TAG"], f.Env["AIFO_CODER_IMAGE_PREFIX"] = "", "ours"
	p = plan.Build(plan.Options{Agent: mustAgent(t, "codex")}, f, "id")
	require.Equal(t, []plan.MissingImage{{Ref: "ours-codex:latest"}}, p.Missing)
	require.Contains(t, p.Missing[0].Hint(), internal)
}

func TestAllToolchains(t *testing.T) {
	var o plan.Options
	rust, err := o.Kinds.ParseOne("rust@1.80")
	require.NoError(t, err)
	o.Toolchains = []toolchain.Selection{rust}
	var names []string
	for _, s := range o.AllToolchains() {
		names = append(names, s.Kind.Name)
		if s.Kind.Name == "rust" {
			require.Equal(t, rust, s)
		} else {
			require.Equal(t, toolchain.Selection{Kind: s.Kind}, s)
		}
	}
	require.Equal(t, o.Kinds.Names(), names)
}

func TestAllImages(t *testing.T) {
	shell, _ := agent.Lookup("shell")
	codex, _ := agent.Lookup("codex")
	var o plan.Options
	o.Toolchains = o.AllToolchains()
	got := plan.AllImages(o, hostfacts.Env{}, []agent.Agent{shell, codex, shell})
	require.True(t, slices.IsSorted(got))
	require.Equal(t, got, slices.Compact(slices.Clone(got)))
	for _, a := range []agent.Agent{shell, codex} {
		o.Agent = &a
		require.Subset(t, got, plan.Images(o, hostfacts.Env{}))
	}
}
