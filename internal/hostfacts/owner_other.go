//go:build !linux && !darwin && !windows

package hostfacts

import (
	"os"
	"syscall"
)

// processStart reports whether the process exists; these systems give no start
// time without a library, so a reused pid counts as alive.
func processStart(pid int) (string, bool) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return "", false
	}
	return "", p.Signal(syscall.Signal(0)) == nil
}

// processUID returns -1: these systems tell the user of a process only by a library.
func processUID(int) int { return -1 }
