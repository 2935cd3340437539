package session

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/mountid"
)

// holdMounts notes what the paths name that are to be mounted, while nothing of the session can have changed that.
// The sidecars start when the agent runs, and agents of other sessions may run already.
func (s *Session) holdMounts(context.Context) error {
	if !s.Plan.ChecksMounts {
		return nil
	}
	held, err := mountid.Hold(s.bindSources(), s.mustBeCanonical)
	if err != nil {
		return err
	}
	s.mounts = held
	s.onCleanup(func(context.Context) error { return held.Close() })
	return nil
}

// binds returns everything of this host that the plan's containers get.
func (s *Session) binds() []dockerargs.Mount {
	var mounts []dockerargs.Mount
	for _, r := range s.runs() {
		mounts = append(mounts, r.Mounts...)
	}
	return slices.DeleteFunc(mounts, func(m dockerargs.Mount) bool { return m.Type != "bind" })
}

// bindSources returns the paths of this host that the plan's containers get.
func (s *Session) bindSources() []string {
	var paths []string
	for _, m := range s.binds() {
		paths = append(paths, m.Source)
	}
	return paths
}

// writable returns the paths of this host at which containers can write, the workspace among them.
func (s *Session) writable() []string {
	var paths []string
	for _, m := range s.binds() {
		if !m.ReadOnly {
			paths = append(paths, m.Source)
		}
	}
	return paths
}

// mustBeCanonical reports whether a path that is to be mounted was resolved when the plan was made. Those of our
// own directories need not be, and no container has a directory above them.
func (s *Session) mustBeCanonical(path string) bool {
	for _, own := range []string{s.Facts.StateDir, s.Facts.CacheDir, s.Facts.RuntimeDir} {
		if rel, err := filepath.Rel(own, path); err == nil && filepath.IsLocal(rel) {
			return false
		}
	}
	return true
}

// mountsInside reports whether a container gets something in a directory of the workspace, as --mount has a file with
// secrets hidden. An agent can rename that directory, though not the file, and put another in its place: whatever starts
// later would have the file under the other name, and what hides it where there is nothing to hide.
func (s *Session) mountsInside() bool {
	for _, r := range s.runs() {
		for _, target := range r.Targets() {
			below, ok := strings.CutPrefix(target, s.Plan.Workspace+"/")
			if ok && strings.Contains(below, "/") {
				return true
			}
		}
	}
	return false
}

// runs returns the containers of the plan.
func (s *Session) runs() []dockerargs.Run {
	var list []dockerargs.Run
	if s.Plan.Agent != nil {
		list = append(list, *s.Plan.Agent)
	}
	for _, one := range s.Plan.Sidecars {
		list = append(list, one.Run)
	}
	return list
}

// withMounts returns the variables of a container together with the one that tells it what must be mounted.
func (s *Session) withMounts(env map[string]string, r dockerargs.Run) map[string]string {
	if !s.Plan.ChecksMounts {
		return env
	}
	var mounts []mountid.Mount
	for _, m := range r.Mounts {
		if m.Type != "bind" {
			continue
		}
		if f, ok := s.mounts.File(m.Source); ok {
			mounts = append(mounts, mountid.Mount{Target: m.Target, File: f})
		}
	}
	all := maps.Clone(env)
	all[execproto.EnvMounts] = mountid.Encode(mounts)
	return all
}
