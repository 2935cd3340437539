package toolchain_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// builtin holds the built-in kinds.
var builtin toolchain.Set

// spelled returns the selections as --toolchain takes them.
func spelled(list []toolchain.Selection) []string {
	specs := make([]string, 0, len(list))
	for _, s := range list {
		specs = append(specs, s.Spec())
	}
	return specs
}

func TestSelect(t *testing.T) {
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		name  string
		flags toolchain.Flags
		want  []string
	}{
		{"nothing", toolchain.Flags{}, []string{}},
		{"kind", toolchain.Flags{Toolchain: []string{"rust"}}, []string{"rust"}},
		{"version", toolchain.Flags{Toolchain: []string{"rust@1.80"}}, []string{"rust@1.80"}},
		{"image", toolchain.Flags{Toolchain: []string{"rust=my/rust:1"}}, []string{"rust=my/rust:1"}},
		{"version and image", toolchain.Flags{Toolchain: []string{"rust@1.80=my/rust:1"}}, []string{"rust@1.80=my/rust:1"}},
		{"digest", toolchain.Flags{Toolchain: []string{"rust=my/rust" + digest}}, []string{"rust=my/rust" + digest}},
		{"tag and digest", toolchain.Flags{Toolchain: []string{"rust=my/rust:2" + digest}}, []string{"rust=my/rust:2" + digest}},
		{"version, image and digest", toolchain.Flags{Toolchain: []string{"rust@1=r" + digest}}, []string{"rust@1=r" + digest}},
		{"port", toolchain.Flags{Toolchain: []string{"go=localhost:5000/go:1.22"}}, []string{"go=localhost:5000/go:1.22"}},
		{"odd version", toolchain.Flags{Toolchain: []string{"python@3.13-rc_1.Z"}}, []string{"python@3.13-rc_1.Z"}},
		{"same twice", toolchain.Flags{Toolchain: []string{"rust", "rust"}}, []string{"rust"}},
		{"same version twice", toolchain.Flags{Toolchain: []string{"rust@1.80", "rust@1.80"}}, []string{"rust@1.80"}},
		{"same image twice", toolchain.Flags{Toolchain: []string{"rust=r:1"}, Image: []string{"rust=r:1"}}, []string{"rust=r:1"}},
		{"alias merges with its kind", toolchain.Flags{Toolchain: []string{"node", "ts@20"}}, []string{"node@20"}},
		{"order of first sight", toolchain.Flags{
			Toolchain: []string{"python", "rust"}, Spec: []string{"go@1.22", "rust@1.80"}, Image: []string{"c=x:1", "py=p:1"},
		}, []string{"python=p:1", "rust@1.80", "go@1.22", "c-cpp=x:1"}},
		{"spec", toolchain.Flags{Spec: []string{"node@20"}}, []string{"node@20"}},
		{"image alone", toolchain.Flags{Image: []string{"rust=r:1"}}, []string{"rust=r:1"}},
		{"image alone with digest", toolchain.Flags{Image: []string{"rust=r" + digest}}, []string{"rust=r" + digest}},
		{"upper case", toolchain.Flags{Toolchain: []string{"RUST@1.80", "C++"}}, []string{"rust@1.80", "c-cpp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := builtin.Select(tt.flags)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.want, spelled(got)))
		})
	}
}

func TestSelectRefuses(t *testing.T) {
	one := func(s string) toolchain.Flags { return toolchain.Flags{Toolchain: []string{s}} }
	for _, tt := range []struct {
		name  string
		flags toolchain.Flags
		want  string // part of the message
	}{
		{"unknown kind", one("haskell"), `unknown toolchain kind "haskell"; kinds are rust, node, python, c-cpp, go`},
		{"near miss", one("rusty"), `unknown toolchain kind "rusty"`},
		{"empty", one(""), "the kind is empty"},
		{"space", one(" rust"), `unknown toolchain kind " rust"`},
		{"only a version", one("@1.80"), "the kind is empty"},
		{"only an image", one("=x"), "the kind is empty"},
		{"empty version", one("rust@"), `the version after "rust@" is empty`},
		{"empty version before an image", one("rust@=x"), `the version after "rust@" is empty`},
		{"empty image", one("rust="), "the image is empty"},
		{"two versions", one("rust@1@2"), `"1@2" is not a version`},
		{"version with a slash", one("rust@a/b"), `"a/b" is not a version`},
		{"version with a colon", one("rust@1:2"), `"1:2" is not a version`},
		{"version with a space", one("rust@1 2"), `"1 2" is not a version`},
		{"version with a newline", one("rust@1\n"), `is not a version`},
		{"version like a flag", one("rust@-x"), `"-x" is not a version`},
		{"version too long", one("rust@" + strings.Repeat("1", 102)), "is not a version"},
		{"image like a flag", one("rust=--privileged"), `"--privileged" is not an image reference`},
		{"image with =", one("rust=a=b"), `"a=b" is not an image reference`},
		{"short digest", one("rust=a@sha256:abc"), "is not an image reference"},
		{"two kinds in one", one("rust,node"), `unknown toolchain kind "rust,node"`},
		{"two versions of one kind", toolchain.Flags{Toolchain: []string{"rust@1", "rust@2"}}, "two versions of the toolchain rust: 1 and 2"},
		{"two versions by alias", toolchain.Flags{Toolchain: []string{"node@1"}, Spec: []string{"ts@2"}}, "two versions of the toolchain node: 1 and 2"},
		{"two images for one kind", toolchain.Flags{Image: []string{"rust=a", "rust=b"}}, "two images for the toolchain rust: a and b"},
		{"two images by different flags", toolchain.Flags{Toolchain: []string{"go=a"}, Image: []string{"golang=b"}}, "two images for the toolchain go: a and b"},
		{"image in the spec flag", toolchain.Flags{Spec: []string{"rust=a"}}, "--toolchain-image KIND=IMAGE"},
		{"empty spec", toolchain.Flags{Spec: []string{"rust@"}}, `--toolchain-spec "rust@"`},
		{"no image in the image flag", toolchain.Flags{Image: []string{"rust"}}, "takes KIND=IMAGE"},
		{"version in the image flag", toolchain.Flags{Image: []string{"rust@1=a"}}, `unknown toolchain kind "rust@1"`},
		{"empty image in the image flag", toolchain.Flags{Image: []string{"rust="}}, "the image is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := builtin.Select(tt.flags)
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, got)
		})
	}
}

func TestLongestVersion(t *testing.T) {
	spec := "rust@" + strings.Repeat("1", 101)
	got, err := builtin.Select(toolchain.Flags{Toolchain: []string{spec}})
	require.NoError(t, err)
	require.Equal(t, []string{spec}, spelled(got))
}

func TestLookup(t *testing.T) {
	names := map[string][]string{
		"rust":   {"rust", "Rust"},
		"node":   {"node", "typescript", "ts", "bun", "TypeScript"},
		"python": {"python", "py", "PY"},
		"c-cpp":  {"c-cpp", "c", "cpp", "c++", "c_cpp", "C++"},
		"go":     {"go", "golang", "GoLang"},
	}
	for want, spellings := range names {
		for _, s := range spellings {
			k, ok := builtin.Lookup(s)
			require.True(t, ok, s)
			require.Equal(t, want, k.Name, s)
		}
	}
	for _, s := range []string{"", "rs", "nodejs", "python3", "c-", "+", "g", "rust ", "c--cpp", "cc", "javascript"} {
		_, ok := builtin.Lookup(s)
		require.False(t, ok, s)
	}
	require.Equal(t, []string{"rust", "node", "python", "c-cpp", "go"}, builtin.Names())
}

func TestParseOne(t *testing.T) {
	for _, spec := range []string{"rust", "rust@1.80", "node=a/b:1", "go@1.22=x"} {
		s, err := builtin.ParseOne(spec)
		require.NoError(t, err)
		require.Equal(t, spec, s.Spec())
	}
	_, err := builtin.ParseOne("rust@")
	require.ErrorContains(t, err, `toolchain "rust@"`)
}

func TestCandidates(t *testing.T) {
	dev := []string{"c-cpp", "rust", "go", "node", "python"}
	want := map[string][]string{
		"cargo": {"rust"}, "rustc": {"rust"}, "rust-analyzer": {"rust"},
		"node": {"node"}, "npm": {"node"}, "npx": {"node"}, "yarn": {"node"}, "pnpm": {"node"},
		"deno": {"node"}, "bun": {"node"}, "tsc": {"node"}, "ts-node": {"node"},
		"python": {"python"}, "python3": {"python"}, "pip": {"python"}, "pip3": {"python"}, "uv": {"python"}, "uvx": {"python"},
		"go": {"go"}, "gofmt": {"go"}, "gopls": {"go"},
		"make": dev, "cmake": dev, "ctest": dev, "cpack": dev, "ninja": dev, "pkg-config": dev, "gcc": dev, "g++": dev,
		"clang": dev, "clang++": dev, "cc": dev, "c++": dev, "ccache": dev, "clangd": dev, "gdb": dev,
		"ar": dev, "nm": dev, "objdump": dev, "ranlib": dev, "strip": dev, "hadolint": dev,
	}
	got := map[string][]string{}
	for tool := range want {
		got[tool] = builtin.Candidates(tool)
	}
	require.Empty(t, cmp.Diff(want, got))
	for _, tool := range []string{"", "say", "sh", "Cargo", "cargo ", "/usr/bin/cargo", "python2", "rust", "golang", "git"} {
		require.Nil(t, builtin.Candidates(tool), tool)
	}
}

// TestDataIsNotShared: what a caller does to an answer stays with the caller.
func TestDataIsNotShared(t *testing.T) {
	builtin.Candidates("make")[0] = "changed"
	require.Equal(t, "c-cpp", builtin.Candidates("make")[0])
	builtin.Kinds()[0].Name = "changed"
	require.Equal(t, "rust", builtin.Kinds()[0].Name)
	builtin.Names()[0] = "changed"
	require.Equal(t, "rust", builtin.Names()[0])
}

func TestVolumes(t *testing.T) {
	want := []string{"aifo-cargo-registry", "aifo-cargo-git", "aifo-npm-cache", "aifo-pip-cache", "aifo-ccache", "aifo-go"}
	require.Equal(t, want, builtin.Volumes())
	for _, k := range builtin.Kinds() {
		for _, c := range k.Caches {
			require.Equal(t, c.Volume, "aifo-"+c.Name())
		}
	}
}
