package hostfacts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CredentialsName is the directory of the keys' files in Facts.ConfigDir.
const CredentialsName = "credentials"

// checkOwn returns a *WorkspaceError when an agent in the workspace would have the files
// by which sessions are kept apart: sockets, keys, what is allowed to whom, and the
// programs that containers start with.
func (f Facts) checkOwn() error {
	if reason := f.own(f.Workspace); reason != "" {
		return &WorkspaceError{Path: f.Workspace, Reason: reason}
	}
	return nil
}

// own says why no container may see path, which is canonical, or "": it holds files of
// ours, or is one.
func (f Facts) own(path string) string {
	dirs := []string{f.RuntimeDir, f.StateDir, f.CacheDir}
	if keys := filepath.Join(f.ConfigDir, CredentialsName); isThere(keys) {
		dirs = append(dirs, keys)
	}
	for _, dir := range dirs {
		own := resolved(dir)
		switch {
		case isBelow(own, path):
			return "it holds " + dir + ", with aifo-coder's own files, which no agent may see; name a directory below it"
		case isBelow(path, own):
			return "it is in " + dir + ", with aifo-coder's own files, which no agent may see"
		}
	}
	return ""
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isBelow reports whether path is dir or below it; both are canonical.
func isBelow(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// resolved returns the canonical form of an absolute path of which the last parts need not be there.
func resolved(path string) string {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case err == nil:
		return real
	case errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path):
		return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))
	}
	return filepath.Clean(path)
}
