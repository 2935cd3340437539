package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// foreground reports whether we are in front on a terminal; there are no jobs.
func foreground(*os.File) bool { return true }

// redraws reports whether a console takes the sequences with which a line is drawn again, and has it take them.
func redraws(console *os.File) bool {
	h := windows.Handle(console.Fd())
	var mode uint32
	if windows.GetConsoleMode(h, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
