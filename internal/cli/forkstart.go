package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

// forkStart is one start of fork mode.
type forkStart struct {
	app   *app
	agent agent.Agent
	args  []string

	service fork.Service
	facts   hostfacts.Facts
	options plan.Options
	repo    git.Repo
	spec    fork.StartSpec
	record  fork.Record
	plan    plan.Plan // of the first pane; the others differ in names
}

// forkAgents runs the agent in several clones.
func (a *app) forkAgents(ctx context.Context, ag agent.Agent, args []string, fs *pflag.FlagSet) error {
	s := forkStart{app: a, agent: ag, args: args}
	if err := s.decide(ctx, fs); err != nil {
		return err
	}
	if a.flags.dryRun {
		return s.show()
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if err := s.pull(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// decide finds out everything that the start needs, and changes nothing.
func (s *forkStart) decide(ctx context.Context, fs *pflag.FlagSet) error {
	err := s.decideOptions()
	if err != nil {
		return &UsageError{Err: err}
	}
	if s.facts, err = s.app.facts(ctx, s.options); err != nil {
		return err
	}
	if err := s.app.decide(ctx, &s.options, s.facts); err != nil {
		return err
	}
	s.service = s.app.service(s.facts)
	if s.repo, err = git.Open(ctx, s.facts.Workspace); err != nil {
		return err
	}
	runner, err := s.chooseRunner()
	if err != nil {
		return err
	}
	argv, err := paneArgv(fs, s.agent.Name, s.args)
	if err != nil {
		return err
	}
	f := s.app.flags.fork
	s.spec = fork.StartSpec{
		Repo: s.repo, Panes: f.panes, IncludeDirty: f.includeDirty, Dissociate: f.dissociate, Layout: f.layout, Runner: runner,
		TmuxName: f.sessionName, Strategy: f.strategy, Subdir: subdir(s.repo.Root, s.facts.Cwd), Argv: argv,
		AgentState: s.facts.StateDir, Agent: s.agent.Name,
	}
	if s.record, err = s.service.Plan(s.spec); err != nil {
		return err
	}
	if runner == fork.RunnerTmux && !s.app.flags.dryRun {
		if err := s.app.tmux(s.record).Check(ctx, s.record.TmuxSession); err != nil {
			return err
		}
	}
	s.plan = s.panePlan(s.record.Panes[0])
	for _, w := range append(deprecated(s.app.env), s.plan.Warnings...) {
		s.app.printer.Warn(w)
	}
	return s.check()
}

func (s *forkStart) decideOptions() error {
	var err error
	if s.options, err = s.app.flags.options(s.app.env); err != nil {
		return err
	}
	if err = checkPublishInPanes(s.options.Publish, s.app.flags.fork.panes); err != nil {
		return err
	}
	s.options.Agent, s.options.Args = &s.agent, s.args
	return checkOptions(s.options, s.app.env, runtime.GOOS)
}

// check refuses what would fail in every pane.
func (s *forkStart) check() error {
	if s.app.env.Get(envSessionID) != "" {
		return &UsageError{Err: fmt.Errorf("--fork gives each pane a session of its own; %s must not be set", envSessionID)}
	}
	if s.app.flags.dryRun {
		return nil
	}
	var errs []error
	for _, m := range s.plan.Missing {
		errs = append(errs, &session.MissingImageError{MissingImage: m})
	}
	if err := errors.Join(errs...); err != nil {
		return &sessionError{err: err}
	}
	return nil
}

// subdir returns cwd below root, or "" where it is elsewhere.
func subdir(root, cwd string) string {
	rel, err := filepath.Rel(root, cwd)
	if err != nil || !filepath.IsLocal(rel) || rel == "." {
		return ""
	}
	return rel
}

// panePlan returns the plan of a pane's session, as the pane itself will make it.
func (s *forkStart) panePlan(p fork.Pane) plan.Plan {
	o, f := s.options, s.facts
	f.Workspace, f.Cwd, f.HasForks, f.GitLink = p.Dir, filepath.Join(p.Dir, s.record.Subdir), false, nil
	newPane(s.service, s.record, p, nil).complete(&o, &f)
	return plan.Build(o, f, paneSession(s.record, p))
}

// show prints every command of the session: git's for the clones, tmux's, docker's.
func (s *forkStart) show() error {
	for _, m := range s.plan.Missing {
		s.app.printer.Warn(m.Reason() + "; " + m.Hint())
	}
	for _, p := range s.record.Panes {
		if _, err := fmt.Fprintf(s.app.streams.Out, "# pane %d: %s, branch %s\n", p.Index, p.Dir, strings.TrimPrefix(p.Branch, "refs/heads/")); err != nil {
			return err
		}
		for _, argv := range s.panePlan(p).Commands() {
			if _, err := fmt.Fprintln(s.app.streams.Out, dockerargs.Quote(argv)); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirm asks about what the panes will not see.
func (s *forkStart) confirm(ctx context.Context) error {
	if s.spec.IncludeDirty {
		return nil
	}
	work := s.app.printer.Begin("looking for changes that are not committed")
	dirty, err := s.service.Dirty(ctx, s.repo)
	work.End(err)
	if err != nil || len(dirty) == 0 {
		return err
	}
	what := fmt.Sprintf("%d files have changes that are not committed, which the clones will not have (--fork-include-dirty)", len(dirty))
	s.app.printer.Warn(what)
	if !s.app.canAsk() {
		return nil
	}
	return s.app.ask("go on without them?")
}

// pull pulls the images of all panes once.
func (s *forkStart) pull(ctx context.Context) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	for _, image := range s.plan.Pulls {
		if err := s.app.pull(ctx, image); err != nil {
			return &sessionError{err: &session.PullError{Image: image, Err: err}}
		}
	}
	return nil
}
