package toolchain

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
)

//go:embed builtin.yaml
var builtinFile []byte

// builtin returns the built-in kinds, which are not to be changed.
var builtin = sync.OnceValue(func() []Kind {
	var kinds []Kind
	if err := yaml.Unmarshal(builtinFile, &kinds); err != nil {
		panic(err) // the file is part of the program
	}
	return kinds
})

// definition is a kind as a file has it: a new one, or additions to another.
type definition struct {
	Kind    `yaml:",inline"`
	Extends string `yaml:"extends"`
}

// With returns the set with the definitions of one file added: one, or a list of
// them (docs/toolchains.md, "Toolchains of your own"). name is the file's name,
// for messages. Anything that the program would not understand, or that would
// take a name which is in use, is an error.
func (s Set) With(name string, file []byte) (Set, error) {
	list, err := readDefinitions(file)
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	for _, d := range list {
		if s, err = s.with(d); err != nil {
			return s, fmt.Errorf("%s: toolchain %q: %w", name, firstOf(d.Extends, d.Name), err)
		}
	}
	return s, nil
}

func readDefinitions(file []byte) ([]definition, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(file, &node); err != nil {
		return nil, err
	}
	if node.Kind == 0 {
		return nil, errors.New("the file defines nothing")
	}
	var list []definition
	if node.Content[0].Kind == yaml.SequenceNode {
		return list, strictly(file, &list)
	}
	list = make([]definition, 1)
	return list, strictly(file, &list[0])
}

// strictly decodes a file of one document and refuses keys that mean nothing.
func strictly(file []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(file))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return inWords(err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return errors.New("the file holds more than one document; put the definitions into one list")
	}
	return nil
}

func (s Set) with(d definition) (Set, error) {
	if err := d.check(); err != nil {
		return s, err
	}
	if d.Extends != "" {
		return s.extend(d)
	}
	if err := errors.Join(s.free(d.Kind, d.Name), d.checkWhole()); err != nil {
		return s, err
	}
	return Set{append(s.Kinds(), d.Kind)}, nil
}

// extend returns the set with the additions of d to the kind that d names.
func (s Set) extend(d definition) (Set, error) {
	list := s.Kinds()
	i := slices.IndexFunc(list, func(k Kind) bool { return k.Name == d.Extends })
	if i < 0 {
		return s, fmt.Errorf("there is no such kind to extend; kinds are %s", strings.Join(s.Names(), ", "))
	}
	list[i] = list[i].extended(d.Kind)
	if err := errors.Join(s.free(d.Kind, d.Extends), list[i].checkWhole()); err != nil {
		return s, err
	}
	return Set{list}, nil
}

// extended returns k with the lists of d added to its own and the rest of d,
// where d says something, in place of its own.
func (k Kind) extended(d Kind) Kind {
	k.Aliases = slices.Concat(k.Aliases, d.Aliases)
	k.Tools = slices.Concat(k.Tools, d.Tools)
	k.Shared = slices.Concat(k.Shared, d.Shared)
	k.Places = slices.Concat(k.Places, d.Places)
	k.Caches = slices.Concat(k.Caches, d.Caches)
	k.Fetch = slices.Concat(k.Fetch, d.Fetch)
	k.Hosts = slices.Concat(k.Hosts, d.Hosts)
	env := maps.Clone(k.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, d.Env)
	k.Env = env
	if d.Official != "" { // another image, which ours does not stand for
		k.Official, k.DefaultVersion, k.FirstParty, k.MakeTarget = d.Official, d.DefaultVersion, "", ""
	}
	k.DefaultVersion = firstOf(d.DefaultVersion, k.DefaultVersion)
	k.User = firstOf(d.User, k.User)
	if d.Probe != nil {
		k.Probe = d.Probe
	}
	return k
}

// free reports names of d that are in use. extends is the kind that d adds to,
// or d's own name.
func (s Set) free(d Kind, extends string) error {
	for _, name := range append([]string{d.Name}, d.Aliases...) {
		if k, ok := s.Lookup(name); ok && (d.Name != "" || k.Name != extends) {
			return fmt.Errorf("%q is a name of the kind %s; choose another, or write \"extends: %[2]s\" to add to it", name, k.Name)
		}
	}
	return s.toolsFree(d.Tools, extends)
}

// toolsFree reports tools that another kind than the one named has for itself,
// or that any kind shares.
func (s Set) toolsFree(tools []string, kind string) error {
	for _, k := range s.Kinds() {
		for _, tool := range tools {
			switch {
			case slices.Contains(k.Shared, tool):
				return fmt.Errorf("the tool %q is one that several kinds have; it goes under \"shared\"", tool)
			case k.Name != kind && slices.Contains(k.Tools, tool):
				return fmt.Errorf("the tool %q belongs to the kind %s", tool, k.Name)
			}
		}
	}
	return nil
}

var (
	kindRE   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	toolRE   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$`)
	volumeRE = regexp.MustCompile(`^aifo-[a-z0-9][a-z0-9-]{0,60}$`)
	envRE    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// neverTools are names that every script counts on, and our own.
var neverTools = []string{"sh", "bash", "dash", "env", "aifo-shim", "aifo-run", "aifo-tools", "aifo-mcp", "say", "notifications-cmd"}

// agentPrograms would be shadowed by a tool of the same name.
var agentPrograms = []string{"aider", "codex", "crush", "openhands", "opencode", "plandex"}

// agentName is what the session calls the agent beside the toolchains.
const agentName = "agent"

// check reports what is wrong with the definition in itself.
func (d definition) check() error {
	switch {
	case d.Extends != "" && d.Name != "":
		return errors.New(`give either "kind" or "extends"`)
	case d.Extends == "" && !kindRE.MatchString(d.Name):
		return fmt.Errorf("kind %q: takes lower-case letters, digits and hyphens, up to 31", d.Name)
	case d.Extends == "" && d.Official == "" && d.FirstParty == "":
		return errors.New(`"image" is missing`)
	case strings.Contains(d.Official, "{version}") && d.DefaultVersion == "":
		return errors.New(`"image" has {version}, so "version" is needed, for when none is asked for`)
	case d.Extends == "" && len(d.Tools)+len(d.Shared) == 0:
		return errors.New(`it has no "tools"`)
	}
	return errors.Join(d.checkImages(), d.checkNames(), d.checkPlaces(), d.checkCaches(), d.checkUser(), d.checkFetch(), d.checkHosts())
}

func (d definition) checkImages() error {
	if d.DefaultVersion != "" && !versionRE.MatchString(d.DefaultVersion) {
		return fmt.Errorf("%q is not a version", d.DefaultVersion)
	}
	if strings.ContainsAny(path.Base(d.FirstParty), ":@") {
		return fmt.Errorf("own-image %q: takes a repository without a tag", d.FirstParty)
	}
	for _, ref := range []string{d.VersionImage(firstOf(d.DefaultVersion, "1")), d.FirstParty} {
		if ref == "" {
			continue
		}
		if err := imageref.Check(ref); err != nil {
			return err
		}
	}
	return nil
}

func (d definition) checkNames() error {
	if d.Name == agentName || slices.Contains(d.Aliases, agentName) {
		return fmt.Errorf("%q is not for a toolchain; choose another", agentName)
	}
	for _, alias := range d.Aliases {
		if alias == "" || alias != strings.ToLower(alias) || strings.ContainsAny(alias, " @=,") {
			return fmt.Errorf("alias %q: takes lower-case words without @ and =", alias)
		}
	}
	if err := d.checkTools(); err != nil {
		return err
	}
	for name, value := range d.Env {
		if err := checkEnv(name); err != nil {
			return err
		}
		if strings.Contains(value, "\x00") {
			return fmt.Errorf("the variable %q holds a NUL", name)
		}
	}
	if len(d.Probe) > 0 && !slices.Contains(d.ToolNames(), d.Probe[0]) && d.Extends == "" {
		return fmt.Errorf("probe %q: begins with a tool of the kind", d.Probe)
	}
	return nil
}

func (d definition) checkTools() error {
	for _, tool := range d.ToolNames() {
		if slices.Contains(agentPrograms, tool) {
			return fmt.Errorf("the tool %q is an agent's program, which the tool would stand in front of", tool)
		}
		if !toolRE.MatchString(tool) || slices.Contains(neverTools, tool) {
			return fmt.Errorf("the tool %q: takes the name of a program, which is not a shell's or ours", tool)
		}
	}
	return nil
}

// ownEnv are variables that boot sets, and PATH, which the tools are found by.
var ownEnv = []string{"HOME", "PATH", "USER", "LOGNAME", "XDG_RUNTIME_DIR"}

// checkEnv refuses variables that would take a sidecar apart.
func checkEnv(name string) error {
	if !envRE.MatchString(name) || slices.Contains(ownEnv, name) || strings.HasPrefix(name, "AIFO_") || strings.HasPrefix(name, "LD_") {
		return fmt.Errorf("the variable %q cannot be set in a sidecar", name)
	}
	return nil
}

func (d definition) checkPlaces() error {
	for _, dir := range d.Places {
		if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.ContainsAny(dir, ":,\n\x00") || reserved(dir) {
			return fmt.Errorf("place %q: takes a directory of the image, by its absolute path, outside %s", dir, strings.Join(reservedDirs, ", "))
		}
	}
	return nil
}

// reservedDirs are ours, the workspace's, or the kernel's, or are filled when the container runs.
var reservedDirs = append([]string{execproto.Workspace, "/run"}, execproto.OwnDirs...)

func reserved(dir string) bool {
	return dir == "/" || slices.ContainsFunc(reservedDirs, func(r string) bool { return execproto.Within(dir, r) })
}

func (d definition) checkCaches() error {
	for _, c := range d.Caches {
		switch {
		case !volumeRE.MatchString(c.Volume):
			return fmt.Errorf("cache volume %q: takes a name like aifo-maven, in lower case", c.Volume)
		case !strings.HasPrefix(c.Link, execproto.Home+"/") || path.Clean(c.Link) != c.Link || strings.ContainsAny(c.Link, ":,\n\x00"):
			return fmt.Errorf("cache link %q: takes a path below %s, where a sidecar's user can make a link", c.Link, execproto.Home)
		}
		if c.Env != "" {
			if err := checkEnv(c.Env); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkUser refuses root: it would leave files in the workspace that belong to
// root, and could make them run as root on the host.
func (d definition) checkUser() error {
	if d.User == "" {
		return nil
	}
	uid, gid, ok := strings.Cut(d.User, ":")
	u, err1 := strconv.ParseUint(uid, 10, 31)
	g, err2 := strconv.ParseUint(gid, 10, 31)
	if !ok || err1 != nil || err2 != nil || u == 0 || g == 0 {
		return fmt.Errorf("user %q: takes UID:GID, two numbers, neither that of root", d.User)
	}
	return nil
}
