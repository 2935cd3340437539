package cli

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// sessionHost is where the commands about running sessions look for them.
type sessionHost struct {
	facts   hostfacts.Facts
	records []fork.Record
	fork    fork.Service
	finder  sessions.Finder
}

// sessionHost returns it for this machine. A directory that cannot be a workspace is none.
func (a *app) sessionHost() (sessionHost, error) {
	f, err := a.place()
	if err != nil {
		return sessionHost{}, err
	}
	h := sessionHost{facts: f, fork: a.service(f)}
	if h.records, err = h.fork.Store.List(); err != nil {
		a.printer.Warn(err.Error()) // the sessions are there all the same
	}
	h.finder = sessions.Finder{Docker: a.docker(), Self: f.Owner, RuntimeDir: f.RuntimeDir, Panes: h.panes()}
	return h, nil
}

// panes returns the panes of fork mode by the ids of their sessions.
func (h sessionHost) panes() map[string]sessions.Pane {
	panes := map[string]sessions.Pane{}
	for _, r := range h.records {
		for _, p := range r.Panes {
			one := sessions.Pane{SID: r.SID, Index: p.Index, Repository: r.RepoRoot}
			if log := h.fork.Store.LogFile(r.SID, p.Index); isFile(log) {
				one.Log = log
			}
			panes[paneSession(r, p)] = one
		}
	}
	return panes
}

// find returns all sessions.
func (h sessionHost) find(ctx context.Context) ([]sessions.Session, error) {
	list, err := h.finder.Find(ctx)
	if err != nil {
		return nil, h.explain(ctx, err)
	}
	return list, nil
}

// explain returns err, or why the engine does not answer. Asking it beforehand would cost as
// much as the answer itself; asking again one that has kept us waiting would as well.
func (h sessionHost) explain(ctx context.Context, err error) error {
	var silent *docker.NoAnswerError
	if errors.As(err, &silent) {
		return h.finder.Docker.EngineError(ctx, silent)
	}
	if _, engineErr := h.finder.Docker.Info(ctx); engineErr != nil {
		return engineErr
	}
	return err
}

// choose returns the session that is meant, see sessions.Choose.
func (h sessionHost) choose(ctx context.Context, asked string) (sessions.Session, error) {
	list, err := h.find(ctx)
	if err != nil {
		return sessions.Session{}, err
	}
	return sessions.Choose(list, asked, h.facts.Workspace)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// completeSessionIDs completes the ids of sessions that the caller may work with, those
// in the list left out. A completion has nobody to tell of errors.
func (a *app) completeSessionIDs(ctx context.Context, without []string) []string {
	h, err := a.sessionHost()
	if err != nil {
		return nil
	}
	return inTime(ctx, func(ctx context.Context) []string {
		list, _ := h.find(ctx)
		var ids []string
		for _, s := range list {
			if s.Own() == nil && !slices.Contains(without, s.ID) {
				ids = append(ids, cobra.CompletionWithDesc(s.ID, describe(s)))
			}
		}
		return ids
	})
}

func describe(s sessions.Session) string {
	if s.State == sessions.Dead {
		return s.Title() + " (dead)"
	}
	return s.Title()
}

// completeOneSession completes the one argument of a command.
func (a *app) completeOneSession(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeSessionIDs(cmd.Context(), nil), cobra.ShellCompDirectiveNoFileComp
}

// completeSessionKinds completes the kinds of the session's containers.
func (a *app) completeSessionKinds(ctx context.Context, asked string) []string {
	h, err := a.sessionHost()
	if err != nil {
		return nil
	}
	return inTime(ctx, func(ctx context.Context) []string {
		s, _ := h.choose(ctx, asked) // without one there are none
		var kinds []string
		for _, c := range s.Containers {
			kinds = append(kinds, cobra.CompletionWithDesc(c.Kind, c.Image))
		}
		return kinds
	})
}
