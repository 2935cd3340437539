//go:build linux

package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// cache leads c.Path to the user's own directory in the volume c.Name. Users
// share the volume, not the directory, so one cannot plant files for another.
// Without the volume the path is a plain directory.
func (o *options) cache(c cache) error {
	top := filepath.Join(execproto.CacheRoot, c.Name)
	if info, err := os.Lstat(top); err != nil || !info.IsDir() {
		return o.either(func() error { return os.MkdirAll(c.Path, 0o755) })
	}
	own, err := o.share(top)
	if err != nil {
		return err
	}
	return o.either(func() error { return link(own, c.Path) })
}

// share returns the user's directory in the volume mounted at top. Several
// sidecars may do this at the same time, so each step may be done already.
func (o *options) share(top string) (string, error) {
	if err := rootOwned(top); err != nil {
		return "", err
	}
	own := filepath.Join(top, strconv.Itoa(o.UID))
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Lstat(own, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return "", fmt.Errorf("%s is not a directory", own)
	}
	if int(st.Uid) != o.UID {
		return own, os.Lchown(own, o.UID, o.GID)
	}
	return own, nil
}

// rootOwned makes the top of a volume root's, so that users can only change
// what is theirs. An image may have given it another owner.
func rootOwned(top string) error {
	var st unix.Stat_t
	if err := unix.Lstat(top, &st); err != nil {
		return err
	}
	if st.Uid != 0 {
		if err := os.Lchown(top, 0, 0); err != nil {
			return err
		}
	}
	if st.Mode&0o7777 != 0o755 {
		return os.Chmod(top, 0o755)
	}
	return nil
}

// link makes path a symbolic link to target. An empty directory gives way, and
// anything else that is there stays.
func link(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err := os.Symlink(target, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if old, err := os.Readlink(path); err == nil && old == target {
		return nil
	}
	if err := unix.Rmdir(path); err != nil {
		return fmt.Errorf("%s is in the way: %w", path, err)
	}
	return os.Symlink(target, path)
}
