package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/logs"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// logsFlags are the flags of "logs".
type logsFlags struct {
	kind   string
	follow bool
	tail   int
}

func (a *app) logsCmd() *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs [SESSION]",
		Short: "Show what the containers of a session wrote",
		Long: `Show what the sidecars of a session wrote, each line with the kind of its sidecar where there are several, and of a pane of
fork mode in the background what its agent wrote. What a tool writes goes to whoever called it, and what an agent writes
elsewhere goes to its terminal and is kept nowhere. A session is named by its id or the beginning of it. Without a name it is
the only one that runs in this workspace, or on clones of it in fork mode, or in a directory around it, or else the only one.`,
		Example: `  aifo-coder logs
  aifo-coder logs k3j2 --kind rust -f`,
		GroupID:           groupSessions,
		Args:              oneAtMost("session"),
		ValidArgsFunction: a.completeOneSession,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.showLogs(cmd.Context(), cmd.OutOrStdout(), strings.Join(args, ""), f)
		},
	}
	cmd.Flags().StringVar(&f.kind, "kind", "", "show only that of `KIND`: a toolchain, or agent")
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until the session ends")
	cmd.Flags().IntVar(&f.tail, "tail", -1, "show only the last `N` lines of each (default: all)")
	cmd.Flag("tail").DefValue = "" // a number that means all is no news to anybody
	mustComplete(cmd, "tail", cobra.NoFileCompletions)
	mustComplete(cmd, "kind", func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.completeSessionKinds(cmd.Context(), strings.Join(args, "")), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (a *app) showLogs(ctx context.Context, w io.Writer, asked string, f logsFlags) error {
	h, err := a.sessionHost()
	if err != nil {
		return err
	}
	s, err := h.chooseLogged(ctx, asked)
	if err != nil {
		return err
	}
	sources, err := logSources(h.fork, s, f.kind)
	if err != nil {
		return err
	}
	o := logs.Options{Follow: f.follow, Tail: f.tail}
	if term.IsTerminal(int(a.streams.Out.Fd())) {
		o.Line = foreign.Printable // an agent may have written it
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return logs.Show(ctx, a.docker(), sources, o, w)
}

// chooseLogged is choose, which also finds a pane that has ended and left its log.
func (h sessionHost) chooseLogged(ctx context.Context, asked string) (sessions.Session, error) {
	s, err := h.choose(ctx, asked)
	if p, ok := h.finder.Panes[asked]; is[*sessions.NotFoundError](err) && ok && p.Log != "" {
		return sessions.Session{ID: asked, State: sessions.Dead, Pane: &p}, nil
	}
	return s, err
}

// NoOutputError says that nothing is kept of what was asked for.
type NoOutputError struct {
	Session string
	Kind    string   // empty: none was asked for
	Have    []string // kinds that there are logs of
}

func (e *NoOutputError) Error() string {
	switch {
	case e.Kind == plan.KindAgent:
		return fmt.Sprintf("what the agent of session %s writes is kept nowhere", e.Session)
	case e.Kind != "" && len(e.Have) > 0:
		return fmt.Sprintf("there is no log of %q in session %s; there is one of: %s", e.Kind, e.Session, strings.Join(e.Have, ", "))
	}
	return fmt.Sprintf("session %s has no sidecars, and so no log", e.Session)
}

// Hint says where an agent's output can be had.
func (e *NoOutputError) Hint() string {
	if e.Kind == plan.KindAgent || e.Kind == "" {
		return "what an agent writes goes to its terminal or wherever its session was started to write; fork mode keeps it in a log: --fork N --fork-runner plain"
	}
	return ""
}

// logSources returns the logs of the session, or that of the one kind.
func logSources(s fork.Service, one sessions.Session, kind string) ([]logs.Source, error) {
	var sources []logs.Source
	if p := one.Pane; p != nil && p.Log != "" {
		sources = append(sources, logs.Source{Name: plan.KindAgent, File: p.Log, Ended: func() bool {
			lives, err := fork.PaneLives(s.Store, p.SID, p.Index)
			return err == nil && !lives
		}})
	}
	for _, c := range one.Containers {
		if c.Logged() {
			sources = append(sources, logs.Source{Name: c.Kind, Container: c.ID})
		}
	}
	missing := &NoOutputError{Session: one.ID, Kind: kind}
	for _, source := range sources {
		missing.Have = append(missing.Have, source.Name)
	}
	if kind != "" {
		sources = slices.DeleteFunc(sources, func(s logs.Source) bool { return s.Name != kind })
	}
	switch {
	case len(sources) > 0:
		return sources, nil
	case one.OtherEngine != "":
		return nil, &sessions.OtherEngineError{Session: one}
	}
	return nil, missing
}
