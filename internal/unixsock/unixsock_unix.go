//go:build unix

package unixsock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
)

// maxPath is what fits in sun_path, with its terminating NUL.
var maxPath = map[bool]int{true: 107, false: 103}[runtime.GOOS == "linux"]

// checkPrivate returns an error unless dir is a directory, no link, owned by
// this user and closed to everyone else.
func checkPrivate(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return errors.New("not a directory")
	}
	if m := fi.Mode() & (os.ModePerm | os.ModeSetuid | os.ModeSetgid); m != 0o700 {
		return fmt.Errorf("mode is %v, want 0700", m)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() {
		return errors.New("owned by another user")
	}
	return nil
}

// listen creates the socket. Its mode does not matter before the chmod, in
// a directory that is closed to others.
func listen(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %q: %w", path, err)
	}
	return l, nil
}
