package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/config"
)

const profiles = `memory: 4g
profile: careful
toolchain: [rust]
profiles:
  careful:
    network-policy: allowlist
    memory: 2g
    env: {FOO: careful}
  fast: {memory: 8g}
`

// nothing is a command line and an environment that say nothing.
var nothing = config.Above{Flag: func(string) bool { return false }, Env: func(string) string { return "" }}

// counts returns the values that count, by name, with a repository's settings in their place.
func counts(t *testing.T, file, named string, repository ...config.Setting) map[string]string {
	t.Helper()
	settings, err := config.Parse("c.yaml", []byte(file), config.User)
	require.NoError(t, err)
	own, err := config.TakeApart(settings, named)
	require.NoError(t, err)
	values := map[string]string{}
	for _, s := range config.Effective(nothing, own.Layers(repository)...) {
		values[s.Name] = s.Value()
	}
	return values
}

func TestProfileBeatsTheRestOfTheFile(t *testing.T) {
	assert.Equal(t, map[string]string{"memory": "2g", "profile": "careful", "toolchain": "rust", "network-policy": "allowlist", "env.FOO": "careful"},
		counts(t, profiles, ""))
	assert.Equal(t, map[string]string{"memory": "8g", "profile": "careful", "toolchain": "rust"}, counts(t, profiles, "fast"))
	assert.Equal(t, map[string]string{"memory": "4g", "profile": "careful", "toolchain": "rust"}, counts(t, profiles, config.NoProfile))
}

// TestProfileAndRepository: a profile that was named for this run is the user's word for this
// run; one that the file names as the usual one is what a repository may replace.
func TestProfileAndRepository(t *testing.T) {
	repository := config.Setting{Name: "memory", Key: "memory", Values: []string{"1g"}, Origin: config.Project}
	assert.Equal(t, "1g", counts(t, profiles, "", repository)["memory"])
	assert.Equal(t, "1g", counts(t, profiles, config.NoProfile, repository)["memory"])
	assert.Equal(t, "8g", counts(t, profiles, "fast", repository)["memory"])

	settings, err := config.Parse("c.yaml", []byte(profiles), config.User)
	require.NoError(t, err)
	own, err := config.TakeApart(settings, "fast")
	require.NoError(t, err)
	assert.True(t, own.Covers(repository))
	own, err = config.TakeApart(settings, "")
	require.NoError(t, err)
	assert.False(t, own.Covers(repository))
}

func TestUnknownProfile(t *testing.T) {
	settings, err := config.Parse("c.yaml", []byte(profiles), config.User)
	require.NoError(t, err)
	_, err = config.TakeApart(settings, "carful")
	var unknown *config.UnknownProfileError
	require.ErrorAs(t, err, &unknown)
	assert.Equal(t, []string{"careful", "fast"}, unknown.Known)

	settings, err = config.Parse("c.yaml", []byte("memory: 1g\nprofile: x"), config.User)
	require.NoError(t, err)
	_, err = config.TakeApart(settings, "")
	require.EqualError(t, err, `c.yaml:2: there is no profile "x"`)
	_, err = config.TakeApart(settings, config.NoProfile)
	require.NoError(t, err, "who chooses none has no use for it")
}

func TestProfilesRefuse(t *testing.T) {
	for file, want := range map[string]string{
		"profiles: {a: {memroy: 1g}}":                       `"memroy" is not a setting`,
		"profiles: {a: {profile: b}}":                       "cannot name another",
		"profiles: {a: {profiles: {b: {memory: 1g}}}}":      "cannot hold profiles",
		"profiles: {a: {}}":                                 "the profile a sets nothing",
		"profiles: {a: }":                                   "takes a mapping",
		"profiles: [a]":                                     "takes a mapping",
		"profiles: {none: {memory: 1g}}":                    "cannot be the name of a profile",
		"profiles: {-a: {memory: 1g}}":                      "cannot be the name of a profile",
		"profiles: {'a b': {memory: 1g}}":                   "cannot be the name of a profile",
		"profiles: {a: {memory: 1g}, a: {memory: 2g}}":      `"a" is there twice`,
		"profiles: {a: {memory: 1g, memory: 2g}}":           `"memory" is there twice`,
		"profiles: {a: &x {memory: 1g}, b: *x}":             "takes a mapping",
		"profile: [a]":                                      "takes a single value",
		"profiles: {a: {no-toolchain-cache: 'yes'}}":        "takes true or false",
		"profiles: {a: {env: {LD_PRELOAD: x}}}":             "cannot be set",
		"profiles: {a: {memory: 1g}}\nprofiles: {b: {x: }}": `"profiles" is there twice`,
	} {
		_, err := config.Parse("c.yaml", []byte(file), config.User)
		require.ErrorContains(t, err, want, file)
	}
	for _, file := range []string{"profile: a", "profiles: {a: {memory: 1g}}"} {
		_, err := config.Parse(config.ProjectFile, []byte(file), config.Project)
		require.ErrorContains(t, err, "no repository's", file)
	}
}
