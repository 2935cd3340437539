package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// FlagGroup is flags of one theme.
type FlagGroup struct {
	Title string
	Flags []*pflag.Flag
}

// flagGroups are the themes of the global flags, in the order in which they are shown.
var flagGroups = []struct {
	title string
	names []string
}{
	{"Toolchain flags", []string{
		"toolchain", "toolchain-spec", "toolchain-image", "toolchain-define", "toolchain-timeout",
		"toolchain-bootstrap", "toolchain-unix-socket", "no-toolchain-cache",
	}},
	{"Agent and workspace flags", []string{"image", "flavor", "ignore-local-images", "workspace", "workspace-path", "mount", "env", "env-file"}},
	{"Resource flags", []string{"memory", "cpus", "pids-limit", "gpus"}},
	{"Network and credential flags", []string{"network-policy", "allow-host", "credentials", "broker-git", "publish", "docker-network"}},
	{"Fork mode flags", []string{
		"fork", "fork-include-dirty", "fork-dissociate", "fork-session-name", "fork-layout",
		"fork-runner", "fork-merge-strategy", "fork-merge-no-autoclean", "fork-keep-on-failure",
	}},
	{generalFlags, []string{"profile", "engine", "dry-run", "non-interactive", "quiet", "verbose", "color", "help", "version"}},
}

// The themes of flags that concern every command, and of those that nobody has put into one.
const (
	generalFlags = "General flags"
	otherFlags   = "Other flags"
)

// FlagGroups returns the global flags of root by theme.
func FlagGroups(root *cobra.Command) []FlagGroup {
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	var groups []FlagGroup
	grouped := map[string]bool{}
	for _, g := range flagGroups {
		group := FlagGroup{Title: g.title}
		for _, name := range g.names {
			if f := root.Flag(name); f != nil && !f.Hidden {
				group.Flags, grouped[name] = append(group.Flags, f), true
			}
		}
		groups = append(groups, group)
	}
	other := FlagGroup{Title: otherFlags}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !grouped[f.Name] && !f.Hidden {
			other.Flags = append(other.Flags, f)
		}
	})
	if other.Flags != nil {
		groups = slices.Insert(groups, len(groups)-1, other)
	}
	return groups
}

// OwnFlags returns the flags of a command that are its own.
func OwnFlags(cmd *cobra.Command) []*pflag.Flag {
	cmd.InitDefaultHelpFlag()
	var list []*pflag.Flag
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			list = append(list, f)
		}
	})
	return list
}

// FlagTerm returns a flag as it is typed, with the form of its value.
func FlagTerm(f *pflag.Flag) string {
	placeholder, _ := pflag.UnquoteUsage(f)
	term := "--" + f.Name
	if f.Shorthand != "" {
		term = "-" + f.Shorthand + ", " + term
	}
	switch {
	case placeholder == "":
		return term
	case f.NoOptDefVal != "":
		return term + "[=" + placeholder + "]"
	}
	return term + " " + placeholder
}

// FlagText returns what a flag does. The form of its value, which a usage may have after a colon, is in FlagTerm
// and not said twice.
func FlagText(f *pflag.Flag) string {
	placeholder, usage := pflag.UnquoteUsage(f)
	if placeholder != "" {
		usage = strings.Replace(usage, ": "+placeholder, "", 1)
	}
	if f.Value.Type() == "bool" && f.DefValue == "true" {
		usage += " (default true)"
	}
	return usage
}
