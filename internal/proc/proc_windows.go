package proc

import (
	"os"
	"os/exec"
	"syscall"
)

func sysProcAttr(bool) *syscall.SysProcAttr { return nil }

// terminate kills: Windows has no polite way to end another program.
func terminate(p *os.Process, _ bool) error { return p.Kill() }

// killGroup does nothing: Windows has no process groups that could be left.
func killGroup(*os.Process) {}

func exitCode(e *exec.ExitError) int { return e.ExitCode() }
