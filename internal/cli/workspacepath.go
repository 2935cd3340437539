package cli

import (
	"errors"
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func parseWorkspacePath(v string) (host bool, err error) {
	switch v {
	case "", "container":
		return false, nil
	case "host":
		return true, nil
	}
	return false, fmt.Errorf("--workspace-path %q: takes container or host", v)
}

// checkWorkspacePath refuses a path that the containers need for something else.
func (a *app) checkWorkspacePath(o plan.Options, f hostfacts.Facts) error {
	switch {
	case f.GitLink != nil && a.flags.hostPath == "container":
		return &UsageError{Err: errors.New("--workspace-path container: a linked worktree and a submodule have their git directory elsewhere, and keep their path; leave it out")}
	case !o.HostPath && f.GitLink == nil:
		return nil
	case f.GOOS == "windows":
		return &UsageError{Err: errors.New("--workspace-path host: containers have no paths of Windows; leave it out")}
	}
	if err := checkTarget(f.Workspace); err != nil {
		return &UsageError{Err: fmt.Errorf("the workspace cannot have its own path in containers: %w; say --workspace-path container, or move it", err)}
	}
	return nil
}
