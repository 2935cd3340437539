package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/fork"
)

// forkMerge is one invocation of the command.
type forkMerge struct {
	app       *app
	sid       string
	spec      fork.MergeSpec
	autoclean bool
	asJSON    bool
	out       io.Writer // for the report
}

func (a *app) forkMergeCmd() *cobra.Command {
	m := forkMerge{app: a}
	cmd := &cobra.Command{
		Use:   "merge",
		Short: "Bring the work of the panes into the repository",
		Long: `Wait until the agents have ended, then bring the commits of the panes into the repository: "fetch" as branches
fork/BASE/SID-PANE, "octopus" as one merge commit on the base branch as well. Where the base branch cannot take it, the merge
stays on the branch merge/SID. A conflict changes nothing. What is not committed in a pane is not merged; its clone stays.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkWord("--strategy", m.spec.Strategy, strategies[:2]); err != nil {
				return &UsageError{Err: err}
			}
			s, r, err := a.theSession(cmd.Context(), m.sid)
			if err != nil {
				return err
			}
			m.spec.DryRun, m.out = a.flags.dryRun, cmd.OutOrStdout()
			return m.run(cmd.Context(), s, r)
		},
	}
	a.sessionFlag(cmd, &m.sid)
	a.paneFlag(cmd, &m.spec.Panes, &m.sid, "merge pane `I` only; repeatable")
	cmd.Flags().StringVar(&m.spec.Strategy, "strategy", strategies[0], "bring one merge commit, or branches only: `octopus|fetch`")
	mustComplete(cmd, "strategy", cobra.FixedCompletions(strategies[:2], cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&m.autoclean, "autoclean", false, "then remove the clones whose work is in the repository")
	cmd.Flags().BoolVar(&m.asJSON, "json", false, "print a JSON object")
	return cmd
}

func (m forkMerge) run(ctx context.Context, s fork.Service, r fork.Record) error {
	if !m.spec.DryRun {
		living, err := s.Living(r.Only(m.spec.Panes))
		if err == nil && !allEnded(s, living) {
			err = m.app.awaitPanes(ctx, s, living)
		}
		if err != nil {
			return err
		}
	}
	m.spec.KeepRef = m.app.env.Get("AIFO_FORK_MERGE_NO_AUTOCLEAN") == "1"
	report, err := s.Merge(ctx, r, m.spec)
	if err != nil {
		if m.asJSON {
			report.Error = err.Error()
			return errors.Join(encodeJSON(m.out, report), err)
		}
		return errors.Join(m.tellPanes(report), err)
	}
	if m.asJSON {
		err = encodeJSON(m.out, report)
	} else {
		err = m.tell(report)
	}
	if err != nil || !m.autoclean || m.spec.DryRun {
		return err
	}
	return m.app.autoclean(ctx, s, r.SID)
}

// tell prints what came into the repository.
func (m forkMerge) tell(r fork.MergeReport) error {
	if err := m.tellPanes(r); err != nil {
		return err
	}
	_, err := fmt.Fprint(m.out, merged(r))
	if err == nil && r.Left != "" && !r.DryRun {
		m.app.printer.Notice("take it when you can: git merge " + r.ShortTarget())
	}
	return err
}

// tellPanes prints what came of each pane.
func (m forkMerge) tellPanes(r fork.MergeReport) error {
	var b strings.Builder
	for _, p := range r.Panes {
		for _, line := range p.Lines() {
			b.WriteString(line + "\n")
		}
	}
	_, err := fmt.Fprint(m.out, b.String())
	return err
}

// merged says where the merge is, or would be.
func merged(r fork.MergeReport) string {
	did, was := "merged", "was"
	if r.DryRun {
		did, was = "would merge", "is"
	}
	switch {
	case r.Left != "":
		return fmt.Sprintf("%s to the branch %s, not to %s: %s\n", did, r.ShortTarget(), r.Base, r.Left)
	case r.Commit != "" && r.DryRun:
		return fmt.Sprintf("would merge to %s\n", r.ShortTarget())
	case r.Commit != "":
		return fmt.Sprintf("merged to %s: %s\n", r.ShortTarget(), r.Commit)
	case r.Strategy == fork.StrategyOctopus:
		return fmt.Sprintf("there %s nothing to merge\n", was)
	}
	return ""
}
