//go:build linux

package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// copy brings the user's file to its place, unless there is one that is as new: the
// agent may have changed it, and the user has not since. It is a copy because the
// agent may write to it, and the user's own must stay as it is.
func (c configFile) copy() error {
	source, err := os.Stat(c.Source)
	if err != nil {
		return err
	}
	here, err := os.Lstat(c.Path)
	if err == nil && !here.ModTime().Before(source.ModTime()) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := os.ReadFile(c.Source)
	if err != nil {
		return err
	}
	return c.write(text, source)
}

// write puts the file into place as a whole, with the time of its source.
func (c configFile) write(text []byte, source fs.FileInfo) error {
	dir := filepath.Dir(c.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Chtimes(temp.Name(), source.ModTime(), source.ModTime())
	}
	if err == nil {
		err = os.Rename(temp.Name(), c.Path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
