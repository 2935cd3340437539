package clone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// MakeParents makes the directory of a session's clones in the work tree root, and returns
// what removes again those directories that it made, if they are empty. It returns a
// *git.LayoutError when one of them is a link.
func MakeParents(root, sid string) (undo func() error, err error) {
	top, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("make the directory of the clones: %w", err)
	}
	defer func() { _ = top.Close() }()
	var made []string
	undo = func() error { return removeAll(root, made) }
	dir := ""
	for _, name := range []string{".aifo-coder", "forks", sid} {
		dir = path.Join(dir, name)
		isNew, err := makeReal(top, root, dir)
		if isNew {
			made = append(made, dir)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make the directory of the clones: %w", err), undo())
		}
	}
	return undo, nil
}

// makeReal makes a directory, or sees that there is a real one.
func makeReal(top *os.Root, root, dir string) (isNew bool, err error) {
	err = top.Mkdir(dir, 0o777)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	info, err := top.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = &git.LayoutError{Path: filepath.Join(root, dir), Problem: "is not a real directory",
			Remedy: "see whether you made it so; if not, an agent has: remove it"}
	}
	return false, err
}

// removeAll removes empty directories below root, the last first.
func removeAll(root string, dirs []string) error {
	var err error
	for i := len(dirs) - 1; i >= 0; i-- {
		removeErr := os.Remove(filepath.Join(root, dirs[i]))
		if !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return err
}
