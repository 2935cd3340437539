package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The keys of profiles, both for the user's own file alone.
const (
	profileKey  = "profile"
	profilesKey = "profiles"
)

// NoProfile is the name that chooses no profile, where the file names one as the default.
const NoProfile = "none"

// profileRE is what a profile can be called: a word of a command line without quotes.
var profileRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)

// UnknownProfileError says that the user's file has no profile of that name.
type UnknownProfileError struct {
	Name  string
	Known []string // those that it has
}

func (e *UnknownProfileError) Error() string { return fmt.Sprintf("there is no profile %q", e.Name) }

// Hint says which profiles there are, or how one is made.
func (e *UnknownProfileError) Hint() string {
	if len(e.Known) == 0 {
		return "your configuration has no profiles; aifo-coder config edit opens it"
	}
	return "your configuration has " + strings.Join(e.Known, ", ")
}

// profiles takes the profiles of the user's file, each a mapping of the same keys.
func (p *parser) profiles(key, value *yaml.Node) error {
	switch {
	case p.from != User:
		return p.fail(key.Line, "%s is for your own configuration file, and no repository's", profilesKey)
	case p.profile != "":
		return p.fail(key.Line, "a profile cannot hold %s", profilesKey)
	}
	return p.mapping(value, func(name, settings *yaml.Node) error {
		if !profileRE.MatchString(name.Value) || name.Value == NoProfile {
			return p.fail(name.Line, "%q cannot be the name of a profile: it takes up to 32 letters, digits, and . _ - between them, and is not %q", name.Value, NoProfile)
		}
		before := len(p.settings)
		p.profile = name.Value
		defer func() { p.profile = "" }()
		if err := p.mapping(settings, p.key); err != nil {
			return err
		}
		if len(p.settings) == before {
			return p.fail(name.Line, "the profile %s sets nothing", name.Value)
		}
		return nil
	})
}

// Profiles returns the names of the profiles in the settings of the user's file, in its order.
func Profiles(settings []Setting) []string {
	var names []string
	for _, s := range settings {
		if s.Profile != "" && !slices.Contains(names, s.Profile) {
			names = append(names, s.Profile)
		}
	}
	return names
}

// OfProfile returns the settings of one profile, or with "" those that are in none. It returns an
// *UnknownProfileError for a name that is not in the file; NoProfile has no settings.
func OfProfile(settings []Setting, name string) ([]Setting, error) {
	if name == NoProfile {
		return nil, nil
	}
	var list []Setting
	for _, s := range settings {
		if s.Profile == name {
			list = append(list, s)
		}
	}
	if name != "" && list == nil {
		return nil, &UnknownProfileError{Name: name, Known: Profiles(settings)}
	}
	return list, nil
}

// Own is the user's file, taken apart for one invocation.
type Own struct {
	// Named is the profile that was named for this invocation. It stands above the files of
	// a repository, as what a flag says does.
	Named []Setting
	// Usual is what stands below them: the profile that the file names as the usual one,
	// then what is in no profile.
	Usual [][]Setting
	// Profile is the name of the profile that counts, "" for none.
	Profile string
}

// TakeApart returns the user's settings as they count. named is the profile that the command
// line or the environment names, "" for none. It returns an *UnknownProfileError, inside an *Error
// where the file itself names the profile.
func TakeApart(settings []Setting, named string) (Own, error) {
	base, err := OfProfile(settings, "")
	if err != nil {
		return Own{}, err
	}
	if named != "" {
		profile, err := OfProfile(settings, named)
		return Own{Named: profile, Usual: [][]Setting{base}, Profile: named}, err
	}
	i := slices.IndexFunc(base, func(s Setting) bool { return s.Key == profileKey })
	if i < 0 {
		return Own{Usual: [][]Setting{base}}, nil
	}
	usual := base[i].Values[0]
	profile, err := OfProfile(settings, usual)
	if err != nil {
		err = &Error{File: base[i].File, Line: base[i].Line, Err: err}
	}
	return Own{Usual: [][]Setting{profile, base}, Profile: usual}, err
}

// Layers returns the user's file and those of a repository, the highest first.
func (o Own) Layers(repository ...[]Setting) [][]Setting {
	return slices.Concat([][]Setting{o.Named}, repository, o.Usual)
}

// Covers reports whether the profile that was named decides for a setting of a repository.
func (o Own) Covers(s Setting) bool {
	return slices.ContainsFunc(o.Named, func(n Setting) bool { return n.slot() == s.slot() })
}
