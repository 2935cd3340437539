//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// foreground reports whether the shell has us in front on a terminal, and not behind its prompt. One that has
// no jobs does not mind.
func foreground(terminal *os.File) bool {
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// redraws reports whether a terminal takes the sequences with which a line is drawn again.
func redraws(*os.File) bool { return true }
