package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// UnfitError says why a file is not read.
type UnfitError struct {
	Path   string
	Reason string
	hint   string
}

func (e *UnfitError) Error() string { return fmt.Sprintf("%s is not read: %s", e.Path, e.Reason) }

// Hint says what to do, or nothing.
func (e *UnfitError) Hint() string { return e.hint }

// ReadRepository returns the content of a file of a repository, of limit bytes at most.
// The directory is canonical. It returns an error that is fs.ErrNotExist where there is no
// such file, and an *UnfitError for anything that is no plain text file itself: a link leads
// out of the repository, and a named pipe or a device never ends.
func ReadRepository(dir, name string, limit int64) ([]byte, error) {
	path := filepath.Join(dir, name)
	f, err := OpenNoFollow(path)
	if IsLink(err) {
		return nil, &UnfitError{Path: path, Reason: "it is a link"}
	}
	if err != nil {
		return nil, fmt.Errorf("read the repository's file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	return read(f, path, limit)
}

// ReadOwn returns the content of a file of the user's, of limit bytes at most. Links are
// followed. It returns an error that is fs.ErrNotExist where there is no such file, and an
// *UnfitError for one that somebody else owns or can write, or that is no text file.
func ReadOwn(path string, limit int64) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := CheckOwn(path, info); err != nil {
		return nil, err
	}
	return read(f, path, limit)
}

// CheckOwn returns an *UnfitError for a file that belongs to neither the user nor root, or that
// others can write.
func CheckOwn(path string, info fs.FileInfo) error {
	switch {
	case !ownFile(info):
		return &UnfitError{Path: path, Reason: "it belongs to somebody else", hint: "replace it by a file of your own"}
	case writableByOthers(info):
		return &UnfitError{Path: path, Reason: "others than you can write it", hint: "chmod go-w " + path}
	}
	return nil
}

// read reads an open file, which is checked only now: its name may lead elsewhere meanwhile.
func read(f *os.File, path string, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &UnfitError{Path: path, Reason: "it is not a regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case int64(len(data)) > limit:
		return nil, &UnfitError{Path: path, Reason: fmt.Sprintf("it has more than %d KiB", limit>>10)}
	case !utf8.Valid(data):
		return nil, &UnfitError{Path: path, Reason: "it is not UTF-8 text"}
	}
	return data, nil
}

// IsUnfit reports whether err says that a file is not read because of what it is.
func IsUnfit(err error) bool {
	var unfit *UnfitError
	return errors.As(err, &unfit)
}
