package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds what is read of the small files of a git directory.
const maxFile = 64 << 20

// ReadFile reads a file of the common directory, or returns nil when there is none. A file
// that is not regular is a *LayoutError: a link may lead anywhere, and a pipe never ends.
func (r Repo) ReadFile(name string) ([]byte, error) {
	f, err := OpenRegular(r.CommonDir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Join(r.CommonDir, name), maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	return data, nil
}

// OpenRegular opens a file below dir for reading if it is a regular one, with no link on the way.
func OpenRegular(dir, name string) (*os.File, error) {
	if err := checkRegular(dir, name); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	defer func() { _ = root.Close() }()
	return root.Open(name)
}

func checkRegular(dir, name string) error {
	if err := CheckPath(dir, name); err != nil {
		return err
	}
	info, err := os.Lstat(filepath.Join(dir, name))
	if err == nil && !info.Mode().IsRegular() {
		return &LayoutError{Path: filepath.Join(dir, name), Problem: "is not a regular file", Remedy: remedyLink}
	}
	return err
}

// copyIndex copies an index file, if there is one, into a directory of ours, with its
// time: git looks into files that are as young as their index.
func copyIndex(from, to, name string) error {
	in, err := OpenRegular(from, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := copyWithTime(in, filepath.Join(to, name)); err != nil {
		return fmt.Errorf("copy the repository's index: %w", err)
	}
	return nil
}

func copyWithTime(in *os.File, to string) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
