package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Names of places that disks are measured of.
const diskEngine = "engine"

func (e *examination) disk(context.Context) []Result {
	var list []Result
	for _, p := range []struct {
		name, path string
		wanted     uint64
	}{
		{"workspace", e.Facts.Workspace, gibi}, {"state", e.Facts.StateDir, 64 * mebi}, {"cache", e.Facts.CacheDir, 64 * mebi}, {"runtime", e.Facts.RuntimeDir, 8 * mebi},
	} {
		if p.name == "workspace" && e.WorkspaceErr != nil {
			continue
		}
		list = append(list, diskResult(diskFacts(p.name, p.path, p.wanted)))
	}
	return list
}

// engineDisk measures the engine's own place, where it is on this machine.
func (e *examination) engineDisk(context.Context) []Result {
	root := e.Facts.Engine.DockerRootDir
	if root == "" || e.Facts.GOOS != "linux" || e.Facts.Engine.Desktop() || e.Facts.EngineDoubt() != "" {
		return []Result{result("", Skip, "it is not on this machine, or the engine does not say where")}
	}
	return []Result{diskResult(diskFacts(diskEngine, root, 2*gibi))}
}

func (e *examination) certificates(context.Context) []Result {
	return []Result{caResult(e.Facts.CABundle, e.CAErr, e.CAWarnings)}
}

func (e *examination) git(ctx context.Context) []Result {
	version, ok, err := git.Version(ctx)
	return []Result{gitResult(version, ok, err), identityResult(e.Facts.Git)}
}

func (e *examination) tmux(ctx context.Context) []Result {
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{"tmux", "-V"}, Detached: true})
	return []Result{tmuxResult(strings.TrimSpace(string(out)), err)}
}

func (e *examination) workspace(context.Context) []Result {
	f := WorkspaceFacts{Path: e.Facts.Workspace, Err: e.WorkspaceErr}
	if f.Err == nil {
		info, err := os.Lstat(filepath.Join(f.Path, ".git"))
		f.Repository, f.Linked = err == nil, err == nil && info.Mode().IsRegular()
		f.Warnings = e.PlaceWarnings
		if l := e.Facts.GitLink; l != nil {
			f.Common = l.Common
		}
		f.Denied = !writable(f.Path)
	}
	return []Result{workspaceResult(f)}
}

func (e *examination) configuration(context.Context) []Result {
	return []Result{configResult(e.Config)}
}

func (e *examination) credentials(ctx context.Context) []Result {
	facts, err := e.Credentials(ctx)
	if err != nil {
		r := result("", Fail, oneLine(err))
		var hinted interface{ Hint() string }
		if errors.As(err, &hinted) {
			r.Next = []string{hinted.Hint()}
		}
		return []Result{r}
	}
	var list []Result
	for _, f := range facts {
		list = append(list, credentialResult(f))
	}
	return list
}

func (e *examination) directories(context.Context) []Result {
	var list []Result
	for _, d := range []DirFacts{
		{Name: "runtime", Path: e.Facts.RuntimeDir, Private: true}, {Name: "state", Path: e.Facts.StateDir},
		{Name: "cache", Path: e.Facts.CacheDir}, {Name: "shims", Path: filepath.Join(e.Facts.CacheDir, "shims")},
	} {
		list = append(list, dirResult(dirFacts(d)))
	}
	return list
}

func (e *examination) leftovers(ctx context.Context) []Result {
	l, err := e.Leftovers(ctx)
	return []Result{leftoverResult(l, err, e.Clean)}
}

// ID returns a name for what the probes of this process start.
func ID(pid int) string { return fmt.Sprintf("dr%d", pid) }
