//go:build unix

package cli_test

import "syscall"

// containerGone tells a fake docker that blocks that its container was removed.
const containerGone = syscall.SIGUSR1

// tell sends s to a fake docker that blocks, which may have ended meanwhile.
func tell(pid int, s syscall.Signal) { _ = syscall.Kill(pid, s) }
