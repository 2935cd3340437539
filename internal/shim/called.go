//go:build linux

package shim

import (
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// called returns the tool that argv0 names, and the path by which it was called
// if the toolchain shall run what has that path. filename is what the kernel was
// told to execute: a shell that found a tool in PATH gives its name alone as
// argv0, and where it found it counts in a virtual environment of the workspace.
func called(argv0, filename, workspace string) (tool, path string) {
	tool = filepath.Base(argv0)
	switch {
	case strings.Contains(argv0, "/"):
		path = argv0
	case filepath.Base(filename) == tool && execproto.Within(filename, workspace):
		path = filename
	}
	if dir := filepath.Dir(path); path == "" || dir == execproto.ShimDir {
		return tool, ""
	}
	return linkedTool(path, tool), path
}

// linkedTool returns the name of the tool that a link of any name leads to: the
// last one before the shim.
func linkedTool(path, tool string) string {
	const links = 40 // as many as the kernel follows
	for range links {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if filepath.Base(target) == execproto.NameShim {
			return filepath.Base(path)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return tool
}

// auxExecFn is the key of the file name in the auxiliary vector (getauxval(3)).
const auxExecFn = 31

// execFilename returns the path that execve(2) was given for this process, or ""
// where it cannot be told.
func execFilename() string {
	aux, err := unix.Auxv()
	if err != nil {
		return ""
	}
	for _, pair := range aux {
		if pair[0] == auxExecFn {
			return cString(pair[1])
		}
	}
	return ""
}

// cString returns the string at an address that the kernel gave us, above our
// first stack, where nothing is moved or freed. It looks no further than the NUL,
// which may be the last byte that there is.
func cString(address uintptr) string {
	var b []byte
	for p := *(*unsafe.Pointer)(unsafe.Pointer(&address)); *(*byte)(p) != 0; p = unsafe.Add(p, 1) { //nolint:gosec // see above
		b = append(b, *(*byte)(p))
	}
	return string(b)
}
