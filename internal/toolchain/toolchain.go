// Package toolchain knows the toolchain kinds: their names, tools, images,
// caches and environment. A kind is a definition, which is data; the built-in
// ones have the same form as those that a user adds. The package answers the few
// questions that the rest of the program asks of them and never looks at the host.
package toolchain

import (
	"cmp"
	"slices"
	"strings"
)

// Kind is the definition of one language toolchain, which one sidecar serves.
type Kind struct {
	Name    string   `yaml:"kind"`    // used in container names: "rust"
	Aliases []string `yaml:"aliases"` // other accepted spellings, lower case

	// FirstParty is a repository without a tag: preferred when it is present
	// locally and no version was asked for. MakeTarget builds it in our checkout.
	FirstParty string `yaml:"own-image"`
	MakeTarget string `yaml:"make-target"`
	// Official is the image of a version, with {version} in its place.
	// Empty: versions are tags of the first-party repository.
	Official       string `yaml:"image"`
	DefaultVersion string `yaml:"version"`

	Tools  []string `yaml:"tools"`  // tools that only this kind serves
	Shared []string `yaml:"shared"` // tools of several kinds: the first of them that is attached and has the tool serves it
	Rank   int      `yaml:"rank"`   // among the kinds with a shared tool; lower is first, 0 is last

	Places []string          `yaml:"places"` // directories of the image that hold Tools; the shim stands there in the agent's container
	Caches []Cache           `yaml:"caches"`
	Env    map[string]string `yaml:"env"`   // set in the sidecar; {NAME} is the value of a cache's variable
	User   string            `yaml:"user"`  // UID:GID of the tools; empty: the caller
	Probe  []string          `yaml:"probe"` // prints the version
	Hosts  []string          `yaml:"hosts"` // that an allowlist lets the sidecar reach: HOST[:PORT] or @PRESET
	Fetch  []Fetch           `yaml:"fetch"` // what calls may ask for that the image lacks
}

// Cache is a named volume that outlives sessions. Every user of the machine
// has a directory of his own in it, named by uid, so that root and an ordinary
// user never meet each other's files.
type Cache struct {
	Volume string `yaml:"volume"` // docker volume
	Link   string `yaml:"link"`   // path in the sidecar that becomes a link to the caller's directory
	Env    string `yaml:"env"`    // variable that names the directory too; empty: tools find it by the link
}

// volumePrefix begins the names of all our volumes.
const volumePrefix = "aifo-"

// Name is the volume's name without our prefix, used as its directory in a sidecar.
func (c Cache) Name() string { return strings.TrimPrefix(c.Volume, volumePrefix) }

// Set is the kinds that there are. The zero Set holds the built-in ones.
type Set struct{ added []Kind }

// Kinds returns all kinds in the order in which they are shown.
func (s Set) Kinds() []Kind {
	if s.added == nil {
		return slices.Clone(builtin())
	}
	return slices.Clone(s.added)
}

// Names returns the canonical names of all kinds.
func (s Set) Names() []string {
	var names []string
	for _, k := range s.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// Lookup finds a kind by its name or an alias, in any case.
func (s Set) Lookup(name string) (Kind, bool) {
	name = strings.ToLower(name)
	for _, k := range s.Kinds() {
		if k.Name == name || slices.Contains(k.Aliases, name) {
			return k, true
		}
	}
	return Kind{}, false
}

// Candidates returns the kinds that may serve tool, in order of preference, or
// nil for a tool that no kind serves (reference protocol, section 2.1).
func (s Set) Candidates(tool string) []string {
	var shared []string
	for _, k := range s.ranked() {
		if slices.Contains(k.Tools, tool) {
			return []string{k.Name}
		}
		if slices.Contains(k.Shared, tool) {
			shared = append(shared, k.Name)
		}
	}
	return shared
}

// ranked returns the kinds in the order in which shared tools are looked for.
func (s Set) ranked() []Kind {
	list := s.Kinds()
	slices.SortStableFunc(list, func(a, b Kind) int {
		if (a.Rank == 0) != (b.Rank == 0) {
			return cmp.Compare(b.Rank, a.Rank)
		}
		return cmp.Compare(a.Rank, b.Rank)
	})
	return list
}

// ToolNames returns every tool of the kind, its own and the shared ones.
func (k Kind) ToolNames() []string { return slices.Concat(k.Tools, k.Shared) }

// Tools returns the names of the tools of all kinds, each once.
func (s Set) Tools() []string {
	var names []string
	for _, k := range s.Kinds() {
		for _, tool := range k.ToolNames() {
			if !slices.Contains(names, tool) {
				names = append(names, tool)
			}
		}
	}
	return names
}

// Volumes returns the names of every cache volume of every kind.
func (s Set) Volumes() []string {
	var names []string
	for _, k := range s.Kinds() {
		for _, c := range k.Caches {
			if !slices.Contains(names, c.Volume) {
				names = append(names, c.Volume)
			}
		}
	}
	return names
}
