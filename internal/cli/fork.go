package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

const forkLong = `Work with the sessions that --fork made in this repository. A session has panes, each with a clone, a branch and an
agent. Nothing that an agent did is thrown away unless it is in the repository, or you say so.`

func (a *app) forkCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "fork",
		Short:   "See, merge and clean up the work of several agents",
		Long:    forkLong,
		GroupID: groupFork,
		Example: `  aifo-coder --fork 4 --toolchain rust aider
  aifo-coder fork status
  aifo-coder fork diff 2
  aifo-coder fork merge --pane 1 --pane 2
  aifo-coder fork clean`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.forkListCmd(), a.forkStatusCmd(), a.forkDiffCmd(), a.forkAttachCmd(), a.forkStopCmd(),
		a.forkResumeCmd(), a.forkMergeCmd(), a.forkCleanCmd(), a.forkPaneCmd())
	return cmd
}

// forkBase are the variables of fork mode.
const (
	envForkStateBase     = "AIFO_CODER_FORK_STATE_BASE"
	envForkWorkspaceRoot = "AIFO_CODER_WORKSPACE_ROOT"
	envForkListStale     = "AIFO_CODER_FORK_LIST_STALE_DAYS"
	envForkStale         = "AIFO_CODER_FORK_STALE_DAYS"
	envForkAutoclean     = "AIFO_CODER_FORK_AUTOCLEAN"
)

// service returns what carries out the commands, given the host.
func (a *app) service(f hostfacts.Facts) fork.Service {
	store := fork.NewStore(f)
	if base := f.Env.Get(envForkStateBase); filepath.IsAbs(base) {
		store.Dir = base
	}
	return fork.Service{
		Store: store, Self: f.Owner, RuntimeDir: f.RuntimeDir, Begin: a.printer.Begin, Warn: a.printer.Warn, Step: a.steps,
	}
}

// forkHost returns the service and the root of the repository around the working
// directory, "" outside of any.
func (a *app) forkHost(ctx context.Context) (fork.Service, string, error) {
	f, err := hostfacts.User()
	if err != nil {
		return fork.Service{}, "", err
	}
	s := a.service(f)
	dir := a.flags.workspace
	if !filepath.IsAbs(dir) {
		cwd, err := hostfacts.Cwd()
		if err != nil {
			return s, "", err
		}
		dir = filepath.Join(cwd, dir)
	}
	root, err := fork.RepositoryRoot(ctx, dir)
	return s, root, err
}

// NoSessionError says that no fork session was found where one is needed, or several.
type NoSessionError struct {
	Root string
	SIDs []string // the candidates
}

func (e *NoSessionError) Error() string {
	switch {
	case len(e.SIDs) > 0:
		return fmt.Sprintf("there are %d fork sessions in this repository: %s", len(e.SIDs), strings.Join(e.SIDs, ", "))
	case e.Root == "":
		return "the working directory is in no git repository"
	}
	return "there is no fork session in the repository " + e.Root
}

// Hint says what to do.
func (e *NoSessionError) Hint() string {
	if len(e.SIDs) > 0 {
		return "choose one: --session " + e.SIDs[len(e.SIDs)-1]
	}
	return "aifo-coder fork list --all-repos shows those of all repositories; aifo-coder --fork N AGENT begins one"
}

// theSession returns the session that --session names, or the only one of the repository.
func (a *app) theSession(ctx context.Context, sid string) (fork.Service, fork.Record, error) {
	s, root, err := a.forkHost(ctx)
	if err != nil {
		return s, fork.Record{}, err
	}
	r, err := onlySession(s, root, sid)
	return s, r, err
}

func onlySession(s fork.Service, root, sid string) (fork.Record, error) {
	if sid != "" {
		return s.Load(root, sid)
	}
	list, err := s.Sessions(root)
	if err != nil {
		return fork.Record{}, err
	}
	if len(list) == 1 {
		return list[0], nil
	}
	missing := &NoSessionError{Root: root}
	for _, r := range list {
		missing.SIDs = append(missing.SIDs, r.SID)
	}
	return fork.Record{}, missing
}

// sessionFlag adds --session.
func (a *app) sessionFlag(cmd *cobra.Command, sid *string) {
	cmd.Flags().StringVar(sid, "session", "", "work on the session `SID` (default: the only one of the repository)")
	mustComplete(cmd, "session", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var sids []string
		for _, r := range a.completeSessions(cmd.Context()) {
			sids = append(sids, r.SID+"\t"+fmt.Sprintf("%d panes from %s", len(r.Panes), r.BaseLabel))
		}
		return sids, cobra.ShellCompDirectiveNoFileComp
	})
}

// paneFlag adds --pane.
func (a *app) paneFlag(cmd *cobra.Command, panes *[]int, sid *string, usage string) {
	cmd.Flags().IntSliceVar(panes, "pane", nil, usage)
	mustComplete(cmd, "pane", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.completePanes(cmd.Context(), *sid), cobra.ShellCompDirectiveNoFileComp
	})
}

// mustComplete has f complete the values of a flag of the command.
func mustComplete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is registered just before
	}
}

func (a *app) completeSessions(ctx context.Context) []fork.Record {
	s, root, err := a.forkHost(ctx)
	if err != nil {
		return nil // there is nobody to tell
	}
	list, _ := s.Sessions(root)
	return list
}

func (a *app) completePanes(ctx context.Context, sid string) []string {
	var panes []string
	for _, r := range a.completeSessions(ctx) {
		if sid != "" && r.SID != sid {
			continue
		}
		for _, p := range r.Panes {
			panes = append(panes, strconv.Itoa(p.Index))
		}
	}
	slices.Sort(panes)
	return slices.Compact(panes)
}

// days returns the number of days that a variable holds, or otherwise the default.
func days(env hostfacts.Env, name string, otherwise int) (int, error) {
	v := env.Get(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, &UsageError{Err: fmt.Errorf("%s=%q: takes a number of days", name, v)}
	}
	return n, nil
}

// forkRow is one line of fork list. Names of fields are those of the existing program.
type forkRow struct {
	RepoRoot  string `json:"repo_root"`
	SID       string `json:"sid"`
	Panes     int    `json:"panes"`
	Running   int    `json:"running"`
	CreatedAt int64  `json:"created_at"` // seconds since 1970
	AgeDays   int    `json:"age_days"`
	BaseLabel string `json:"base_label"`
	Agent     string `json:"agent"`
	Stale     bool   `json:"stale"`
	Known     bool   `json:"known"` // there is a record of it; otherwise only clones
}

func (a *app) forkListCmd() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sessions of this repository",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.forkRows(cmd.Context(), all)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), rows)
			}
			return a.writeForkRows(cmd, rows, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&all, "all-repos", false, "list the sessions of all repositories, or of those directly below "+envForkWorkspaceRoot)
	return cmd
}

func (a *app) forkRows(ctx context.Context, all bool) ([]forkRow, error) {
	s, root, err := a.forkHost(ctx)
	if err != nil && (!all || !is[*git.NotRepositoryError](err)) {
		return nil, err
	}
	staleDays, err := days(a.env, envForkListStale, 14)
	if err != nil {
		return nil, err
	}
	list, err := a.listed(s, root, all)
	rows := []forkRow{}
	for _, r := range list {
		age := int(time.Since(time.Unix(r.CreatedAt, 0)).Hours() / 24)
		rows = append(rows, forkRow{
			RepoRoot: r.RepoRoot, SID: r.SID, Panes: len(r.Panes), Running: s.Running(r), CreatedAt: r.CreatedAt, AgeDays: age,
			BaseLabel: r.BaseLabel, Agent: r.Agent, Stale: age >= staleDays, Known: r.Ready || r.BaseCommit != "",
		})
	}
	return rows, err
}

func (a *app) listed(s fork.Service, root string, all bool) ([]fork.Record, error) {
	if !all {
		if root == "" {
			return nil, &NoSessionError{}
		}
		return s.Sessions(root)
	}
	list, err := s.Store.List()
	if below := a.env.Get(envForkWorkspaceRoot); below != "" {
		info, statErr := os.Stat(below)
		if statErr != nil || !info.IsDir() {
			return nil, &UsageError{Err: fmt.Errorf("%s=%q is not a directory", envForkWorkspaceRoot, below)}
		}
		if below, statErr = filepath.EvalSymlinks(below); statErr != nil {
			return nil, errors.Join(err, statErr)
		}
		list = slices.DeleteFunc(list, func(r fork.Record) bool { return filepath.Dir(r.RepoRoot) != below })
	}
	return list, err
}

func (a *app) writeForkRows(cmd *cobra.Command, rows []forkRow, all bool) error {
	if len(rows) == 0 {
		a.printer.Notice("there is no fork session")
		return nil
	}
	header := []string{"SID", "AGENT", "PANES", "RUNNING", "BASE", "AGE"}
	if all {
		header = append(header, "REPOSITORY")
	}
	t := newTable(cmd.OutOrStdout(), header...)
	for _, r := range rows {
		age := fmt.Sprintf("%dd", r.AgeDays)
		if r.Stale {
			age += " (stale)"
		}
		cells := []string{r.SID, r.Agent, strconv.Itoa(r.Panes), strconv.Itoa(r.Running), r.BaseLabel, age}
		if all {
			cells = append(cells, r.RepoRoot)
		}
		t.row(cells...)
	}
	return t.flush()
}
