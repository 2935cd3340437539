package cli_test

import (
	"os"
	"syscall"
)

// containerGone tells a fake docker that blocks that its container was removed.
const containerGone = syscall.SIGKILL

// tell ends a fake docker that blocks, whatever the signal: Windows has no others.
func tell(pid int, _ syscall.Signal) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}
