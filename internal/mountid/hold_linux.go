package mountid

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Held are files and directories of this host that are held open, by their paths.
type Held struct {
	files map[string]File
	open  []int
}

// Hold opens what the paths name, so that nothing else becomes the same File until Close. A path
// must be canonical where canonical says so: it returns a *ChangedError for one that a link is in.
func Hold(paths []string, canonical func(path string) bool) (*Held, error) {
	h := &Held{files: map[string]File{}}
	for _, path := range paths {
		if err := h.hold(path, canonical(path)); err != nil {
			return nil, errors.Join(err, h.Close())
		}
	}
	return h, nil
}

func (h *Held) hold(path string, canonical bool) error {
	if _, ok := h.files[path]; ok {
		return nil
	}
	fd, err := open(path, canonical)
	if err != nil {
		return err
	}
	h.open = append(h.open, fd)
	if h.files[path], err = fileOf(fd); err != nil {
		return fmt.Errorf("look at %s, which is to be mounted: %w", path, err)
	}
	return nil
}

// open opens what path names; where it is to be canonical, a link in it is a *ChangedError. A directory is asked for
// first: that has a file system mounted which is only mounted when it is used, as the engine would, with other numbers.
func open(path string, canonical bool) (fd int, err error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_DIRECTORY}
	if canonical {
		how.Resolve = unix.RESOLVE_NO_SYMLINKS
	}
	fd, err = unix.Openat2(unix.AT_FDCWD, path, &how)
	if errors.Is(err, unix.ENOTDIR) {
		how.Flags &^= unix.O_DIRECTORY
		fd, err = unix.Openat2(unix.AT_FDCWD, path, &how)
	}
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // a kernel before 5.6, or a sandbox that does not know the call
		return openCompared(path, canonical)
	case errors.Is(err, unix.ELOOP):
		return 0, &ChangedError{Path: path}
	case err != nil:
		return 0, fmt.Errorf("look at %s, which is to be mounted: %w", path, err)
	}
	return fd, nil
}

// openCompared finds a link in path by comparing it with what the kernel calls the file that it has opened.
func openCompared(path string, canonical bool) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("look at %s, which is to be mounted: %w", path, err)
	}
	real, err := pathOf(fd)
	if err == nil && canonical && real != path {
		err = &ChangedError{Path: path}
	}
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// pathOf returns what the kernel calls an open file.
func pathOf(fd int) (string, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", fmt.Errorf("is /proc mounted? %w", err)
	}
	return path, nil
}

// File returns what the path named when it was held.
func (h *Held) File(path string) (File, bool) {
	f, ok := h.files[path]
	return f, ok
}

// Close lets go of everything.
func (h *Held) Close() error {
	var errs []error
	for _, fd := range h.open {
		errs = append(errs, unix.Close(fd))
	}
	h.open = nil
	return errors.Join(errs...)
}

func fileOf(fd int) (File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return File{}, err
	}
	return File{Dev: uint64(st.Dev), Ino: st.Ino}, nil //nolint:unconvert // a number of another type on some architectures
}
