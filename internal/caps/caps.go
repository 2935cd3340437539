//go:build linux

// Package caps gives up capabilities of the calling thread for good. Linux keeps
// them for each thread, and execve takes those of its caller: lock the thread
// first, and execute from it.
package caps

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Root is what is left to a user who is root in the container, as with a
// rootless engine: to work on files as root does, and nothing else.
const Root = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID

// LimitBounding removes all but keep from the bounding set. The kernel says
// EINVAL for the first capability that it does not know.
func LimitBounding(keep uint64) error {
	for c := 0; c < 64; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err == unix.EINVAL {
			break
		}
		if err != nil || has == 0 || keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// Limit keeps of the effective and permitted capabilities those in keep,
// and of the inheritable ones none.
func Limit(keep uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for i := range data {
		mask := uint32(keep >> (32 * i)) //nolint:gosec // the half that data[i] is about
		data[i].Effective &= mask
		data[i].Permitted &= mask
		data[i].Inheritable = 0
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}
