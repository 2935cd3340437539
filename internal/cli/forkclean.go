package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// forkClean is one invocation of the command.
type forkClean struct {
	app       *app
	sid       string
	olderThan int
	all       bool
	yes       bool
	asJSON    bool
	spec      fork.CleanSpec
}

func (a *app) forkCleanCmd() *cobra.Command {
	c := forkClean{app: a}
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove the clones whose work is in the repository",
		Long: `Remove the clones of sessions of this repository, with everything else of those sessions. A clone goes when it is proven that
nothing is lost: it has no commit, stash or tag that the repository has not, and no file that differs from what is committed.
Files that git ignores do not count. While a pane of a session has more, nothing of that session is removed and the exit code is 1:
--keep-dirty removes the other clones, --force removes all, after a question. A pane whose agent runs is never removed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.check(cmd.Flags()); err != nil {
				return &UsageError{Err: err}
			}
			return c.run(cmd.Context())
		},
	}
	a.sessionFlag(cmd, &c.sid)
	fs := cmd.Flags()
	fs.IntVar(&c.olderThan, "older-than", 0, "clean the sessions that are `DAYS` old or older")
	mustComplete(cmd, "older-than", cobra.NoFileCompletions)
	fs.BoolVar(&c.all, "all", false, "clean all sessions of the repository")
	fs.BoolVar(&c.yes, "yes", false, "do not ask before --force throws work away")
	fs.BoolVar(&c.spec.Force, "force", false, "throw away work that is in the clones only")
	fs.BoolVar(&c.spec.KeepDirty, "keep-dirty", false, "keep the clones that have work, and remove the others")
	fs.BoolVar(&c.asJSON, "json", false, "print a JSON object")
	return cmd
}

// check refuses what cannot be meant, and takes -1 for no age.
func (c *forkClean) check(fs *pflag.FlagSet) error {
	if err := errors.Join(exclusive(fs, "session", "older-than", "all"), exclusive(fs, "force", "keep-dirty")); err != nil {
		return err
	}
	if !fs.Changed("older-than") {
		c.olderThan = -1
	} else if c.olderThan < 0 {
		return fmt.Errorf("--older-than %d: takes a number of days", c.olderThan)
	}
	return nil
}

// exclusive refuses two of the flags at once.
func exclusive(fs *pflag.FlagSet, names ...string) error {
	var given []string
	for _, name := range names {
		if fs.Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return fmt.Errorf("%s exclude each other", strings.Join(given, " and "))
	}
	return nil
}

// cleanReport is what clean prints as JSON. Names of fields are those of the existing program.
type cleanReport struct {
	Plan     bool               `json:"plan,omitempty"`
	Executed bool               `json:"executed,omitempty"`
	Sessions []cleanSessionJSON `json:"sessions"`
	// DeletedSessions and DeletedPanes count.
	DeletedSessions int `json:"deleted_sessions"`
	DeletedPanes    int `json:"deleted_panes"`
}

type cleanSessionJSON struct {
	SID       string         `json:"sid"`
	Total     int            `json:"panes_total"`
	Clean     int            `json:"panes_clean"`
	Protected int            `json:"panes_protected"`
	Delete    bool           `json:"will_delete_session"`
	Panes     []fork.PaneEnd `json:"panes"`
}

func (c forkClean) run(ctx context.Context) error {
	s, root, err := c.app.forkHost(ctx)
	if err != nil {
		return err
	}
	list, err := c.chosen(s, root)
	if err != nil {
		return err
	}
	if !c.app.flags.dryRun {
		// What a killed pane left on the engine; without an engine there is nothing to remove it with.
		_ = sessions.Sweep(ctx, c.app.docker(), s.Self)
	}
	plans := make([]fork.CleanPlan, len(list))
	for i, r := range list {
		if plans[i], err = s.PlanClean(ctx, r, c.spec); err != nil {
			return err
		}
	}
	if c.app.flags.dryRun {
		return c.preview(plans)
	}
	if err := c.confirm(plans); err != nil {
		return err
	}
	return c.act(ctx, s, plans)
}

// chosen returns the sessions that are to be cleaned.
func (c forkClean) chosen(s fork.Service, root string) ([]fork.Record, error) {
	if c.sid != "" || !c.all && c.olderThan < 0 {
		r, err := onlySession(s, root, c.sid)
		return []fork.Record{r}, err
	}
	if root == "" {
		return nil, &NoSessionError{}
	}
	list, err := s.Sessions(root)
	if c.olderThan >= 0 {
		before := time.Now().Add(-time.Duration(c.olderThan) * 24 * time.Hour).Unix()
		list = slices.DeleteFunc(list, func(r fork.Record) bool { return r.CreatedAt > before })
	}
	return list, err
}

// preview prints what would be removed.
func (c forkClean) preview(plans []fork.CleanPlan) error {
	if c.asJSON {
		return encodeJSON(c.app.streams.Out, cleanReport{Plan: true, Sessions: cleanJSON(plans)})
	}
	for _, p := range plans {
		for _, pane := range p.Panes {
			verb := "keep  "
			if pane.Remove {
				verb = "remove"
			}
			if _, err := fmt.Fprintf(c.app.streams.Out, "%s %s: %s\n", verb, pane.Dir, pane.Reason); err != nil {
				return err
			}
		}
	}
	return nil
}

func cleanJSON(plans []fork.CleanPlan) []cleanSessionJSON {
	list := []cleanSessionJSON{}
	for _, p := range plans {
		one := cleanSessionJSON{SID: p.Record.SID, Total: len(p.Panes), Delete: p.Whole(), Panes: p.Panes}
		for _, pane := range p.Panes {
			if pane.Protected {
				one.Protected++
			} else {
				one.Clean++
			}
		}
		list = append(list, one)
	}
	return list
}

// confirm asks before work is thrown away.
func (c forkClean) confirm(plans []fork.CleanPlan) error {
	var lost []string
	for _, p := range plans {
		for _, pane := range p.Panes {
			if pane.Protected && pane.Remove {
				lost = append(lost, fmt.Sprintf("session %s, pane %d: %s", p.Record.SID, pane.Index, pane.Reason))
			}
		}
	}
	if len(lost) == 0 || c.yes {
		return nil
	}
	if !c.app.canAsk() {
		return &UsageError{Err: errors.New("--force throws work away; without a terminal to ask on it needs --yes")}
	}
	for _, l := range lost {
		c.app.printer.Warn("will be lost: " + l)
	}
	return c.app.ask("throw this work away?")
}

// act removes what is to be removed. A session that is refused does not keep the others.
func (c forkClean) act(ctx context.Context, s fork.Service, plans []fork.CleanPlan) error {
	report := cleanReport{Executed: true, Sessions: cleanJSON(plans)}
	var errs []error
	for _, p := range plans {
		done, err := s.Clean(ctx, p)
		errs = append(errs, err)
		report.DeletedPanes += done.Panes
		if done.Session {
			report.DeletedSessions++
			// What is left of it there shows panes whose agents have ended.
			errs = append(errs, c.app.tmux(p.Record).Kill(ctx, p.Record.SID))
		}
		if !c.asJSON {
			c.tell(p, done)
		}
	}
	if c.asJSON {
		errs = append(errs, encodeJSON(c.app.streams.Out, report))
	}
	return errors.Join(errs...)
}

func (c forkClean) tell(p fork.CleanPlan, done fork.Cleaned) {
	switch {
	case done.Session:
		fmt.Fprintf(c.app.streams.Out, "removed session %s\n", p.Record.SID)
	case done.Panes > 0:
		fmt.Fprintf(c.app.streams.Out, "removed %d of %d panes of session %s\n", done.Panes, len(p.Panes), p.Record.SID)
	}
	if len(done.Branches) > 0 {
		c.app.printer.Notice("work that is merged nowhere stays on " + strings.Join(done.Branches, ", "))
	}
}

// autoclean removes the clones whose work is in the repository, and says which have more.
func (a *app) autoclean(ctx context.Context, s fork.Service, sid string) error {
	r, err := s.Store.Load(sid)
	if err != nil {
		return err
	}
	p, err := s.PlanClean(ctx, r, fork.CleanSpec{KeepDirty: true})
	if err != nil {
		return err
	}
	done, err := s.Clean(ctx, p)
	if done.Session {
		err = errors.Join(err, a.tmux(r).Kill(ctx, sid))
	}
	for _, pane := range p.Panes {
		if pane.Protected {
			a.printer.Warn(fmt.Sprintf("pane %d is kept: %s", pane.Index, pane.Reason))
		}
	}
	return err
}
