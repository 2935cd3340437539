package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryFlagHasATheme: a flag that nobody has put into a group is at the end of a long list.
func TestEveryFlagHasATheme(t *testing.T) {
	root := Tree()
	seen := map[string]int{}
	for _, g := range FlagGroups(root) {
		assert.NotEqual(t, otherFlags, g.Title, "put its flags into flagGroups: %v", g.Flags)
		for _, f := range g.Flags {
			seen[f.Name]++
		}
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		assert.Equal(t, 1, seen[f.Name], f.Name)
	})
	for _, g := range flagGroups {
		for _, name := range g.names {
			assert.NotNil(t, root.Flag(name), name)
		}
	}
}

// TestHelpFitsATerminal: no line of help is cut, but for what is typed as it is.
func TestHelpFitsATerminal(t *testing.T) {
	for _, c := range tree() {
		for _, width := range []int{60, 80, 100} {
			var b bytes.Buffer
			helpPage{w: &b, width: width}.command(c)
			inExamples := false
			for line := range strings.Lines(b.String()) {
				line = strings.TrimSuffix(line, "\n")
				if strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " ") {
					inExamples = line == "Examples:" || line == "Usage:"
				}
				verbatim := inExamples || strings.HasPrefix(line, "  aifo-coder ") || strings.HasPrefix(line, "  #")
				if !verbatim && utf8.RuneCountInString(line) > width {
					t.Errorf("%s --help has a line of %d columns for %d: %q", c.CommandPath(), utf8.RuneCountInString(line), width, line)
				}
			}
			require.Contains(t, b.String(), "Usage:\n  "+c.Root().Name())
			require.NotContains(t, b.String(), "\x1b")
		}
	}
}

func TestHelpIsColouredWhereWanted(t *testing.T) {
	var b bytes.Buffer
	helpPage{w: &b, width: 80, colored: true}.command(Tree())
	require.Contains(t, b.String(), "\x1b[1mUsage:\x1b[0m\n")
	require.Equal(t, strings.Count(b.String(), "\x1b[1m"), strings.Count(b.String(), "\x1b[0m"))
}

func TestTopicsSayWhatTheTablesHave(t *testing.T) {
	for name, want := range map[string][]string{
		"environment": {"AIFO_CODER_NETWORK_POLICY\n      as --network-policy;", "NO_COLOR", "DOCKER_HOST"},
		"exit-codes":  {"  124 ", "  128+n "},
		"toolchains":  {"rust:VERSION-slim", "aliases       typescript ts bun"},
	} {
		var b bytes.Buffer
		topics[name].write(helpPage{w: &b, width: 80})
		for _, w := range want {
			require.Contains(t, b.String(), w, name)
		}
		require.NotContains(t, b.String(), "`", name)
		require.NotContains(t, b.String(), "](", name)
	}
}

// takesArgs reports whether a command takes an argument.
func takesArgs(c *cobra.Command) bool { return c.Args == nil || c.ValidateArgs([]string{"1"}) == nil }

// TestEveryCompletionIsDecided: each value of a flag and each argument is completed, or is not on
// purpose.
func TestEveryCompletionIsDecided(t *testing.T) {
	for _, c := range tree() {
		if c.Hidden || c.IsAdditionalHelpTopicCommand() {
			continue
		}
		if takesArgs(c) && !c.HasSubCommands() && c.ValidArgsFunction == nil && c.ValidArgs == nil {
			t.Errorf("%s takes arguments and does not say how they are completed: set ValidArgsFunction", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if _, ok := c.GetFlagCompletionFunc(f.Name); !ok && f.NoOptDefVal == "" {
				t.Errorf("%s --%s does not say how its value is completed: RegisterFlagCompletionFunc", c.CommandPath(), f.Name)
			}
		})
	}
}

// TestExitCodesAreInTheReference: the topic and the manual page have the codes of docs/exit-codes.md.
func TestExitCodesAreInTheReference(t *testing.T) {
	text := readReference(t, "docs/exit-codes.md")
	for _, c := range ExitCodes() {
		require.Contains(t, text, "\n| "+c.Code+" | ")
	}
}
