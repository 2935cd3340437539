package foreign

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Bounds of what is read into memory.
const (
	maxPackedRefs = 64 << 20
	maxSmall      = 64 << 10 // a ref, alternates, a .git file
	maxStashLog   = 4 << 20
	maxIndex      = 512 << 20
	maxPath       = 4096 // Linux's own limit, which a directory below another can exceed
)

// notPlainError says that something is there that is not what it must be.
type notPlainError struct{ name, want string }

func (e *notPlainError) Error() string { return fmt.Sprintf("%s is not %s", e.name, e.want) }

// descend opens the directory rel below root, each component of which must be a
// directory and not a link to one.
func descend(root *os.Root, rel string) (*os.Root, error) {
	at, err := root.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(filepath.ToSlash(rel), "/") {
		if name == "." || name == "" {
			continue
		}
		next, err := subdir(at, name)
		_ = at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func subdir(at *os.Root, name string) (*os.Root, error) {
	before, err := at.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, &notPlainError{name: name, want: "a directory"}
	}
	next, err := at.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := next.Stat(".")
	if err != nil || !os.SameFile(before, after) { // became a link in between
		_ = next.Close()
		return nil, &notPlainError{name: name, want: "a directory"}
	}
	return next, nil
}

// isDir reports whether name below root is a directory and not a link.
func isDir(root *os.Root, name string) bool {
	fi, err := lstat(root, name)
	return err == nil && fi.IsDir()
}

// exists reports whether there is anything of that name.
func exists(root *os.Root, name string) bool {
	_, err := root.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// lstat is root.Lstat, and refuses a name that leads through a link.
func lstat(root *os.Root, name string) (fs.FileInfo, error) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		fi, err := root.Lstat(dir)
		if err != nil {
			return nil, err
		}
		if !fi.IsDir() {
			return nil, &notPlainError{name: dir, want: "a directory"}
		}
	}
	return root.Lstat(name)
}

// open opens the regular file name below root, without following links and without
// waiting for the other end of a pipe.
func open(root *os.Root, name string) (*os.File, error) {
	before, err := lstat(root, name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &notPlainError{name: name, want: "a regular file"}
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err != nil || !os.SameFile(before, after) {
		_ = f.Close()
		return nil, &notPlainError{name: name, want: "a regular file that stays the same"}
	}
	return f, nil
}

// read returns the content of a regular file of at most limit bytes.
func read(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := open(root, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return content, nil
}

// readOptional is read, with nil for a file that is not there.
func readOptional(root *os.Root, name string, limit int64) ([]byte, error) {
	content, err := read(root, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// list returns the entries of a directory, none when there is no such directory.
func list(root *os.Root, name string) ([]fs.DirEntry, error) {
	fi, err := lstat(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, &notPlainError{name: name, want: "a directory"}
	}
	return readDir(root, name)
}

// readDir is not fs.ReadDir, which takes no names that are not UTF-8.
func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	dir, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	entries, err := dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// hazard returns an error for what could keep git from ever coming to an end when it
// looks at the files in dir: in place of those that it reads unasked there is a pipe, a device
// or a link to who knows what.
func hazard(root *os.Root, dir string) error {
	if len(dir) > maxPath {
		return fmt.Errorf("directories are too deep: %.80s…", dir)
	}
	entries, err := readDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			err = hazard(root, name)
		} else if hazardous(name, e.Type()) {
			err = &notPlainError{name: name, want: "a regular file"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func hazardous(name string, mode fs.FileMode) bool {
	switch {
	case mode.IsRegular() || mode&fs.ModeSocket != 0: // a socket does not let itself be opened
		return false
	case mode&fs.ModeSymlink != 0: // git follows that of one file
		return path.Base(name) == ".gitmodules"
	}
	return strings.Contains("/"+name, "/.git")
}
