package fork

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSeed is the largest file that a pane's agent gets of the agent's usual state: logins
// and settings are small, histories and databases of past sessions are not.
const maxSeed = 1 << 20

// seedState copies the agent's usual state, so that it need not log in again in
// each pane: the regular files below from, where an agent may have written. What the
// agent does in the pane does not come back.
func seedState(from, to string) error {
	root, err := os.OpenRoot(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy the agent's state: %w", err)
	}
	defer func() { _ = root.Close() }() // it was only read
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, path), 0o700)
		}
		info, err := d.Info()
		if err != nil || !d.Type().IsRegular() || info.Size() > maxSeed {
			return err
		}
		return copySmall(root, path, filepath.Join(to, path), info.Mode().Perm())
	})
	if err != nil {
		return fmt.Errorf("copy the agent's state: %w", err)
	}
	return nil
}

func copySmall(root *os.Root, from, to string, mode fs.FileMode) error {
	in, err := root.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	data, err := io.ReadAll(io.LimitReader(in, maxSeed))
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}
