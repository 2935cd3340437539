//go:build linux

package execserver

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// openTerminal makes the streams of which one is to be there a new terminal of the
// given size.
func (s *streams) openTerminal(of execproto.TTY, rows, cols uint16) error {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	s.tty = os.NewFile(uintptr(fd), "/dev/ptmx")
	slave, err := unlock(fd, of.Has(0))
	if err != nil {
		return err
	}
	setSize(s.tty, &unix.Winsize{Row: rows, Col: cols})
	s.slave = slave
	for i := range s.tool {
		if of.Has(i) {
			s.tool[i] = slave
		}
	}
	if of.Has(0) {
		s.in = s.tty
	}
	if i := slices.Index(s.tool[1:], slave); i >= 0 {
		s.outs = append(s.outs, source{s.tty, outputs[i+1]})
	}
	return nil
}

// unlock returns the tool's side of the terminal. Editing a line shall know
// what a character is, as in every terminal of today. Without keys, the terminal
// on which the output is shown is not raw and will do with line feeds what is to be done.
func unlock(master int, keys bool) (int, error) {
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
		if !keys {
			modes.Oflag &^= unix.OPOST
		}
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
