//go:build linux

// Package stdpipe makes the pipes that are a tool's standard streams. A tool's
// end blocks, as tools expect it; ours can be waited for without a thread.
package stdpipe

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Input returns our writing end and the tool's reading end of a new pipe.
func Input() (ours *os.File, tool int, err error) { return open(1, 0) }

// Output returns our reading end and the tool's writing end of a new pipe.
func Output() (ours *os.File, tool int, err error) { return open(0, 1) }

// open makes a pipe whose ends are given by index. Both are closed on execve.
func open(our, their int) (ours *os.File, tool int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, os.NewSyscallError("pipe", err)
	}
	if err := unix.SetNonblock(p[our], true); err != nil {
		return nil, -1, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(p[0]), unix.Close(p[1]))
	}
	return os.NewFile(uintptr(p[our]), "|"), p[their], nil
}

// Quiet is how long a tool's output may bring nothing after the tool has ended
// while somebody, a server in the background for instance, still has it open.
// What the tool itself wrote is complete by then, and those who were left to
// finish, as in > >(tee log), have had more than a busy machine needs.
const Quiet = 500 * time.Millisecond

// Await calls look whenever there may be something to read, until it reports that
// it is done or the file's read deadline is over. Then it looks once more: on a
// busy machine nobody may have looked before.
func Await(conn syscall.RawConn, look func(fd int) (done bool)) error {
	err := conn.Read(func(fd uintptr) bool { return look(int(fd)) })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = conn.Control(func(fd uintptr) { look(int(fd)) })
	}
	return err
}

// Read is read(2), begun again when a signal interrupted it.
func Read(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		if err != unix.EINTR {
			return n, err
		}
	}
}
