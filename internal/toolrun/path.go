//go:build linux

package toolrun

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// defaultPath is what a container without PATH gets.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// SearchPath returns the directories in which tools are looked for, given the
// values of PATH, HOME and GOPATH: those of path, then the places where
// toolchains and users install programs without an image's PATH knowing. The
// image's own order always wins.
func SearchPath(path, home, gopath string) []string {
	if path == "" {
		path = defaultPath
	}
	if home == "" {
		home = execproto.Home
	}
	if gopath == "" {
		gopath = "/go"
	}
	dirs := strings.Split(path, ":")
	for _, d := range []string{
		filepath.Join(home, ".cargo/bin"), filepath.Join(home, ".local/bin"),
		"/usr/local/cargo/bin", "/usr/local/go/bin", filepath.Join(gopath, "bin"),
	} {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// Executable returns nil when path is a file that this process may execute,
// else an error that is fs.ErrNotExist or fs.ErrPermission.
func Executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "execute", Path: path, Err: unix.EACCES}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "execute", Path: path, Err: err}
	}
	return nil
}

// LookPath finds name in dirs as execvp does: a file that may not be executed
// is passed over, but remembered as the reason when there is no better one. One
// that cannot even be looked at, in a directory of another user, is not there.
func LookPath(name string, dirs []string, executable func(string) error) (string, error) {
	result := fs.ErrNotExist
	for _, dir := range dirs {
		if dir == "" {
			dir = "." // what an empty element of PATH means
		}
		path := filepath.Join(dir, name)
		if !strings.Contains(path, "/") {
			path = "./" + path
		}
		err := executable(path)
		if err == nil {
			return path, nil
		}
		var cause *fs.PathError
		hidden := errors.As(err, &cause) && cause.Op == "stat"
		if errors.Is(err, fs.ErrPermission) && !hidden {
			result = err
		}
	}
	return "", result
}

// setenv returns env with name set to value.
func setenv(env []string, name, value string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		return strings.HasPrefix(e, name+"=")
	})
	return append(env, name+"="+value)
}

// getenv returns the value of name in env, "" when it has none.
func getenv(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}
