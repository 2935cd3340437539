//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// room returns the bytes and the inodes that are free to this user where path is, and whether
// the file system counts inodes at all.
func room(path string) (bytes, inodes uint64, counted bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, false, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Ffree), s.Files > 0, nil //nolint:gosec,unconvert // the types differ between systems
}

func writable(path string) bool { return unix.Access(path, unix.W_OK|unix.X_OK) == nil }

func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}

func groupOf(info fs.FileInfo) (gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Gid), true
}
