//go:build unix

package proc

import (
	"os"
	"os/exec"
	"syscall"
)

// backgroundAttr makes the program the leader of a session of its own, which no
// terminal belongs to (setsid(2)).
func backgroundAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func terminate(p *os.Process, group bool) error {
	if group {
		return syscall.Kill(-p.Pid, syscall.SIGTERM)
	}
	return p.Signal(syscall.SIGTERM)
}

// killGroup kills what is left of p's process group after p was reaped. Its
// number cannot be another group's while a member lives.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

func exitCode(e *exec.ExitError) int {
	if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return e.ExitCode()
}
