package toolchain

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/imageref"
)

// Selection is what a user asked for: a kind, and a version or an image of it.
type Selection struct {
	Kind    Kind
	Version string // empty: the default
	Image   string // empty: by version
}

// Flags are the values of the three flags that select toolchains, each in the
// order given on the command line.
type Flags struct {
	Toolchain []string // --toolchain KIND[@VERSION][=IMAGE]
	Spec      []string // --toolchain-spec KIND[@VERSION]
	Image     []string // --toolchain-image KIND=IMAGE
}

// Select merges the flags to one selection for each kind, in order of first
// sight. It refuses unknown kinds, empty or malformed parts, and two different
// versions or images for one kind.
func (s Set) Select(f Flags) ([]Selection, error) {
	m := merger{set: s}
	for _, v := range f.Toolchain {
		if err := m.add("--toolchain", v, true); err != nil {
			return nil, err
		}
	}
	for _, v := range f.Spec {
		if strings.Contains(v, "=") {
			return nil, fmt.Errorf("--toolchain-spec %q: takes KIND[@VERSION]; give an image with --toolchain-image KIND=IMAGE", v)
		}
		if err := m.add("--toolchain-spec", v, true); err != nil {
			return nil, err
		}
	}
	for _, v := range f.Image {
		if !strings.Contains(v, "=") {
			return nil, fmt.Errorf("--toolchain-image %q: takes KIND=IMAGE", v)
		}
		if err := m.add("--toolchain-image", v, false); err != nil {
			return nil, err
		}
	}
	return m.list, nil
}

type merger struct {
	set  Set
	list []Selection
}

func (m *merger) add(flag, value string, versions bool) error {
	s, err := m.set.parse(value, versions)
	if err != nil {
		return fmt.Errorf("%s %q: %w", flag, value, err)
	}
	for i := range m.list {
		if m.list[i].Kind.Name == s.Kind.Name {
			return m.list[i].merge(s)
		}
	}
	m.list = append(m.list, s)
	return nil
}

func (s *Selection) merge(o Selection) error {
	if s.Image != "" && o.Image != "" && s.Image != o.Image {
		return fmt.Errorf("two images for the toolchain %s: %s and %s; give one", s.Kind.Name, s.Image, o.Image)
	}
	if s.Version != "" && o.Version != "" && s.Version != o.Version {
		return fmt.Errorf("two versions of the toolchain %s: %s and %s; give one", s.Kind.Name, s.Version, o.Version)
	}
	s.Version = firstOf(s.Version, o.Version)
	s.Image = firstOf(s.Image, o.Image)
	return nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// versionRE is what an image tag may hold, so that a version can stand in one.
var versionRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,100}$`)

// parse splits KIND[@VERSION][=IMAGE] at the first "=", then at "@", so that an
// image may carry a digest.
func (s Set) parse(value string, versions bool) (Selection, error) {
	left, image, hasImage := strings.Cut(value, "=")
	name, version, hasVersion := left, "", false
	if versions {
		name, version, hasVersion = strings.Cut(left, "@")
	}
	kind, ok := s.Lookup(name)
	switch {
	case name == "":
		return Selection{}, fmt.Errorf("the kind is empty; kinds are %s", strings.Join(s.Names(), ", "))
	case !ok:
		return Selection{}, fmt.Errorf("unknown toolchain kind %q; kinds are %s", name, strings.Join(s.Names(), ", "))
	case hasVersion && version == "":
		return Selection{}, fmt.Errorf("the version after %q is empty", name+"@")
	}
	if hasVersion {
		if err := kind.CheckVersion(version); err != nil {
			return Selection{}, err
		}
	}
	if hasImage {
		if err := imageref.Check(image); err != nil {
			return Selection{}, err
		}
	}
	return Selection{Kind: kind, Version: version, Image: image}, nil
}

// ParseOne parses the argument of the toolchain subcommand, KIND[@VERSION][=IMAGE].
func (s Set) ParseOne(value string) (Selection, error) {
	one, err := s.parse(value, true)
	if err != nil {
		return Selection{}, fmt.Errorf("toolchain %q: %w", value, err)
	}
	return one, nil
}

// Spec returns the selection as --toolchain takes it.
func (s Selection) Spec() string {
	spec := s.Kind.Name
	if s.Version != "" {
		spec += "@" + s.Version
	}
	if s.Image != "" {
		spec += "=" + s.Image
	}
	return spec
}

// CheckVersion returns an error for what is no version, or none of the kind's.
func (k Kind) CheckVersion(version string) error {
	switch {
	case !versionRE.MatchString(version):
		return fmt.Errorf("%q is not a version", version)
	case k.Official != "" && !strings.Contains(k.Official, "{version}"):
		return fmt.Errorf("the kind %s has one image, %s, and no versions", k.Name, k.Official)
	}
	return nil
}

// VersionImage returns the image of a version, for a kind that has one.
func (k Kind) VersionImage(version string) string {
	return strings.ReplaceAll(k.Official, "{version}", version)
}
