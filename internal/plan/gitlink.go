package plan

import (
	"path"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// gitLinkMounts returns what containers have of a workspace's git directory that is
// elsewhere, at its own path: enough to commit, and nothing by which git on this host would
// run what an agent wrote. Neither configuration nor hooks can be written, nor the files
// that say where those are, and a log of references could be made a link to any file of
// the user's, to which git appends (docs/security.md, "Worktrees and submodules").
func (b planner) gitLinkMounts() []dockerargs.Mount {
	l := b.f.GitLink
	if l == nil {
		return nil
	}
	git := path.Join(b.mountPoint(), ".git")
	mounts := []dockerargs.Mount{dockerargs.BindRO(git, git)}
	own := gitMasks{dir: l.Dir, has: l.DirHas}
	if !l.Worktree() {
		mounts = append(mounts, dockerargs.Bind(l.Dir, l.Dir))
		return slices.Concat(mounts, own.readOnly("config", "config.worktree", "modules"), own.empty("hooks"))
	}
	mounts = append(mounts, dockerargs.BindRO(l.Common, l.Common))
	for _, name := range []string{"objects", "refs"} {
		dir := path.Join(l.Common, name)
		mounts = append(mounts, dockerargs.Bind(dir, dir))
	}
	mounts = append(mounts, gitMasks{dir: l.Common, has: l.CommonHas}.empty("hooks")...)
	mounts = append(mounts, dockerargs.Bind(l.Dir, l.Dir))
	return append(mounts, own.readOnly("commondir", "config.worktree")...)
}

// maxReflog is the most that a session's own logs of references take, in bytes.
const maxReflog = 16 << 20

// gitLogs hides the logs of references behind directories that go with the container.
func (b planner) gitLogs(k toolchain.Kind) []dockerargs.Tmpfs {
	l := b.f.GitLink
	if l == nil {
		return nil
	}
	var list []dockerargs.Tmpfs
	uid, gid := b.user(k)
	add := func(dir string, has map[string]bool) {
		if has["logs"] {
			list = append(list, dockerargs.Tmpfs{Target: path.Join(dir, "logs"), UID: uid, GID: gid, Size: maxReflog})
		}
	}
	add(l.Dir, l.DirHas)
	if l.Worktree() {
		add(l.Common, l.CommonHas)
	}
	return list
}

// gitMasks makes the mounts over parts of a git directory that are there.
type gitMasks struct {
	dir string
	has map[string]bool
}

func (m gitMasks) readOnly(names ...string) []dockerargs.Mount {
	var mounts []dockerargs.Mount
	for _, name := range names {
		if m.has[name] {
			file := path.Join(m.dir, name)
			mounts = append(mounts, dockerargs.BindRO(file, file))
		}
	}
	return mounts
}

// empty hides a directory behind one in which nothing can be.
func (m gitMasks) empty(name string) []dockerargs.Mount {
	if !m.has[name] {
		return nil
	}
	return []dockerargs.Mount{{Type: "tmpfs", Target: path.Join(m.dir, name), ReadOnly: true}}
}
