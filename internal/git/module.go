package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// ModuleNameError says that the name of a submodule is none that we take.
type ModuleNameError struct{ Name string }

func (e *ModuleNameError) Error() string { return fmt.Sprintf("%q is no name for a submodule", e.Name) }

// checkModuleName returns a *ModuleNameError for a name that is no plain path below a directory.
func checkModuleName(name string) error {
	bad := strings.HasPrefix(name, "-") || !filepath.IsLocal(name) || strings.ContainsRune(name, '\\') ||
		strings.ContainsFunc(name, unicode.IsControl)
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == "" || part == "." || part == ".." || strings.EqualFold(part, ".git")
	}
	if bad {
		return &ModuleNameError{Name: name}
	}
	return nil
}

// Module returns the repository of a submodule, which has no work tree of its own here, as it
// is kept in that of the work tree or in the common one. It returns a *ModuleNameError, a
// *LayoutError, a *PartialCloneError, or fs.ErrNotExist when it is not on this machine.
func (r Repo) Module(ctx context.Context, name string) (Repo, error) {
	dir, err := r.moduleDir(name)
	if err != nil {
		return Repo{}, err
	}
	m := Repo{Root: dir, GitDir: dir, CommonDir: dir, Format: "sha1"}
	settings, err := m.Settings(ctx)
	if err != nil {
		return Repo{}, err
	}
	if f := settings.Get("extensions.objectformat", Local); len(f) > 0 {
		m.Format = f[len(f)-1]
	}
	if m.Format != r.Format {
		return Repo{}, fmt.Errorf("it has objects of the format %s, not %s", m.Format, r.Format)
	}
	return m, errors.Join(CheckObjects(m.Objects()), checkComplete(settings))
}

func (r Repo) moduleDir(name string) (string, error) {
	if err := checkModuleName(name); err != nil {
		return "", err
	}
	for _, base := range []string{r.GitDir, r.CommonDir} {
		if err := CheckPath(base, "modules/"+name+"/commondir"); err != nil {
			return "", err
		}
		dir := filepath.Join(base, "modules", filepath.FromSlash(name))
		if _, err := os.Lstat(filepath.Join(dir, "commondir")); err == nil {
			return "", &LayoutError{Path: dir, Problem: "shares another git directory", Remedy: remedyLink}
		}
		if info, err := os.Lstat(filepath.Join(dir, "objects")); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return "", fs.ErrNotExist
}
