package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// stop is one invocation of the command.
type stop struct {
	app   *app
	host  sessionHost
	all   bool
	grace time.Duration
}

func (a *app) stopCmd() *cobra.Command {
	c := stop{app: a}
	cmd := &cobra.Command{
		Use:   "stop [SESSION...]",
		Short: "End sessions, and remove what they made",
		Long: `End sessions as SIGTERM does, wait until they have removed their containers, and print their ids. One that takes too long is
killed, and what it left is removed; of a session that is dead, what it left is removed at once. A session is named by its
id or the beginning of it. Without a name it is the only one that runs in this workspace, or on clones of
it in fork mode, or in a directory around it, or else the only one that runs. In fork mode
the agent of the pane is ended, and its work stays.`,
		Example: `  aifo-coder stop
  aifo-coder stop k3j2
  aifo-coder stop --all --time 5s`,
		GroupID: groupSessions,
		Args: func(_ *cobra.Command, args []string) error {
			if c.all && len(args) > 0 {
				return errors.New("--all ends every session; name none beside it")
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.completeSessionIDs(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.grace < 0 {
				return &UsageError{Err: fmt.Errorf("--time %s: takes a duration that is not below 0", c.grace)}
			}
			return c.run(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
	cmd.Flags().BoolVar(&c.all, "all", false, "end all sessions of yours")
	cmd.Flags().DurationVar(&c.grace, "time", sessions.StopGrace, "kill a session that has not ended after `DURATION`, as in 5s")
	mustComplete(cmd, "time", cobra.NoFileCompletions)
	return cmd
}

func (c stop) run(ctx context.Context, w io.Writer, asked []string) error {
	var err error
	if c.host, err = c.app.sessionHost(); err != nil {
		return err
	}
	list, err := c.chosen(ctx, asked)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		c.app.printer.Notice("no session of yours runs")
		return nil
	}
	if !c.app.flags.dryRun {
		work := c.app.printer.Begin("ending " + sessionsInWords(list))
		list, err = c.end(ctx, list)
		work.End(err)
	}
	for _, s := range list {
		if _, printErr := fmt.Fprintln(w, s.ID); printErr != nil {
			return errors.Join(err, printErr)
		}
	}
	return err
}

func sessionsInWords(list []sessions.Session) string {
	if len(list) == 1 {
		return "session " + list[0].ID
	}
	return fmt.Sprintf("%d sessions", len(list))
}

// chosen returns the sessions that are meant, each once.
func (c stop) chosen(ctx context.Context, asked []string) ([]sessions.Session, error) {
	list, err := c.host.find(ctx)
	if err != nil {
		return nil, err
	}
	if c.all {
		return slices.DeleteFunc(list, func(s sessions.Session) bool { return s.Own() != nil }), nil
	}
	if len(asked) == 0 {
		asked = []string{""}
	}
	var chosen []sessions.Session
	for _, id := range asked {
		s, err := sessions.Choose(list, id, c.host.facts.Workspace)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(chosen, func(o sessions.Session) bool { return o.Owner == s.Owner && o.ID == s.ID }) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

// end ends the sessions, all at once, and returns those that have ended.
func (c stop) end(ctx context.Context, list []sessions.Session) ([]sessions.Session, error) {
	ctx, cancel := untilSignal(ctx)
	defer cancel()
	panes, others := c.byPane(list)
	var all sync.WaitGroup
	errs := make([]error, 0, len(panes)+1)
	var mu sync.Mutex
	add := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	}
	for sid, numbers := range panes {
		all.Go(func() { add(c.endPanes(ctx, sid, numbers)) })
	}
	all.Go(func() { add(c.endOthers(ctx, others)) })
	all.Wait()
	// The dead among them, those that had to be killed, and whatever an engine that
	// was away for a moment kept from being removed.
	cleaner := sessions.Cleaner{Finder: c.host.finder, Logs: emptyable(c.host.facts)}
	left, err := cleaner.Left(ctx)
	if err == nil {
		err = cleaner.Remove(ctx, left)
	}
	errs = append(errs, err)
	ended := slices.DeleteFunc(list, func(s sessions.Session) bool { return !s.Owner.Dead(c.host.facts.Owner) })
	return ended, errors.Join(errs...)
}

// byPane returns the numbers of the panes that run, by the ids of their fork sessions, and
// all other sessions.
func (c stop) byPane(list []sessions.Session) (panes map[string][]int, others []sessions.Session) {
	panes = map[string][]int{}
	for _, s := range list {
		if s.Pane != nil && s.State == sessions.Running {
			panes[s.Pane.SID] = append(panes[s.Pane.SID], s.Pane.Index)
			continue
		}
		others = append(others, s)
	}
	return panes, others
}

// endPanes is what fork stop does.
func (c stop) endPanes(ctx context.Context, sid string, numbers []int) error {
	for _, r := range c.host.records {
		if r.SID == sid {
			// A grace period of 0 would be the usual one.
			return c.app.stopPanes(ctx, c.host.fork, r.Only(numbers), max(c.grace, time.Nanosecond))
		}
	}
	return nil
}

func (c stop) endOthers(ctx context.Context, list []sessions.Session) error {
	killed, err := sessions.Stop(ctx, list, c.host.facts.Owner, c.grace)
	for _, id := range killed {
		c.app.printer.Warn(fmt.Sprintf("session %s did not end within %s and was killed", id, c.grace))
	}
	return err
}
