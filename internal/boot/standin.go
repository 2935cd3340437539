//go:build linux

package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// link makes links in the directory to the shims in shimDir, for names that the
// image does not have there. So what refers to a tool by the place that it has in
// a toolchain's image finds it in the agent's as well.
func (s standIn) link(shimDir string) error {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	for _, name := range s.Names {
		err := os.Symlink(filepath.Join(shimDir, name), filepath.Join(s.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
