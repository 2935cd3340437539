package mountid

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Opener runs a function with the rights with which paths of the container can be opened.
type Opener func(func() error) error

// Verify returns an error unless each of the mounts is there, in this process's mount namespace, and is what
// was meant. What a path leads to is not enough: whoever can rename a directory above a mount point can
// put what was meant where another thing was mounted, which is then at the new name. So what is opened at each path must be
// the root of a mount, and of another one for each: then none is left over that nobody has looked at. A path may lead there by links,
// which engines follow within a container: in many images /var/run is one.
func Verify(mounts []Mount, open Opener) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	var errs []error
	for _, m := range mounts {
		id, err := m.verify(points, open)
		if err == nil && seen[id] {
			err = &SwappedError{Target: m.Target}
		}
		seen[id] = true
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mountPoints returns where the mounts are, by their ids.
func mountPoints() (map[int]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the list of mounts: %w", err)
	}
	points := map[int]string{}
	for line := range strings.Lines(string(text)) {
		// Id, parent, device, root, mount point and more (proc_pid_mountinfo(5)), each followed by one space of ASCII: names have others.
		fields := strings.Split(line, " ")
		if len(fields) < 5 {
			continue
		}
		if id, err := strconv.Atoi(fields[0]); err == nil {
			points[id] = unescaped.Replace(fields[4])
		}
	}
	return points, nil
}

// unescaped gives back the characters that the kernel writes as octal numbers.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// SwappedError says that another file or directory is mounted than was meant.
type SwappedError struct{ Target string }

func (e *SwappedError) Error() string {
	return fmt.Sprintf("what is mounted at %s is not what it was when the session began; on the host it was replaced or moved, or its path leads elsewhere: start the session again", e.Target)
}

// verify returns the id of the mount.
func (m Mount) verify(points map[int]string, open Opener) (int, error) {
	fd := -1
	err := open(func() (err error) {
		fd, err = unix.Open(m.Target, unix.O_PATH|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("look at the mount %s: %w", m.Target, err)
	}
	defer func() { _ = unix.Close(fd) }()
	id, idErr := mountOf(fd)
	place, placeErr := pathOf(fd)
	file, fileErr := fileOf(fd)
	if err := errors.Join(idErr, placeErr, fileErr); err != nil {
		return 0, fmt.Errorf("look at the mount %s: %w", m.Target, err)
	}
	if point, ok := points[id]; !ok || point != place || file != m.File {
		return 0, &SwappedError{Target: m.Target}
	}
	return id, nil
}

// mountOf returns the id of the mount that an open file is in (proc_pid_fdinfo(5)).
func mountOf(fd int) (int, error) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(id))
		}
	}
	return 0, errors.New("the kernel does not say which mount it is in")
}
