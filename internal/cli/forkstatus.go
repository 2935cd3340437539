package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/fork"
)

func (a *app) forkStatusCmd() *cobra.Command {
	var sid string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what each pane's agent does, and what it has done",
		Long: `Show for each pane whether its agent runs or has ended, its exit code, the commits that it has beyond the base, the files
that are not committed, and whether the work is in the repository. What "clean" would remove is "empty" or "preserved".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, root, err := a.forkHost(cmd.Context())
			if err != nil {
				return err
			}
			list, err := chosenSessions(s, root, sid)
			if err != nil {
				return err
			}
			views := []fork.SessionView{}
			for _, r := range list {
				view, err := s.Status(cmd.Context(), r)
				if err != nil {
					return err
				}
				views = append(views, view)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), views)
			}
			return a.writeStatus(cmd.OutOrStdout(), views)
		},
	}
	a.sessionFlag(cmd, &sid)
	cmd.Flag("session").Usage = "show the session `SID` (default: all of the repository)"
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// chosenSessions returns the session that --session names, or all of the repository.
func chosenSessions(s fork.Service, root, sid string) ([]fork.Record, error) {
	if sid != "" {
		r, err := s.Load(root, sid)
		return []fork.Record{r}, err
	}
	if root == "" {
		return nil, &NoSessionError{}
	}
	return s.Sessions(root)
}

func (a *app) writeStatus(w io.Writer, views []fork.SessionView) error {
	if len(views) == 0 {
		a.printer.Notice("there is no fork session")
	}
	for i, v := range views {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "session %s: %s on %s\n", v.SID, v.Agent, v.BaseLabel)
		t := newTable(w, "PANE", "AGENT", "EXIT", "AHEAD", "DIRTY", "WORK", "BRANCH")
		for _, p := range v.Panes {
			exit := "-"
			if p.ExitCode != nil {
				exit = strconv.Itoa(*p.ExitCode)
			}
			t.row(strconv.Itoa(p.Index), string(p.State), exit, strconv.Itoa(p.Ahead), strconv.Itoa(p.Changed), p.Verdict(), p.ShortBranch())
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) forkDiffCmd() *cobra.Command {
	var sid string
	var stat, names bool
	cmd := &cobra.Command{
		Use:   "diff PANE",
		Short: "Show what a pane's agent has changed, committed or not",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name the pane: aifo-coder fork diff PANE; aifo-coder fork status lists them")
			}
			return oneAtMost("pane")(cmd, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completePanes(cmd.Context(), sid), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd.Flags(), "stat", "name-only"); err != nil {
				return &UsageError{Err: err}
			}
			index, err := strconv.Atoi(args[0])
			if err != nil {
				return &UsageError{Err: fmt.Errorf("%q is not the number of a pane", args[0])}
			}
			s, r, err := a.theSession(cmd.Context(), sid)
			if err != nil {
				return err
			}
			d := foreign.Diff{Out: cmd.OutOrStdout(), Terminal: term.IsTerminal(int(a.streams.Out.Fd()))}
			d.Color = a.colored(d.Terminal)
			switch {
			case stat:
				d.Format = foreign.Stat
			case names:
				d.Format = foreign.Names
			}
			return s.Diff(cmd.Context(), r, index, d)
		},
	}
	a.sessionFlag(cmd, &sid)
	cmd.Flags().BoolVar(&stat, "stat", false, "show the files and how much of each has changed")
	cmd.Flags().BoolVar(&names, "name-only", false, "show the names of the changed files")
	return cmd
}

func (a *app) forkAttachCmd() *cobra.Command {
	var sid string
	cmd := &cobra.Command{
		Use:   "attach",
		Short: "Show the panes of a session in this terminal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, r, err := a.theSession(cmd.Context(), sid)
			if err != nil {
				return err
			}
			return a.attach(cmd.Context(), r)
		},
	}
	a.sessionFlag(cmd, &sid)
	return cmd
}

func (a *app) forkStopCmd() *cobra.Command {
	var sid string
	var panes []int
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "End the agents of a session; their work stays",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, r, err := a.theSession(cmd.Context(), sid)
			if err != nil {
				return err
			}
			if r, err = r.Chosen(panes); err != nil {
				return err
			}
			if a.flags.dryRun {
				living, err := s.Living(r)
				return errors.Join(err, previewPanes(cmd.OutOrStdout(), living))
			}
			work := a.printer.Begin("ending the agents of session " + r.SID)
			err = a.stopPanes(cmd.Context(), s, r, 0)
			work.End(err)
			return err
		},
	}
	a.sessionFlag(cmd, &sid)
	a.paneFlag(cmd, &panes, &sid, "end the agent of pane `I` only; repeatable")
	return cmd
}

// previewPanes prints the panes of the record that a command would work on, one a line.
func previewPanes(w io.Writer, r fork.Record) error {
	for _, p := range r.Panes {
		if _, err := fmt.Fprintf(w, "pane %d of session %s\n", p.Index, r.SID); err != nil {
			return err
		}
	}
	return nil
}
