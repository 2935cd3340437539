package fork

import (
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/panes"
)

// RunnerChoice is what decides how panes run.
type RunnerChoice struct {
	GOOS      string
	Panes     int
	Asked     string // --fork-runner: auto, tmux, plain; empty: auto
	ForceTmux bool   // AIFO_CODER_FORK_FORCE_TMUX=1: also one pane runs in tmux
	HasTmux   bool
}

// RunnerError says that panes cannot run as was asked.
type RunnerError struct {
	Asked  string
	Reason string
}

func (e *RunnerError) Error() string { return fmt.Sprintf("--fork-runner=%s: %s", e.Asked, e.Reason) }

// Choose returns how the panes run, a *RunnerError, or a *panes.TmuxMissingError.
func (c RunnerChoice) Choose() (Runner, error) {
	switch c.Asked {
	case "", "auto":
		return c.auto()
	case string(RunnerTmux):
		return c.tmux()
	case string(RunnerPlain):
		return RunnerPlain, nil
	}
	return "", &RunnerError{Asked: c.Asked, Reason: "runners are auto, tmux and plain"}
}

func (c RunnerChoice) auto() (Runner, error) {
	switch {
	case c.ForceTmux && c.GOOS != "windows":
		return c.tmux()
	case c.Panes <= 1:
		return RunnerInline, nil
	case c.GOOS == "windows":
		return RunnerWindows, nil
	}
	return c.tmux()
}

func (c RunnerChoice) tmux() (Runner, error) {
	if c.GOOS == "windows" {
		return "", &RunnerError{Asked: string(RunnerTmux), Reason: "there is no tmux on Windows"}
	}
	if !c.HasTmux {
		return "", &panes.TmuxMissingError{}
	}
	return RunnerTmux, nil
}
