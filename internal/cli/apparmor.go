package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func (a *app) appArmorCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "apparmor",
		GroupID: groupMachine,
		Short:   "Print the AppArmor profiles of the containers",
		Long: `Print the AppArmor profiles of the containers, for apparmor_parser. Once they are
loaded, containers of new sessions have them; before, they have the engine's own.

  aifo-coder apparmor | sudo tee ` + apparmor.File + ` >/dev/null
  sudo apparmor_parser --replace ` + apparmor.File + `

` + apparmor.Variable + ` names another profile that is loaded, or none.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), apparmor.Profiles())
			return err
		},
	}
}

// chooseAppArmor decides about the profiles of a session. Who watches at a terminal is told
// where there are none.
func (a *app) chooseAppArmor(o *plan.Options, f hostfacts.Facts) error {
	if f.Engine == nil {
		return nil
	}
	var err error
	o.AppArmor, err = apparmor.Choose(a.env.Get(apparmor.Variable), f.AppArmor)
	if err != nil {
		return &UsageError{Err: err}
	}
	if o.AppArmor.Notice != "" && (a.flags.verbose || term.IsTerminal(int(a.streams.Err.Fd()))) {
		a.printer.Notice(o.AppArmor.Notice)
	}
	return nil
}
