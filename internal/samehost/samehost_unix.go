//go:build unix

package samehost

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID returns Linux's name for the time since the kernel was started.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // no Linux
	}
	return strings.TrimSpace(string(data))
}

func identify(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fmt.Sprintf("file %d %d", st.Dev, st.Ino), nil
}
