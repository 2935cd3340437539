package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// refuseUnknown has every command with others below it say which one may have been meant.
func refuseUnknown(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		refuseUnknown(c)
	}
}

// unknownCommand says that a command has none of that name below it, and what to do.
func unknownCommand(cmd *cobra.Command, name string) error {
	below := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
	path := func(name string) string { return strings.TrimPrefix(below+" "+name, " ") }
	err := fmt.Errorf("unknown command %q", path(name))
	if k, ok := (toolchain.Set{}).Lookup(name); ok && !cmd.HasParent() {
		return fmt.Errorf("%w; %s is a toolchain: aifo-coder --toolchain %s AGENT, or aifo-coder toolchain %s -- COMMAND", err, k.Name, k.Name, k.Name)
	}
	if near := nearest(name, commandNames(cmd)); near != "" {
		return fmt.Errorf("%w; did you mean %q?", err, path(near))
	}
	if cmd.HasParent() {
		return fmt.Errorf("%w; there are %s", err, strings.Join(commandNames(cmd), ", "))
	}
	return fmt.Errorf("%w; agents are %s; aifo-coder --help lists all commands", err, strings.Join(agentNames(), ", "))
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

func agentNames() []string {
	var names []string
	for _, a := range agent.All() {
		names = append(names, a.Name)
	}
	return names
}

// oneAtMost refuses more than one of what a command is about.
func oneAtMost(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			_, name, _ := strings.Cut(cmd.CommandPath(), " ")
			return fmt.Errorf("%s takes one %s at most; leave %s out", name, what, dockerargs.Quote(args[1:]))
		}
		return nil
	}
}

// unfit says in our words what a flag takes.
var unfit = map[string]string{
	"int":      "takes a whole number",
	"duration": "takes a duration such as 10s or 5m",
	"bool":     "takes true or false",
}

// suggestFlag names the nearest flag when one is unknown, and what one takes that has got something else.
func suggestFlag(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && unfit[invalid.GetFlag().Value.Type()] != "" {
		return fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), unfit[invalid.GetFlag().Value.Type()])
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return unknownCommand(cmd, cmd.Flags().Arg(0)) // whose flag it is meant to be
	}
	asked, word := unknown.GetSpecifiedName(), "--"+unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		word = "-" + short
	}
	if args := cmd.Flags().Args(); takesCommand(cmd) && len(args) > 1 {
		return fmt.Errorf("%w; %w", err, forgottenDash(cmd, append(args, word)))
	}
	if near := nearestFlag(asked, flagNames(cmd)); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	if a, ok := agent.Lookup(cmd.Name()); ok {
		return fmt.Errorf("%w; flags of %s itself go behind --: %s -- %s", err, a.Name, cmd.CommandPath(), word)
	}
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

// nearestFlag is nearest for flags, of which there are so many that a word of another program
// is never far from one: a slip leaves the first letter, or is one letter.
func nearestFlag(asked string, candidates []string) string {
	near := nearest(asked, candidates)
	if near != "" && near[0] != asked[0] && levenshtein.Distance(asked, near, nil) > 1 {
		return ""
	}
	return near
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	add := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return names
}

// nearest returns the candidate that asked most likely is a slip of, or "".
func nearest(asked string, candidates []string) string {
	if len(candidates) == 0 {
		return ""
	}
	near := slices.MinFunc(candidates, func(a, b string) int {
		return levenshtein.Distance(asked, a, nil) - levenshtein.Distance(asked, b, nil)
	})
	if d := levenshtein.Distance(asked, near, nil); d > 2+len(asked)/8 || d >= len(asked) {
		return "" // another word, and no slip
	}
	return near
}
