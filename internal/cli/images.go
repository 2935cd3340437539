package cli

import (
	"context"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// imageRow is one line of the images command.
type imageRow struct {
	Type    string `json:"type"` // "agent" or "toolchain"
	Name    string `json:"name"`
	Image   string `json:"image"`
	Present bool   `json:"present"`
	Source  string `json:"source"` // what decided: a flag, a variable, "local" or "default"
}

func (a *app) imagesCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "images",
		GroupID: groupMachine,
		Short:   "Show which image each agent and toolchain uses, and whether it is present",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.imageRows(cmd.Context())
			if err != nil {
				return err
			}
			return writeImages(a.streams.Out, rows, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// imageRows resolves the image of every agent and toolchain as a run with the
// same flags would.
func (a *app) imageRows(ctx context.Context) ([]imageRow, error) {
	chosen, err := a.flags.options(a.env)
	if err != nil {
		return nil, &UsageError{Err: err}
	}
	for _, w := range deprecated(a.env) {
		a.printer.Warn(w)
	}
	chosen.Toolchains = chosen.AllToolchains()
	for _, ag := range agent.All() {
		chosen.Agent = &ag
		if err := checkOptions(chosen, a.env, runtime.GOOS); err != nil {
			return nil, &UsageError{Err: err}
		}
	}
	var f hostfacts.Facts
	if err := a.readEngine(ctx, &f, plan.AllImages(chosen, a.env, agent.All())); err != nil {
		return nil, err
	}
	var rows []imageRow
	for _, ag := range agent.All() {
		c := plan.AgentImage(ag, chosen, a.env, f.Present)
		rows = append(rows, imageRow{Type: "agent", Name: ag.Name, Image: c.Ref, Present: f.Present(c.Ref), Source: c.Source})
	}
	for _, s := range chosen.Toolchains {
		c := plan.ToolchainImage(s, chosen, a.env, f.Present)
		rows = append(rows, imageRow{Type: "toolchain", Name: s.Kind.Name, Image: c.Ref, Present: f.Present(c.Ref), Source: c.Source})
	}
	return rows, nil
}

func writeImages(w io.Writer, rows []imageRow, asJSON bool) error {
	if asJSON {
		return writeJSON(w, rows)
	}
	t := newTable(w, "TYPE", "NAME", "IMAGE", "PRESENT", "SOURCE")
	for _, r := range rows {
		present := "no"
		if r.Present {
			present = "yes"
		}
		t.row(r.Type, r.Name, r.Image, present, r.Source)
	}
	return t.flush()
}
