//go:build linux

// Package relay is the way out of a container that has no network: a process that
// listens on the container's loopback and passes each connection on to a unix socket,
// behind which aifo-coder decides what may be reached (docs/network.md). It decides
// nothing itself. It belongs to the user in the container, who may well end it, and
// has then no way out at all.
package relay

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Command is the subcommand of the program in a container that serves.
const Command = "relay"

// listenerFD is where the process that Start starts has the listener.
const listenerFD = 3

// maxConns is how many connections may be passed on at once; more wait. The other side
// has a limit of its own.
const maxConns = 1024

// Listen listens for the container. From then on connections can be made; they wait
// until somebody serves them.
func Listen() (*os.File, error) {
	listener, err := net.Listen("tcp", execproto.EgressAddr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }() // the file is a listener of its own
	return listener.(*net.TCPListener).File()
}

// Start starts the process that serves what Listen gave, as the user that the caller
// has become. It outlives the caller's execve. It shall not be a child of the program that the
// caller becomes, which knows nothing of it, but of the container's init; a caller that
// is the init itself has it as a child.
func Start(listener *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	attr := &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), listener.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	if os.Getpid() != 1 {
		attr.Sys.Cloneflags = unix.CLONE_PARENT
	}
	_, err = syscall.ForkExec(self, []string{execproto.NameShim, Command}, attr)
	return err
}

// Main is the subcommand: it serves the listener, until it is ended.
func Main() int {
	runtime.GOMAXPROCS(2) // it waits and copies
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err == nil {
		err = Serve(listener, execproto.EgressSocket)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return 1
	}
	return 0
}
