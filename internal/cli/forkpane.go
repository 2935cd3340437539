package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/cutlog"
	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// pane is what an agent's session is to know of fork mode. A nil pane is none.
type pane struct {
	id       string // of the session
	dir      string // its clone, the workspace
	stateDir string
	borrowed []string
	panes    int // that share the machine
	ready    func()
	// configured are the variables that configuration files set when the session was
	// started, for a pane in the process that read them.
	configured map[string]string
}

func newPane(s fork.Service, r fork.Record, p fork.Pane, ready func()) *pane {
	return &pane{
		id: paneSession(r, p), dir: p.Dir, stateDir: fork.StateDir(s.Store, r.SID, p.Index), borrowed: p.Borrowed, panes: len(r.Panes), ready: ready,
	}
}

// paneSession is the id of the session of a pane's agent.
func paneSession(r fork.Record, p fork.Pane) string { return r.SID + "-" + strconv.Itoa(p.Index) }

// complete adds to options and facts what is different in a pane.
func (p *pane) complete(o *plan.Options, f *hostfacts.Facts) {
	if p == nil {
		return
	}
	f.StateDir = p.stateDir
	o.Borrowed = p.borrowed
	var total int64
	if f.Engine != nil && f.Engine.MemoryLimit {
		total = f.Engine.MemTotal
	}
	memory, pids := fork.Limits(total, p.panes, 1+len(o.Toolchains))
	o.Limits.Each.Memory = cmp.Or(o.Limits.Each.Memory, memory)
	o.Limits.Each.Pids = cmp.Or(o.Limits.Each.Pids, int(pids))
}

// started returns what is to be called when the agent's containers have started.
func (p *pane) started() func() {
	if p == nil {
		return nil
	}
	return p.ready
}

func (a *app) forkPaneCmd() *cobra.Command {
	var envFile string
	cmd := &cobra.Command{
		Use:    "pane --pane-env FILE SID PANE",
		Short:  "Run the agent of a pane; fork mode does that",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := strconv.Atoi(args[1])
			if err != nil {
				return &UsageError{Err: fmt.Errorf("%q is not the number of a pane", args[1])}
			}
			// Before anything looks at the environment.
			if err := fork.TakePaneEnv(envFile); err != nil {
				return err
			}
			a.env = hostfacts.EnvOf(os.Environ())
			return a.runPane(cmd.Context(), args[0], index)
		},
	}
	cmd.Flags().StringVar(&envFile, "pane-env", "", "read the environment from `FILE`, and remove it")
	return cmd
}

// runPane is the life of a pane's process.
func (a *app) runPane(ctx context.Context, sid string, index int) error {
	f, err := hostfacts.User()
	if err != nil {
		return err
	}
	s := a.service(f)
	r, err := s.Store.Load(sid)
	if err != nil {
		return err
	}
	if r.Runner == fork.RunnerPlain {
		end, err := a.keepLog(s.Store.LogFile(sid, index))
		if err != nil {
			return err
		}
		defer end()
	}
	process, err := a.paneProcess(s, r, index)
	if err != nil {
		return err
	}
	a.code, err = process.Main(ctx)
	if err != nil {
		a.code = exitCode(err)
	}
	return nil // the pane has said why
}

// logPatience is how long the end of a pane's output is waited for: a program that was started
// and has not ended may hold it open.
const logPatience = 5 * time.Second

// keepLog has what is written to the streams from now on written to the log at path, of
// which it keeps no more than cutlog does: an agent could fill the disk. It is this process that
// does so, since whoever started it may have ended. end ends it.
func (a *app) keepLog(path string) (end func(), err error) {
	log, err := cutlog.Open(path)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe for the log: %w", err), log.Close())
	}
	a.streams.Out, a.streams.Err = w, w
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.Copy(log, r) // neither fails
		_ = log.Close()        // there is no other place to tell of it
	}()
	return func() {
		_ = w.Close()
		select {
		case <-written:
		case <-time.After(logPatience):
		}
	}, nil
}

func (a *app) paneProcess(s fork.Service, r fork.Record, index int) (fork.PaneProcess, error) {
	p, err := r.Pane(index)
	if err != nil {
		return fork.PaneProcess{}, err
	}
	dir := inside(p.Dir, r.Subdir)
	process := fork.PaneProcess{
		Store: s.Store, Record: r, Index: index, Self: s.Self, Messages: a.streams.Err, Step: a.steps,
		ShortOfMemory: func() bool {
			total, available := hostfacts.Memory()
			return fork.Stagger(available, total, len(r.Panes))
		},
		Run: func(ctx context.Context, started func()) (int, error) {
			if err := os.Chdir(dir); err != nil {
				return 0, fmt.Errorf("go to the clone: %w", err)
			}
			pane := newPane(s, r, p, started)
			pane.configured = a.config.variables
			return run(ctx, r.Argv, a.streams, pane), nil
		},
	}
	if r.Runner == fork.RunnerTmux {
		process.Prompt = a.panePrompt(s, r, p)
	}
	return process, nil
}

// panePrompt is what a pane in tmux shows when its agent has ended.
func (a *app) panePrompt(s fork.Service, r fork.Record, p fork.Pane) fork.Prompt {
	return fork.Prompt{
		In: a.streams.In, Out: a.streams.Out, Wait: promptTime(a.env),
		Shell: func(ctx context.Context) error {
			shell := slices.Concat(r.Argv[:slices.Index(r.Argv, r.Agent)], []string{agent.Shell})
			pane := newPane(s, r, p, nil)
			pane.configured = a.config.variables
			run(ctx, shell, a.streams, pane) // it has said what went wrong
			return nil
		},
	}
}

// promptTime is how long a pane stays when its agent has ended.
func promptTime(env hostfacts.Env) time.Duration {
	const usual = 5
	seconds, err := strconv.Atoi(env.Get("AIFO_CODER_FORK_SHELL_PROMPT_SECS"))
	if err != nil || seconds < 0 {
		seconds = usual
	}
	return time.Duration(seconds) * time.Second
}

// inside returns the directory sub of dir, or dir where that is none, or leads out of it:
// an agent that ran there before may have made it a link.
func inside(dir, sub string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return dir // which will be refused
	}
	defer func() { _ = root.Close() }() // it was only read
	if info, err := root.Stat(filepath.Clean(sub)); sub == "" || err != nil || !info.IsDir() {
		return dir
	}
	return filepath.Join(dir, sub)
}
