package foreign

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// removing is what the name of a clone starts with once it goes away.
const removing = ".removing-"

// Remove removes the clone dir, an absolute path below root, and what is left of it when
// an earlier removal was killed. It follows no link. The clone gets another name first, so that
// nothing takes half of it for a clone. step is called before each change, see Clone.
func Remove(root, dir string, step func(name string) error) error {
	if step == nil {
		step = func(string) error { return nil }
	}
	parent, err := openBelow(root, filepath.Dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	prefix := removing + strings.TrimPrefix(filepath.Base(dir), "pane-") + "-"
	if err := step("remove: rename the clone"); err != nil {
		return err
	}
	err = parent.Rename(filepath.Base(dir), prefix+rand.Text())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if err := step("remove: delete its files"); err != nil {
		return err
	}
	if err := removeLeft(parent, prefix); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// removeLeft removes what has names that start with prefix.
func removeLeft(parent *os.Root, prefix string) error {
	entries, err := readDir(parent, ".")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			err = errors.Join(err, removeAll(parent, e.Name()))
		}
	}
	return err
}

// removeTries is how often removal starts again when files come up while it goes on, or directories
// may not be written to.
const removeTries = 5

func removeAll(parent *os.Root, name string) error {
	err := parent.RemoveAll(name)
	for range removeTries {
		if err == nil {
			return nil
		}
		makeWritable(parent, name)
		err = parent.RemoveAll(name)
	}
	return err
}

// makeWritable lets the owner remove what is in a directory and below. What does not let itself be
// changed, the removal tells.
func makeWritable(root *os.Root, name string) {
	fi, err := root.Lstat(name)
	if err != nil || !fi.IsDir() {
		return
	}
	if fi.Mode().Perm()&0o700 != 0o700 {
		_ = root.Chmod(name, 0o700)
	}
	entries, err := readDir(root, name)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			makeWritable(root, filepath.Join(name, e.Name()))
		}
	}
}
