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
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("look at %s, which is to be mounted: %w", path, err)
	}
	h.open = append(h.open, fd)
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err == nil && canonical && real != path {
		err = &ChangedError{Path: path}
	}
	if err == nil {
		h.files[path], err = fileOf(fd)
	}
	return err
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
