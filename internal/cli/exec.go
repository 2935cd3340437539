package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

func (a *app) execCmd() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "exec [--session SESSION] KIND [flags] -- COMMAND [ARG...]",
		Short: "Run a command in a container of a running session",
		Long: `Run a command in the sidecar of that kind, or with "agent" in the agent's container, of a session that runs: as the user that
its tools run as, in the directory that is yours here, on your streams. On a terminal the command gets one. Its exit code is
that of the command. Without --session the session is the only one that runs in this workspace, or on clones of it in fork mode,
or in a directory around it, or else the only one that runs.`,
		Example: `  aifo-coder exec rust -- cargo tree
  aifo-coder exec agent -- bash
  aifo-coder exec --session k3j2 python -- python`,
		GroupID: groupSessions,
		Args:    kindAndCommand("a kind", "aifo-coder exec KIND -- COMMAND"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.completeSessionKinds(cmd.Context(), id), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			attached, err := a.attachTo(cmd.Context(), id, args[0], args[1:])
			if err != nil {
				return err
			}
			argv := attached.Docker.Cmd(attached.Argv()).Argv
			if a.flags.dryRun {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), dockerargs.Quote(argv))
				return err
			}
			attached.Docker.Traced(argv)
			if a.code, err = attached.Run(cmd.Context()); err != nil {
				return &sessionError{err: err}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&id, "session", "", "run it in the `SESSION` of that id, or whose id begins so")
	mustComplete(cmd, "session", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.completeSessionIDs(cmd.Context(), nil), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// NoContainerError says that a session has no container of a kind that runs.
type NoContainerError struct {
	Session sessions.Session
	Kind    string
}

func (e *NoContainerError) Error() string {
	have := "no container"
	if kinds := e.Session.Kinds(); len(kinds) > 0 {
		have = strings.Join(kinds, ", ")
	}
	if c, ok := e.Session.Container(e.Kind); ok {
		return fmt.Sprintf("the %s container of session %s does not run: it is %s", e.Kind, e.Session.ID, c.State)
	}
	return fmt.Sprintf("session %s has no container for %q; it has: %s", e.Session.ID, e.Kind, have)
}

// Hint says where sidecars come from.
func (e *NoContainerError) Hint() string {
	return "a session gets its sidecars when it starts, as in aifo-coder --toolchain rust shell"
}

// DeadSessionError says that a session was killed, so that nothing is to be run in it.
type DeadSessionError struct{ ID string }

func (e *DeadSessionError) Error() string { return fmt.Sprintf("session %s is dead", e.ID) }

// Hint says what becomes of it.
func (e *DeadSessionError) Hint() string { return "aifo-coder clean removes what it left" }

// attachTo decides where and as whom a command runs in a session.
func (a *app) attachTo(ctx context.Context, id, kind string, argv []string) (session.Attached, error) {
	none := session.Attached{}
	kinds, err := a.flags.kinds(a.env)
	if err != nil {
		return none, &UsageError{Err: err}
	}
	limit, err := toolTimeout(a.flags.timeout, a.env)
	if err != nil {
		return none, &UsageError{Err: err}
	}
	grace, err := parseGrace(a.env.Get(graceVariable))
	if err != nil {
		return none, &UsageError{Err: err}
	}
	h, err := a.sessionHost()
	if err != nil {
		return none, err
	}
	s, err := h.choose(ctx, id)
	if err != nil {
		return none, err
	}
	c, err := containerOf(s, kinds, kind)
	if err != nil {
		return none, err
	}
	there := h.facts
	there.Workspace = s.Workspace
	attached := session.Attached{
		Facts: h.facts, Docker: a.docker(), Streams: a.streams, Kinds: kinds, Notice: a.printer.Notice,
		Session: s.ID, Container: c.Name, Limit: limit, Grace: max(grace, 0),
		Call: plan.Call{
			Kind: c.Kind, Argv: argv, Stdin: true, TTY: h.facts.Interactive(),
			Cwd: plan.Workdir(there, c.Workspace(s.Workspace, execproto.Workspace)),
		},
	}
	return a.completeAttached(ctx, attached, c)
}

// completeAttached adds what only the container tells.
func (a *app) completeAttached(ctx context.Context, at session.Attached, c sessions.Container) (session.Attached, error) {
	var ok bool
	if at.User, ok = c.User(); !ok {
		return at, fmt.Errorf("the container %s does not say whose its tools are; start the session again", c.Name)
	}
	if at.Grace == 0 {
		at.Grace = plan.DefaultToolGrace
	}
	var err error
	if at.Call.ID, err = randomID(); err != nil {
		return at, err
	}
	if c.Kind == plan.KindAgent {
		at.Path, err = at.Docker.Path(ctx, c.ID)
	}
	return at, err
}

// containerOf returns the session's running container of a kind, as it is named or by an alias.
func containerOf(s sessions.Session, kinds toolchain.Set, kind string) (sessions.Container, error) {
	c, ok := s.Container(kind)
	if k, known := kinds.Lookup(kind); !ok && known {
		kind = k.Name
		c, ok = s.Container(kind)
	}
	switch {
	case s.State == sessions.Dead: // which its containers may have outlived
		return c, &DeadSessionError{ID: s.ID}
	case s.OtherEngine != "":
		return c, &sessions.OtherEngineError{Session: s}
	case !ok, c.State != "running":
		return c, &NoContainerError{Session: s, Kind: kind}
	}
	return c, nil
}
