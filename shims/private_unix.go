//go:build unix

package shims

import (
	"fmt"
	"os"
	"syscall"
)

// private returns an error unless dir is a directory that only the user can
// have written to.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("install shims: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("install shims: %s is not a directory", dir)
	case !ok || int(st.Uid) != os.Geteuid():
		return fmt.Errorf("install shims: %s belongs to another user", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("install shims: %s can be written by others (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}
