//go:build linux

package toolrun

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/caps"
)

// LimitProcess is LimitRoot for a program that stays: capabilities are a thread's, so
// the program starts again as what it has become, and returns at once then.
func LimitProcess() error {
	if os.Geteuid() != 0 || Limited() {
		return nil
	}
	if err := LimitRoot(); err != nil {
		return err
	}
	if !Limited() {
		return errors.New("root's capabilities cannot be limited")
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// Limited reports whether root has no more than what is left to it, now and
// after an execve.
func Limited() bool {
	for c := 0; c < 64; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err != nil {
			break // the kernel does not know more of them
		}
		if has == 1 && caps.Root&(1<<c) == 0 {
			return false
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	has := uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
	return err == nil && has&^caps.Root == 0
}
