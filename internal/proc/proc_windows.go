package proc

import (
	"os"
	"os/exec"
	"syscall"
)

func sysProcAttr(bool) *syscall.SysProcAttr { return nil }

// terminate kills: Windows has no polite way to end another program.
func terminate(p *os.Process, _ bool) error { return p.Kill() }

func exitCode(e *exec.ExitError) int { return e.ExitCode() }
