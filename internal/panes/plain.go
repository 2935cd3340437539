package panes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Plain runs panes in the background, each with a log.
type Plain struct {
	Env  []string // of the programs
	Now  time.Time
	Step func(name string) error
}

// Start starts the panes, in sessions of their own that outlive this process, without
// input, their output appended to their logs, which nothing bounds here: this process may
// end before them, so that is for a program itself to do. It returns an *ArgvError before anything was
// started; after another error those that it started have been asked to end.
func (r Plain) Start(spec Spec) ([]*proc.Background, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	var started []*proc.Background
	for _, p := range spec.Panes {
		b, err := r.start(p)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start pane %d in the background: %w", p.Index, err), terminate(started))
		}
		started = append(started, b)
	}
	return started, nil
}

func terminate(list []*proc.Background) error {
	var err error
	for _, b := range list {
		err = errors.Join(err, b.Terminate())
	}
	return err
}

func (r Plain) start(p Pane) (*proc.Background, error) {
	if err := r.at(fmt.Sprintf("plain: open the log of pane %d", p.Index)); err != nil {
		return nil, err
	}
	log, err := openLog(p, r.Now)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the program has its own descriptor
	if err := r.at(fmt.Sprintf("plain: start pane %d", p.Index)); err != nil {
		return nil, err
	}
	return proc.Start(proc.Cmd{Argv: p.Argv, Dir: p.Dir, Env: r.Env, Stdout: log, Stderr: log})
}

// openLog opens a pane's log for appending, private like its directory, and writes
// the line that tells one run from the next.
func openLog(p Pane, now time.Time) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the log: %w", err)
	}
	f, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if _, err := io.WriteString(f, header(p, now)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the log: %w", err), f.Close())
	}
	return f, nil
}

func header(p Pane, now time.Time) string {
	return fmt.Sprintf("==== %s pane %d: %s\n", now.Format(time.RFC3339), p.Index, p.Title)
}

func (r Plain) at(step string) error {
	if r.Step == nil {
		return nil
	}
	return r.Step(step)
}
