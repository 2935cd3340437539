//go:build unix

package trust

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OpenNoFollow opens a file for reading that is no link itself. A named pipe without a writer, or a
// terminal, does not keep it waiting or become ours.
func OpenNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

// IsLink reports whether OpenNoFollow met a link.
func IsLink(err error) bool { return errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) }

// ownFile reports whether a file belongs to the caller, or to root, who needs no file to
// do anything.
func ownFile(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (int(stat.Uid) == os.Getuid() || stat.Uid == 0)
}

func writableByOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }
