package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// staleForks tells of fork sessions of the workspace that are old, or with
// AIFO_CODER_FORK_AUTOCLEAN=1 removes those of them that have no work of their own.
func (a *app) staleForks(ctx context.Context, f hostfacts.Facts) error {
	limit, err := days(a.env, envForkStale, 30)
	if err != nil || !f.HasForks {
		return err
	}
	s := a.service(f)
	list, err := s.Sessions(f.Workspace)
	if err != nil {
		return err
	}
	before := time.Now().Add(-time.Duration(limit) * 24 * time.Hour).Unix()
	list = slices.DeleteFunc(list, func(r fork.Record) bool { return r.CreatedAt > before })
	if a.env.Get(envForkAutoclean) == "1" {
		if list, err = a.cleanStale(ctx, s, list); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		a.printer.Notice(fmt.Sprintf("fork sessions older than %d days: %s; aifo-coder fork status shows them, aifo-coder fork clean --older-than %d removes them",
			limit, sids(list), limit))
	}
	return nil
}

// cleanStale removes what may go of the sessions, and returns those that stay.
func (a *app) cleanStale(ctx context.Context, s fork.Service, list []fork.Record) ([]fork.Record, error) {
	var gone, kept []fork.Record
	for _, r := range list {
		p, err := s.PlanClean(ctx, r, fork.CleanSpec{})
		if err == nil {
			_, err = s.Clean(ctx, p)
		}
		switch {
		case is[*fork.ProtectedError](err):
			kept = append(kept, r)
		case err != nil:
			return list, err
		default:
			gone = append(gone, r)
		}
	}
	if len(gone) > 0 {
		a.printer.Notice("removed fork sessions whose work is in the repository: " + sids(gone))
	}
	return kept, nil
}

func sids(list []fork.Record) string {
	var words []string
	for _, r := range list {
		words = append(words, r.SID)
	}
	return strings.Join(words, ", ")
}
