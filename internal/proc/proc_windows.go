package proc

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

func sysProcAttr(bool) *syscall.SysProcAttr { return nil }

// backgroundAttr takes the program off our console.
func backgroundAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}

// terminate kills: Windows has no polite way to end another program.
func terminate(p *os.Process, _ bool) error { return p.Kill() }

// killGroup does nothing: Windows has no process groups that could be left.
func killGroup(*os.Process) {}

func exitCode(e *exec.ExitError) int { return e.ExitCode() }
