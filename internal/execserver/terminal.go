//go:build linux

package execserver

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openTerminal opens a new terminal of the given size.
func openTerminal(rows, cols uint16) (streams, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return streams{}, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	slave, err := unlock(fd)
	if err != nil {
		_ = unix.Close(fd)
		return streams{}, err
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	setSize(master, &unix.Winsize{Row: rows, Col: cols})
	return streams{tool: [3]int{slave, slave, slave}, in: master, outs: []*os.File{master}, tty: master}, nil
}

// unlock returns the tool's side of the terminal. Editing a line shall know
// what a character is, as in every terminal of today.
func unlock(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, os.NewSyscallError("unlock terminal", err)
	}
	n, err := unix.IoctlGetUint32(master, unix.TIOCGPTN)
	if err != nil {
		return -1, os.NewSyscallError("number of terminal", err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if modes, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		modes.Iflag |= unix.IUTF8
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, modes)
	}
	return fd, nil
}

// setSize sets the size of a terminal, if there is one.
func setSize(tty *os.File, size *unix.Winsize) {
	control(tty, func(fd int) { _ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}

// endOfInput returns what tells a program on the terminal that its input has
// ended: the end-of-file key, once to finish a line that was begun and once for
// the end. A program that takes keys as they are would see it as just another
// key, so it is told nothing.
func endOfInput(tty *os.File) (keys []byte) {
	control(tty, func(fd int) {
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil && modes.Lflag&unix.ICANON != 0 {
			keys = []byte{modes.Cc[unix.VEOF], modes.Cc[unix.VEOF]}
		}
	})
	return keys
}

// control calls f with the descriptor of the file, which stays non-blocking.
func control(file *os.File, f func(fd int)) {
	if file == nil {
		return
	}
	if conn, err := file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { f(int(fd)) })
	}
}
