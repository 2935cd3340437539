package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/aifo-coder/aifo-coder/internal/config"
)

// compiled returns the schema as an editor would use it.
func compiled(t *testing.T, from config.Origin) *jsonschema.Schema {
	t.Helper()
	words := map[string][]string{"flavor": {"full", "slim"}}
	data, err := json.Marshal(config.Schema(from, func(key string) config.Property {
		return config.Property{Description: "about " + key, Words: words[key]}
	}))
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("schema.json", doc))
	schema, err := c.Compile("schema.json")
	require.NoError(t, err)
	return schema
}

// TestSchemaAgreesWithParse: what an editor marks as wrong is what the program refuses.
func TestSchemaAgreesWithParse(t *testing.T) {
	for file, want := range map[string]bool{
		"":                            true,
		"memory: 4g":                  true,
		"pids-limit: 1000":            true,
		"toolchain-timeout: 90":       true,
		"toolchain: rust":             true,
		"toolchain: [rust, node@20]":  true,
		"no-toolchain-cache: true":    true,
		"flavor: slim":                true,
		"env: {AIDER_MODEL: x, A: 1}": true,
		"memroy: 4g":                  false,
		"memory: ''":                  false,
		"memory:":                     false,
		"image: [4g]":                 false,
		"memory: {a: b}":              false,
		"toolchain: []":               false,
		"toolchain: [[rust]]":         false,
		"toolchain: [rust, '']":       false,
		"no-toolchain-cache: 'true'":  false,
		"env: {'A=B': x}":             false,
		"env: x":                      false,
		"- memory":                    false,
		"x":                           false,
	} {
		for _, from := range []config.Origin{config.User, config.Project} {
			agree(t, from, file, want)
		}
	}
	for file, want := range map[string]bool{
		"quiet: true": true,
		"profile: a\nprofiles: {a: {memory: 1g}, b: {env: {A: x}}}": true,
		"profiles: {a: {memroy: 1g}}":                               false,
		"profiles: {a: {}}":                                         false,
		"profiles: {a: {profile: b}}":                               false,
		"profiles: {none: {memory: 1g}}":                            false,
		"profiles: {'a b': {memory: 1g}}":                           false,
		"profiles: [a]":                                             false,
	} {
		agree(t, config.User, file, want)
		agree(t, config.Project, file, false)
	}
}

func agree(t *testing.T, from config.Origin, file string, want bool) {
	t.Helper()
	_, err := config.Parse("c.yaml", []byte(file), from)
	assert.Equal(t, want, err == nil, "the program on %q: %v", file, err)
	var doc any
	require.NoError(t, yaml.Unmarshal([]byte(file), &doc))
	data, err := json.Marshal(doc)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	require.NoError(t, err)
	err = compiled(t, from).Validate(value)
	assert.Equal(t, want, err == nil, "the schema on %q: %v", file, err)
}

// TestSchemaHasEveryKey: the table is where the schema comes from.
func TestSchemaHasEveryKey(t *testing.T) {
	for _, from := range []config.Origin{config.User, config.Project} {
		top := compiled(t, from).Properties
		for _, k := range config.Keys() {
			require.Equal(t, from == config.User || !k.Own, top[k.Name] != nil, k.Name)
		}
	}
}
