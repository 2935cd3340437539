package cli

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"

	"github.com/aifo-coder/aifo-coder/internal/config"
)

// notInFiles are the global flags that no file may set: they say what is done once, and where.
var notInFiles = map[string]bool{
	"toolchain-spec": true, "toolchain-image": true, // toolchain says the same
	"env":       true, // the files' own env has a mapping
	"workspace": true, "dry-run": true, "non-interactive": true,
	"fork": true, "fork-include-dirty": true, "fork-dissociate": true, "fork-session-name": true, "fork-layout": true,
	"fork-keep-on-failure": true, "fork-merge-strategy": true, "fork-merge-no-autoclean": true, "fork-runner": true,
}

// TestEveryFlagIsDecided: a global flag is a key of the configuration, or is not on purpose.
func TestEveryFlagIsDecided(t *testing.T) {
	flags := (&app{}).root().PersistentFlags()
	flags.VisitAll(func(f *pflag.Flag) {
		k, isKey := config.Lookup(f.Name)
		if isKey == notInFiles[f.Name] {
			t.Errorf("--%s is to be either a row of the table in internal/config or in notInFiles", f.Name)
		}
		if isKey {
			_, list := f.Value.(pflag.SliceValue)
			assert.Equal(t, list, k.List, f.Name)
			assert.Equal(t, f.Value.Type() == "bool", k.Bool, f.Name)
		}
	})
	for _, k := range config.Keys() {
		for _, name := range k.Flags() {
			assert.NotNil(t, flags.Lookup(name), name)
		}
	}
}
