//go:build linux

package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// standardDirs are searched after PATH, whatever the caller made of that.
var standardDirs = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// runLocal runs the tool of the same name that the image itself has, when no
// toolchain is there to run it.
func (c call) runLocal() int {
	path := c.local()
	if path == "" {
		return c.fail(execproto.ExitRefused, noProxy, "<kind>")
	}
	return c.execute(path)
}

// local returns the image's own program of the tool's name, or "".
func (c call) local() string {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		self = nil
	}
	return findLocal(c.tool, append(filepath.SplitList(os.Getenv("PATH")), standardDirs...), self)
}

// execute becomes a program of the image, and returns only when it cannot.
func (c call) execute(path string) int {
	err := syscall.Exec(path, append([]string{c.tool}, c.args...), os.Environ())
	if errors.Is(err, syscall.ENOEXEC) {
		err = syscall.Exec("/bin/sh", append([]string{"sh", path}, c.args...), os.Environ())
	}
	return c.fail(execproto.ExitNotExecutable, "%s cannot be executed: %v", path, err)
}

// findLocal returns the first executable of that name which is not the shim
// under another link, or the call would never end.
func findLocal(tool string, dirs []string, self os.FileInfo) string {
	for _, dir := range dirs {
		if filepath.Clean(dir) == execproto.ShimDir {
			continue
		}
		path := filepath.Join(dir, tool)
		if !strings.Contains(path, "/") {
			path = "./" + path
		}
		info, err := os.Stat(path)
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 || self != nil && os.SameFile(info, self) {
			continue
		}
		return path
	}
	return ""
}
