package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/panes"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// chooseRunner decides how the panes run, and refuses what cannot be had.
func (s *forkStart) chooseRunner() (fork.Runner, error) {
	_, err := exec.LookPath("tmux")
	f := s.app.flags.fork
	return fork.RunnerChoice{
		GOOS: runtime.GOOS, Panes: f.panes, Asked: f.runner, HasTmux: err == nil,
		ForceTmux: s.app.env.Get("AIFO_CODER_FORK_FORCE_TMUX") == "1",
	}.Choose()
}

// tmux is the tmux server that has, or will have, the session's panes.
func (a *app) tmux(r fork.Record) panes.Tmux {
	t := r.Tmux(os.Environ())
	t.Step = a.steps
	return t
}

func (a *app) terminal() panes.Terminal {
	return panes.Terminal{In: a.streams.In, Out: a.streams.Out, Err: a.streams.Err}
}

// run makes the clones, runs the agents, and brings their work back.
func (s *forkStart) run(ctx context.Context) error {
	making, stop := untilSignal(ctx)
	r, err := s.service.Start(making, s.record, s.spec)
	stop()
	if err != nil {
		return err
	}
	s.record = r
	s.app.printer.Notice(fmt.Sprintf("session %s: the clones of %s are in %s", r.SID, s.repo.Root, r.Dir()))
	if err := s.app.launch(ctx, s.service, r); err != nil {
		if is[*session.SignalError](err) {
			return err // it came while the agents worked
		}
		return errors.Join(err, s.afterFailure(ctx))
	}
	return s.finish(ctx)
}

// afterFailure keeps the clones of panes that could not be started, or removes them.
func (s *forkStart) afterFailure(ctx context.Context) error {
	if s.app.flags.fork.keepOnFailure {
		s.app.printer.Notice("the clones are kept; aifo-coder fork resume --session " + s.record.SID + " starts the agents")
		return nil
	}
	p, err := s.service.PlanClean(ctx, s.record, fork.CleanSpec{})
	if err == nil {
		_, err = s.service.Clean(ctx, p)
	}
	return err
}

// launch starts the agents of the record's panes, and waits until they have ended.
func (a *app) launch(ctx context.Context, s fork.Service, r fork.Record) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	spec := panes.Spec{Mark: r.SID, Name: r.TmuxSession, Window: "aifo-fork", Layout: panes.Layout(r.Layout)}
	spec.Panes = fork.PaneSpecs(s.Store, r, self, s.RuntimeDir)
	if r.Runner == fork.RunnerInline {
		return a.runInline(ctx, s, r, spec.Panes[0].Index)
	}
	if err := a.start(ctx, s, r, spec); err != nil {
		return errors.Join(err, fork.RemovePaneEnvs(s.RuntimeDir, r))
	}
	return a.follow(ctx, s, r)
}

// start starts the panes, and returns when they run.
func (a *app) start(ctx context.Context, s fork.Service, r fork.Record, spec panes.Spec) error {
	for _, p := range spec.Panes {
		if err := fork.PreparePane(s.Store, r.SID, p.Index, s.RuntimeDir, a.config.environ(os.Environ())); err != nil {
			return err
		}
	}
	switch r.Runner {
	case fork.RunnerTmux:
		return a.startTmux(ctx, s, r, spec)
	case fork.RunnerPlain:
		return a.startPlain(spec)
	}
	return a.startWindows(ctx, spec)
}

// follow shows the panes, where there is a terminal, and waits until their agents have ended.
func (a *app) follow(ctx context.Context, s fork.Service, r fork.Record) error {
	if r.Runner == fork.RunnerTmux && a.onTerminal() {
		var gone *panes.GoneError // all have ended already
		if err := a.tmux(r).Attach(ctx, r.SID, a.terminal()); err != nil && !errors.As(err, &gone) {
			a.printer.Warn(err.Error())
		}
	}
	err := a.awaitPanes(ctx, s, r)
	if is[*session.SignalError](err) && r.Runner == fork.RunnerPlain {
		a.printer.Notice("ending the agents; aifo-coder fork merge brings their work into the repository")
		return errors.Join(err, a.stopPanes(context.WithoutCancel(ctx), s, r, 0))
	}
	return err
}

func (a *app) runInline(ctx context.Context, s fork.Service, r fork.Record, index int) error {
	process, err := a.paneProcess(s, r, index)
	if err != nil {
		return err
	}
	_, err = process.Main(ctx)
	return err
}

// startTmux starts the panes beside those of the session that still run, or in a new one.
func (a *app) startTmux(ctx context.Context, s fork.Service, r fork.Record, spec panes.Spec) error {
	started, err := a.tmux(r).Add(ctx, spec)
	if is[*panes.GoneError](err) {
		started, err = a.tmux(r).Start(ctx, spec, a.size())
	}
	if err != nil {
		return err
	}
	return s.SetSocket(r.SID, started.Socket)
}

func (a *app) startPlain(spec panes.Spec) error {
	if _, err := (panes.Plain{Env: os.Environ(), Now: time.Now(), Step: a.steps}).Start(spec); err != nil {
		return err
	}
	for _, p := range spec.Panes {
		a.printer.Notice(fmt.Sprintf("pane %d writes to %s", p.Index, p.Log))
	}
	return nil
}

func (a *app) startWindows(ctx context.Context, spec panes.Spec) error {
	_, lookErr := exec.LookPath("wt.exe")
	program, err := panes.ChooseWindows(a.env.Get("AIFO_CODER_FORK_ORCH"), lookErr == nil)
	if err != nil {
		return &UsageError{Err: err}
	}
	commands, err := panes.Windows(program, spec)
	if err != nil {
		return err
	}
	for _, argv := range commands {
		if err := proc.Run(ctx, proc.Cmd{Argv: argv}); err != nil {
			return err
		}
	}
	return nil
}

// awaitPanes waits until the agents of the record's panes have ended. A signal ends the
// waiting, not the agents.
func (a *app) awaitPanes(ctx context.Context, s fork.Service, r fork.Record) error {
	ctx, stop := untilSignal(ctx) // first, so that what the notice says is so
	defer stop()
	if living, err := s.Living(r); err == nil && len(living.Panes) > 0 && r.Runner != fork.RunnerPlain {
		a.printer.Notice("waiting until the agents have ended; Ctrl-C leaves them running")
	}
	work := a.printer.Begin("waiting for the agents").Of(len(r.Panes))
	err := fork.Waiter{Store: s.Store, Record: r, Self: s.Self, Changed: func(index int, st fork.PaneStatus) {
		a.tellEnd(index, st)
		work.Advance()
	}}.Wait(ctx)
	work.End(err)
	if is[*session.SignalError](err) && r.Runner != fork.RunnerPlain {
		a.printer.Notice("the agents go on; aifo-coder fork attach shows them, and aifo-coder fork merge brings their work back")
	}
	return err
}

// allEnded reports whether no agent works, though processes may live on to show how theirs ended.
func allEnded(s fork.Service, r fork.Record) bool {
	return !slices.ContainsFunc(r.Panes, func(p fork.Pane) bool {
		st, err := s.Store.Status(r.SID, p.Index, s.Self)
		return err != nil || st.State != fork.Ended
	})
}

// onTerminal reports whether a program that wants one can be run in front of the user.
func (a *app) onTerminal() bool {
	return term.IsTerminal(int(a.streams.In.Fd())) && term.IsTerminal(int(a.streams.Out.Fd()))
}

// size is that of the terminal, or zero.
func (a *app) size() panes.Size {
	cols, rows, err := term.GetSize(int(a.streams.Out.Fd()))
	if err != nil {
		return panes.Size{}
	}
	return panes.Size{Cols: cols, Rows: rows}
}

// tellEnd tells how a pane's agent ended.
func (a *app) tellEnd(index int, st fork.PaneStatus) {
	switch {
	case st.State == fork.Killed:
		a.printer.Warn(fmt.Sprintf("pane %d was killed; its clone is as it was", index))
	case st.Error != "":
		a.printer.Warn(fmt.Sprintf("pane %d: %s", index, st.Error))
	default:
		a.printer.Notice(fmt.Sprintf("pane %d: the agent ended with exit code %d", index, st.Code))
	}
}

// stopPanes ends the agents of the record's panes, within the grace period, and removes what those
// left that had to be killed. The period is the usual one when it is 0.
func (a *app) stopPanes(ctx context.Context, s fork.Service, r fork.Record, grace time.Duration) error {
	killed, err := fork.Stopper{Store: s.Store, Record: r, Self: s.Self, Grace: grace, Step: a.steps}.Stop(ctx)
	if len(killed) > 0 {
		err = errors.Join(err, sessions.Sweep(ctx, a.docker(), s.Self))
	}
	if living, livingErr := s.Living(r); livingErr != nil || len(living.Panes) > 0 || r.Runner != fork.RunnerTmux {
		return errors.Join(err, livingErr)
	}
	return errors.Join(err, a.closeTmux(ctx, s, r.SID))
}

// closeTmux ends the tmux session of a fork session in which no process lives any more.
func (a *app) closeTmux(ctx context.Context, s fork.Service, sid string) error {
	whole, err := s.Store.Load(sid)
	if err != nil {
		return err
	}
	living, err := s.Living(whole)
	if err != nil || len(living.Panes) > 0 {
		return err
	}
	return errors.Join(a.tmux(whole).Kill(ctx, sid), fork.RemovePaneEnvs(s.RuntimeDir, whole))
}

// attach shows the panes of a session in tmux.
func (a *app) attach(ctx context.Context, r fork.Record) error {
	if r.Runner != fork.RunnerTmux {
		return &notInTmuxError{record: r}
	}
	if !a.onTerminal() {
		return errors.New("attach needs a terminal")
	}
	return a.tmux(r).Attach(ctx, r.SID, a.terminal())
}

// notInTmuxError says that there is nothing to attach to.
type notInTmuxError struct{ record fork.Record }

func (e *notInTmuxError) Error() string {
	return fmt.Sprintf("the panes of session %s do not run in tmux (runner: %s)", e.record.SID, e.record.Runner)
}

// Hint says where to look instead.
func (e *notInTmuxError) Hint() string {
	return "aifo-coder fork status --session " + e.record.SID + " --json names the logs"
}

// finish brings the work of the panes back, and sets the exit code: that of the first agent
// which did not end with 0.
func (s *forkStart) finish(ctx context.Context) error {
	code, err := s.service.FirstFailure(s.record)
	if err != nil {
		return err
	}
	s.app.code = code
	if s.spec.Strategy == strategyNone {
		s.app.printer.Notice("aifo-coder fork status shows the work, aifo-coder fork merge brings it into the repository")
		return nil
	}
	m := forkMerge{
		app: s.app, out: s.app.streams.Err, autoclean: !s.app.flags.fork.noAutoclean,
		spec: fork.MergeSpec{Strategy: s.spec.Strategy},
	}
	return m.run(ctx, s.service, s.record)
}

func (a *app) forkResumeCmd() *cobra.Command {
	var sid string
	var numbers []int
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Run the agents of ended panes again, on the clones as they are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, r, err := a.theSession(cmd.Context(), sid)
			if err != nil {
				return err
			}
			again, err := s.Resumable(r, numbers)
			if err != nil {
				return err
			}
			if a.flags.dryRun {
				return previewPanes(cmd.OutOrStdout(), again)
			}
			return a.resume(cmd.Context(), s, again)
		},
	}
	a.sessionFlag(cmd, &sid)
	a.paneFlag(cmd, &numbers, &sid, "run the agent of pane `I` only; repeatable")
	return cmd
}

// resume runs the agents of panes that are resumable again.
func (a *app) resume(ctx context.Context, s fork.Service, again fork.Record) error {
	if again.Runner == fork.RunnerTmux {
		if err := a.closeTmux(ctx, s, again.SID); err != nil { // what is left of it may show ended panes
			return err
		}
	}
	if err := a.launch(ctx, s, again); err != nil {
		return err
	}
	var err error
	a.code, err = s.FirstFailure(again)
	a.printer.Notice("aifo-coder fork merge brings the work into the repository")
	return err
}
