package cli

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

func (a *app) cleanCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what killed sessions left",
		Long: `Remove the containers, networks, locks, sockets and empty network logs that killed sessions left, and print what was removed.
Nothing of a session that runs is touched, nor anything of another host's. Every session that starts does the same for
containers, networks, locks and sockets. Cache volumes stay (toolchain-cache-clear removes them), and so do the clones of
fork mode (fork clean).`,
		Example: `  aifo-coder clean --dry-run
  aifo-coder clean`,
		GroupID: groupSessions,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.clean(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) clean(ctx context.Context, w io.Writer, asJSON bool) error {
	h, err := a.sessionHost()
	if err != nil {
		return err
	}
	c := sessions.Cleaner{Finder: h.finder, Logs: emptyable(h.facts)}
	left, err := c.Left(ctx)
	if err != nil {
		return h.explain(ctx, err)
	}
	if !a.flags.dryRun {
		err = c.Remove(ctx, left)
	}
	return errors.Join(a.writeLeft(w, left, asJSON), err)
}

// writeLeft prints what was removed, or in a dry run would be; as JSON everything.
func (a *app) writeLeft(w io.Writer, left []sessions.Leftover, asJSON bool) error {
	if asJSON {
		return writeJSON(w, left)
	}
	if len(left) == 0 {
		a.printer.Notice("killed sessions have left nothing")
		return nil
	}
	t := newTable(w, "TYPE", "SESSION", "NAME")
	for _, l := range left {
		if l.Removed || a.flags.dryRun {
			t.row(string(l.Type), cmp.Or(foreign.Printable(l.Session), "-"), foreign.Printable(l.Name))
		}
	}
	return t.flush()
}
