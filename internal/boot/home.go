//go:build linux

package boot

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// asUser runs f with the user's rights on files. Root without DAC_OVERRIDE may
// not write where the user may, and what f makes belongs to the user at once.
// The rights are those of this thread, which Main has locked.
func (o *options) asUser(f func() error) error {
	if o.UID == 0 {
		return f()
	}
	if err := errors.Join(unix.Setfsgid(o.GID), unix.Setfsuid(o.UID)); err != nil {
		return err
	}
	defer func() { _ = errors.Join(unix.Setfsuid(0), unix.Setfsgid(0)) }()
	return f()
}

// either runs f as the user, and again as root when the user may not.
func (o *options) either(f func() error) error {
	err := o.asUser(f)
	if errors.Is(err, fs.ErrPermission) && o.UID != 0 {
		return f()
	}
	return err
}

// home makes the user's home directory and gives it to the user, together with
// those directories in it that only root can have made: the engine makes the
// parents of a mount point.
func (o *options) home() error {
	if err := o.either(func() error { return os.MkdirAll(o.Home, 0o755) }); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(o.Home, &st); err != nil {
		return err
	}
	if int(st.Uid) != o.UID {
		if err := os.Chown(o.Home, o.UID, o.GID); err != nil {
			return err
		}
	}
	if o.UID == 0 {
		return nil
	}
	dir, err := o.openDir(unix.AT_FDCWD, o.Home, 0)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	left := adoptLimit
	o.adopt(dir, st.Dev, adoptDepth, &left)
	return nil
}

// The walk through HOME is bounded, because HOME may be full.
const (
	adoptDepth = 4
	adoptLimit = 10000
)

// openDir opens a directory with the user's or root's rights.
func (o *options) openDir(at int, name string, flags int) (*os.File, error) {
	fd := -1
	err := o.either(func() (err error) {
		fd, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// adopt gives the user the directories below dir that belong to root. It stays
// on the file system dev, outside mounts, and works on descriptors: HOME may be
// shared with a running agent, who could put a link in place of a directory.
func (o *options) adopt(dir *os.File, dev uint64, depth int, left *int) {
	entries, _ := dir.ReadDir(-1) // what cannot be read stays as it is
	for _, e := range entries {
		if !e.IsDir() || *left == 0 {
			continue
		}
		*left--
		child, err := o.openDir(int(dir.Fd()), e.Name(), unix.O_NOFOLLOW)
		if err != nil {
			continue
		}
		if o.adoptOne(child, dev) && depth > 1 {
			o.adopt(child, dev, depth-1, left)
		}
		_ = child.Close()
	}
}

// adoptOne reports whether the walk goes on below dir.
func (o *options) adoptOne(dir *os.File, dev uint64) bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil || st.Dev != dev || isMount(dir) {
		return false
	}
	if st.Uid != 0 {
		return true
	}
	err := dir.Chown(o.UID, o.GID)
	if err != nil {
		warn("directory "+dir.Name(), err)
	}
	return err == nil
}

// isMount reports whether dir is the top of a mount. Two mounts of one file
// system have the same device, so that is not enough to tell.
func isMount(dir *os.File) bool {
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// runtimeDir makes XDG_RUNTIME_DIR as its specification asks: a directory of
// the user's own that nobody else can look into.
func (o *options) runtimeDir(dir string) error {
	if err := os.Mkdir("/tmp", 0o777); err == nil {
		if err := os.Chmod("/tmp", 0o777|fs.ModeSticky); err != nil {
			return err
		}
	}
	return o.asUser(func() error { return ownDir(dir, o.UID) })
}

func ownDir(dir string, uid int) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != uid {
		return errors.New("belongs to somebody else")
	}
	return os.Chmod(dir, 0o700)
}
