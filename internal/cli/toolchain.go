package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

func (a *app) toolchainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "toolchain KIND[@VERSION][=IMAGE] [flags] -- COMMAND [ARG...]",
		Short: "Run one command in a toolchain's sidecar, without an agent",
		Example: `  aifo-coder toolchain rust -- cargo --version
  aifo-coder toolchain node@20 -- npx --version`,
		GroupID:           groupToolchains,
		ValidArgsFunction: a.completeToolchainArgs,
		Args:              kindAndCommand("a toolchain", "aifo-coder toolchain KIND -- COMMAND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd.Context(), func(o *plan.Options) error {
				s, err := o.Kinds.ParseOne(args[0])
				if err != nil {
					return err
				}
				return addDirect(o, s, args[1:], a)
			})
		},
	}
}

// kindAndCommand wants exactly the kind before "--", and a command after it.
func kindAndCommand(what, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		dash := cmd.ArgsLenAtDash()
		switch {
		case len(args) == 0 || dash == 0:
			return fmt.Errorf("name %s: %s", what, usage)
		case dash < 0 && len(args) > 1:
			return forgottenDash(cmd, args)
		case dash > 1:
			return fmt.Errorf(`put "--" between %s and the command: %s`, strings.Replace(what, "a ", "the ", 1), usage)
		case len(args) == 1:
			return errNothingToRun
		}
		return nil
	}
}

// takesCommand reports whether what follows the kind, behind "--", is a command.
func takesCommand(cmd *cobra.Command) bool { return strings.HasSuffix(cmd.Use, "-- COMMAND [ARG...]") }

// forgottenDash says where "--" belongs in the arguments: a kind, and a command.
func forgottenDash(cmd *cobra.Command, args []string) error {
	return fmt.Errorf(`put "--" before the command: %s %s -- %s`, cmd.CommandPath(), args[0], dockerargs.Quote(args[1:]))
}

// addDirect makes the options those of one command in one sidecar. A version
// or an image of the same kind may come from the global flags.
func addDirect(o *plan.Options, s toolchain.Selection, command []string, a *app) error {
	f := a.flags.toolchains
	f.Toolchain = append([]string{s.Spec()}, f.Toolchain...)
	selections, err := o.Kinds.Select(f)
	if err != nil {
		return err
	}
	if len(selections) > 1 {
		return errors.New("the toolchain command runs in one sidecar; leave --toolchain out")
	}
	o.Toolchains, o.Args = selections, command
	return nil
}
