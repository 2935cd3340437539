package hostfacts

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// zombie is the state of a process that has ended and was not reaped (SZOMB of sys/proc.h).
const zombie = 5

// processStart returns the time at which the process started, and whether it runs.
func processStart(pid int) (string, bool) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || p.Proc.P_pid != int32(pid) || p.Proc.P_stat == zombie {
		return "", false
	}
	return fmt.Sprintf("%d.%06d", p.Proc.P_starttime.Sec, p.Proc.P_starttime.Usec), true
}

// processUID returns the user that the process runs as, or -1 where it does not run.
func processUID(pid int) int {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || p.Proc.P_pid != int32(pid) {
		return -1
	}
	return int(p.Eproc.Ucred.Uid)
}
