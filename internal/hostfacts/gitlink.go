package hostfacts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/trust"
)

// GitLink is the git directory of a workspace that has it elsewhere: of a linked worktree
// (git-worktree(1)), or of a submodule (gitsubmodules(7)). All paths are canonical.
type GitLink struct {
	Dir    string // of the workspace alone: HEAD, index and the like
	Common string // shared with other worktrees: objects, refs and configuration; of a submodule the same as Dir
	// Has are the names of what is there, below Common and then below Dir, each itself and
	// no link.
	CommonHas, DirHas map[string]bool
}

// Worktree reports whether the workspace is a linked worktree, and no submodule.
func (l GitLink) Worktree() bool { return l.Dir != l.Common }

// gitNames are what of a git directory is treated on its own in a container.
var gitNames = []string{"HEAD", "objects", "refs", "logs", "hooks", "config", "config.worktree", "commondir", "modules"}

// maxGitFile is far more than git writes into one of these files.
const maxGitFile = 64 << 10

// readGitLink looks whether the workspace's git directory is elsewhere. The file that says so
// may be the work of an agent, who would have a directory of the host mounted: it counts
// only when that is a git directory which in turn names the workspace.
func (f *Facts) readGitLink() {
	name := filepath.Join(f.Workspace, ".git")
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if f.GOOS == "windows" {
		f.Warnings = append(f.Warnings, "git will not work in the containers: the workspace has its git directory elsewhere, at a path of Windows")
		return
	}
	dir, err := readPath(name, "gitdir: ", f.Workspace)
	if err == nil && isBelow(dir, f.Workspace) {
		f.warnOfAbsolutePath(name, dir)
		return // containers have it as a part of the workspace
	}
	var link GitLink
	if err == nil {
		link, err = findGitLink(f.Workspace, dir)
	}
	if err == nil {
		err = f.checkGitLink(link)
	}
	if err != nil {
		f.Warnings = append(f.Warnings, fmt.Sprintf("git will not work in the containers: %s names a git directory elsewhere, but %v", name, err))
		return
	}
	f.GitLink = &link
}

// warnOfAbsolutePath warns of a .git file that names a directory of the workspace, as beside a bare repository, by a
// path that containers do not have.
func (f *Facts) warnOfAbsolutePath(name, dir string) {
	text, err := readGitFile(name)
	if err == nil && filepath.IsAbs(strings.TrimPrefix(text, "gitdir: ")) {
		f.Warnings = append(f.Warnings, fmt.Sprintf("git will not work in the containers: %s names %s by its absolute path; make that relative, or use --workspace-path host", name, dir))
	}
}

// findGitLink returns what dir, which the workspace's .git file names, is to the workspace.
func findGitLink(workspace, dir string) (GitLink, error) {
	link := GitLink{Dir: dir, Common: dir}
	if common, err := readPath(filepath.Join(dir, "commondir"), "", dir); err == nil {
		link.Common = common
	} else if !errors.Is(err, os.ErrNotExist) {
		return link, err
	}
	link.CommonHas, link.DirHas = has(link.Common), has(link.Dir)
	for _, part := range []string{"HEAD", "objects", "refs", "config"} {
		if !link.CommonHas[part] {
			return link, fmt.Errorf("%s is none: it has no %s", link.Common, part)
		}
	}
	if link.Worktree() {
		return link, link.checkWorktree(workspace)
	}
	return link, link.checkSubmodule(workspace)
}

// readPath returns the canonical form of the path that a file of git's has, seen from base.
func readPath(name, prefix, base string) (string, error) {
	text, err := readGitFile(name)
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(strings.TrimRight(text, "\r\n"), prefix)
	if !ok || path == "" {
		return "", fmt.Errorf("%s has no path", name)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return filepath.EvalSymlinks(path)
}

func readGitFile(name string) (string, error) {
	file, err := trust.OpenNoFollow(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxGitFile))
	return string(data), err
}

// has returns which of gitNames are in dir, as files or directories and not as links.
func has(dir string) map[string]bool {
	there := map[string]bool{}
	for _, name := range gitNames {
		info, err := os.Lstat(filepath.Join(dir, name))
		there[name] = err == nil && (info.IsDir() || info.Mode().IsRegular())
	}
	return there
}

// checkWorktree returns an error unless the repository knows the workspace as a worktree.
func (l GitLink) checkWorktree(workspace string) error {
	if filepath.Dir(l.Dir) != filepath.Join(l.Common, "worktrees") {
		return fmt.Errorf("%s is not among the worktrees of %s", l.Dir, l.Common)
	}
	back, err := readPath(filepath.Join(l.Dir, "gitdir"), "", l.Dir)
	if err != nil || back != filepath.Join(workspace, ".git") {
		return fmt.Errorf("%s does not name the workspace; if it was moved, git worktree repair mends that", filepath.Join(l.Dir, "gitdir"))
	}
	return nil
}

// checkSubmodule returns an error unless the git directory is in one of a repository above, and
// has the workspace as its work tree. Git itself is not run: the configuration may be an agent's.
func (l GitLink) checkSubmodule(workspace string) error {
	if !strings.Contains(l.Dir, string(filepath.Separator)+filepath.Join(".git", "modules")+string(filepath.Separator)) {
		return fmt.Errorf("%s is that of no submodule", l.Dir)
	}
	text, err := readGitFile(filepath.Join(l.Dir, "config"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, "=")
		if strings.EqualFold(strings.TrimSpace(key), "worktree") {
			path := strings.Trim(strings.TrimSpace(value), `"`)
			if !filepath.IsAbs(path) {
				path = filepath.Join(l.Dir, path)
			}
			if path, err = filepath.EvalSymlinks(path); err == nil && path == workspace {
				return nil
			}
		}
	}
	return errors.New("its configuration does not name the workspace as core.worktree")
}

// checkGitLink refuses directories that no container may see, or that docker cannot mount.
func (f *Facts) checkGitLink(l GitLink) error {
	for _, dir := range []string{l.Common, l.Dir} {
		// A container could rename what is above such a mount.
		if isBelow(dir, f.Workspace) {
			return fmt.Errorf("%s is in the workspace", dir)
		}
		if _, err := f.MountSource(dir); err != nil {
			return err
		}
		if strings.Contains(dir, ":") {
			return fmt.Errorf("docker takes no colon in the path %s", dir)
		}
	}
	return nil
}
