// Package toolchain knows the toolchain kinds: their names, tools, images,
// caches and environment. It is a table of data with the few questions that
// the rest of the program asks of it; it never looks at the host.
package toolchain

import "strings"

// Kind is one language toolchain, served by one sidecar.
type Kind struct {
	Name    string   // canonical name, used in container names: "rust"
	Aliases []string // other accepted spellings, lower case

	// FirstParty is the image that images/ builds, preferred when it is
	// present locally and no version was asked for. MakeTarget builds it.
	FirstParty string
	MakeTarget string
	// Official is the image of a version, with {version} in its place.
	// Empty: versions are tags of the first-party repository.
	Official       string
	DefaultVersion string

	Tools  []string // tools that only this kind serves
	Caches []Cache
	Env    map[string]string // set in the sidecar
}

// Cache is a named volume that outlives sessions. Every user of the machine
// has a directory of his own in it, named by uid, so that root and an ordinary
// user never meet each other's files.
type Cache struct {
	Volume string // docker volume
	Link   string // path in the sidecar that becomes a link to the caller's directory
	Env    string // variable that names the directory too; empty: tools find it by the link
}

// Name is the volume's name without our prefix, used as its directory in a sidecar.
func (c Cache) Name() string { return strings.TrimPrefix(c.Volume, "aifo-") }

// devTools are served by the first sidecar of devOrder that has them.
var (
	devTools = []string{"make", "cmake", "ninja", "pkg-config", "gcc", "g++", "clang", "clang++", "cc", "c++", "clangd", "gdb", "hadolint"}
	devOrder = []string{"c-cpp", "rust", "go", "node", "python"}
)

var kinds = []Kind{
	{
		Name: "rust", FirstParty: "aifo-coder-toolchain-rust", MakeTarget: "build-toolchain-rust",
		Official: "rust:{version}-slim", DefaultVersion: "1.80",
		Tools: []string{"cargo", "rustc", "rust-analyzer"},
		Caches: []Cache{
			{Volume: "aifo-cargo-registry", Link: "/home/coder/.cargo/registry"},
			{Volume: "aifo-cargo-git", Link: "/home/coder/.cargo/git"},
		},
		Env: map[string]string{"CARGO_HOME": "/home/coder/.cargo"},
	},
	{
		Name: "node", Aliases: []string{"typescript", "ts", "bun"},
		FirstParty: "aifo-coder-toolchain-node", MakeTarget: "build-toolchain-node",
		Official: "node:{version}-bookworm-slim", DefaultVersion: "22",
		Tools:  []string{"node", "npm", "npx", "yarn", "pnpm", "deno", "bun", "tsc", "ts-node"},
		Caches: []Cache{{Volume: "aifo-npm-cache", Link: "/home/coder/.npm", Env: "NPM_CONFIG_CACHE"}},
		// A global install by an ordinary user goes to HOME: the image's own prefix is root's.
		Env: map[string]string{"NPM_CONFIG_PREFIX": "/home/coder/.local", "NPM_CONFIG_UPDATE_NOTIFIER": "false"},
	},
	{
		Name: "python", Aliases: []string{"py"},
		FirstParty: "aifo-coder-toolchain-python", MakeTarget: "build-toolchain-python",
		Official: "python:{version}-slim", DefaultVersion: "3.12",
		Tools:  []string{"python", "python3", "pip", "pip3", "uv", "uvx"},
		Caches: []Cache{{Volume: "aifo-pip-cache", Link: "/home/coder/.cache/pip", Env: "PIP_CACHE_DIR"}},
	},
	{
		Name: "c-cpp", Aliases: []string{"c", "cpp", "c++", "c_cpp"},
		FirstParty: "aifo-cpp-toolchain", MakeTarget: "build-toolchain-cpp",
		Caches: []Cache{{Volume: "aifo-ccache", Link: "/home/coder/.cache/ccache", Env: "CCACHE_DIR"}},
	},
	{
		Name: "go", Aliases: []string{"golang"},
		FirstParty: "aifo-coder-toolchain-go", MakeTarget: "build-toolchain-go",
		Official: "golang:{version}-bookworm", DefaultVersion: "1.22",
		Tools:  []string{"go", "gofmt", "gopls"},
		Caches: []Cache{{Volume: "aifo-go", Link: "/home/coder/go", Env: "GOPATH"}},
		// The build cache follows the module cache, so that one volume holds both.
		Env: map[string]string{"GOCACHE": "{GOPATH}/build-cache"},
	},
}

// Kinds returns all kinds in the order in which they are shown.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// Names returns the canonical names of all kinds.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return names
}

// Lookup finds a kind by its name or an alias, in any case.
func Lookup(name string) (Kind, bool) {
	name = strings.ToLower(name)
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
		for _, a := range k.Aliases {
			if a == name {
				return k, true
			}
		}
	}
	return Kind{}, false
}

// Candidates returns the kinds that may serve tool, in order of preference, or
// nil for a tool that no kind serves (reference protocol, section 2.1).
func Candidates(tool string) []string {
	for _, k := range kinds {
		for _, t := range k.Tools {
			if t == tool {
				return []string{k.Name}
			}
		}
	}
	for _, t := range devTools {
		if t == tool {
			return append([]string(nil), devOrder...)
		}
	}
	return nil
}

// Volumes returns the names of every cache volume of every kind.
func Volumes() []string {
	var names []string
	for _, k := range kinds {
		for _, c := range k.Caches {
			names = append(names, c.Volume)
		}
	}
	return names
}
