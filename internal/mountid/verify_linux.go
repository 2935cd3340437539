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
// put what was meant where another thing was mounted, which is then at the new name. So each path must be that
// of a mount, and what is opened there must be the root of that very mount.
func Verify(mounts []Mount, open Opener) error {
	points, err := mountPoints()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
		errs = append(errs, m.verify(points, open))
	}
	return errors.Join(errs...)
}

// mountPoints returns the ids of all mounts by where they are. Of several at one place the last covers the others.
func mountPoints() (map[string]int, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the list of mounts: %w", err)
	}
	points := map[string]int{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // id, parent, device, root, mount point and more (proc_pid_mountinfo(5))
		if len(fields) < 5 {
			continue
		}
		if id, err := strconv.Atoi(fields[0]); err == nil {
			points[unescaped.Replace(fields[4])] = id
		}
	}
	return points, nil
}

// unescaped gives back the characters that the kernel writes as octal numbers.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// SwappedError says that another file or directory is mounted than was meant.
type SwappedError struct{ Target string }

func (e *SwappedError) Error() string {
	return fmt.Sprintf("what is mounted at %s is not what it was when the session began: its path on the host leads elsewhere now; start the session again", e.Target)
}

func (m Mount) verify(points map[string]int, open Opener) error {
	id, ok := points[m.Target]
	if !ok {
		return &SwappedError{Target: m.Target}
	}
	fd := -1
	err := open(func() (err error) {
		fd, err = unix.Open(m.Target, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at the mount %s: %w", m.Target, err)
	}
	defer func() { _ = unix.Close(fd) }()
	opened, err := mountOf(fd)
	if err != nil {
		return fmt.Errorf("look at the mount %s: %w", m.Target, err)
	}
	file, err := fileOf(fd)
	if err != nil {
		return fmt.Errorf("look at the mount %s: %w", m.Target, err)
	}
	if opened != id || file != m.File {
		return &SwappedError{Target: m.Target}
	}
	return nil
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
