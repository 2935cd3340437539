package proc

import "syscall"

// sysProcAttr also has the kernel end the program when we are killed in a way
// that leaves no time to do it ourselves.
func sysProcAttr(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: group, Pdeathsig: syscall.SIGTERM}
}
