//go:build linux

package toolrun

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Lookups is what Resolve may know of the file system.
type Lookups struct {
	Dirs       []string                // the directories of PATH
	Executable func(path string) error // nil, fs.ErrNotExist or fs.ErrPermission
	Workspace  string                  // where it is mounted
}

// Command is what to execute for a call.
type Command struct {
	Path string   // the file
	Argv []string // its arguments, with argv[0]
	Venv string   // the virtual environment it belongs to, if any
}

// Resolve decides what a call of argv in the directory cwd runs. Most tools
// are looked up in PATH; a compiler or interpreter that a project has of its
// own comes before the sidecar's. An error is fs.ErrNotExist or fs.ErrPermission.
func Resolve(argv []string, cwd string, l Lookups) (Command, error) {
	switch tool := argv[0]; {
	case strings.Contains(tool, "/"):
		return l.file(argv, cwd)
	case tool == "tsc":
		return l.tsc(argv, cwd)
	case fallback[tool] != "" || tool == "python3" || tool == "pip3":
		return l.python(argv, cwd)
	default:
		return l.inPath(argv)
	}
}

// fallback names what stands in for a tool that PATH lacks: Debian's images
// have python3 without python.
var fallback = map[string]string{"python": "python3", "pip": "pip3"}

// file resolves a call by path. A relative one counts from cwd. A program in a
// bin directory outside the workspace may have another place here than where the
// caller knows it, as /usr/local/go/bin/go in one image is /usr/bin/go in another.
func (l Lookups) file(argv []string, cwd string) (Command, error) {
	path := argv[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(cwd, path)
	}
	err := l.Executable(path)
	if errors.Is(err, fs.ErrNotExist) && !execproto.Within(path, l.Workspace) && filepath.Base(filepath.Dir(path)) == "bin" {
		if cmd, err := Resolve(withTool(argv, filepath.Base(path)), cwd, l); err == nil {
			return cmd, nil
		}
	}
	return Command{Path: path, Argv: argv}, err
}

func (l Lookups) inPath(argv []string) (Command, error) {
	path, err := LookPath(argv[0], l.Dirs, l.Executable)
	return Command{Path: path, Argv: argv}, err
}

// tsc prefers the project's compiler, since its version decides what compiles;
// npx fetches one when there is none at all.
func (l Lookups) tsc(argv []string, cwd string) (Command, error) {
	if path := l.nearest(cwd, "node_modules/.bin/tsc"); path != "" {
		return Command{Path: path, Argv: argv}, nil
	}
	cmd, err := l.inPath(argv)
	if !errors.Is(err, fs.ErrNotExist) {
		return cmd, err
	}
	return l.inPath(append([]string{"npx", "--yes", "--package", "typescript", "tsc"}, argv[1:]...))
}

// python prefers the nearest virtual environment. argv[0] becomes the path,
// because the interpreter finds its environment from it.
func (l Lookups) python(argv []string, cwd string) (Command, error) {
	if path := l.nearest(cwd, ".venv/bin/"+argv[0]); path != "" {
		venv := filepath.Dir(filepath.Dir(path))
		return Command{Path: path, Argv: withTool(argv, path), Venv: venv}, nil
	}
	cmd, err := l.inPath(argv)
	if other := fallback[argv[0]]; other != "" && errors.Is(err, fs.ErrNotExist) {
		return l.inPath(withTool(argv, other))
	}
	return cmd, err
}

func withTool(argv []string, tool string) []string {
	return append([]string{tool}, argv[1:]...)
}

// nearest looks for an executable name in cwd and its parents. It stops at the
// workspace, above which nothing belongs to the user.
func (l Lookups) nearest(cwd, name string) string {
	for dir := filepath.Clean(cwd); execproto.Within(dir, l.Workspace); dir = filepath.Dir(dir) {
		if path := filepath.Join(dir, name); l.Executable(path) == nil {
			return path
		}
	}
	return ""
}
