//go:build unix

package hostfacts

import (
	"fmt"
	"os"
	"syscall"
)

// PrivateDir creates a directory that only its owner can enter, or checks that
// an existing one is like that and ours: its parent may be writable by all.
func PrivateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create a private directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check a private directory: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("the directory %s is not private to you: remove it, or make it yours with mode 0700", dir)
	}
	return nil
}
