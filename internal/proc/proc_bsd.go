//go:build unix && !linux

package proc

import "syscall"

func sysProcAttr(group bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: group} }
