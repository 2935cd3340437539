package unixsock

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// PeerUID returns the user who connected, as the kernel knew it at the connect and in terms
// of this process's user namespace (SO_PEERCRED, unix(7)).
func PeerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("ask who connected: %w", err)
	}
	return int(cred.Uid), nil
}

// peerIs reports whether who connected is the user uid.
func peerIs(c net.Conn, uid int) bool {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	got, err := PeerUID(u)
	return err == nil && got == uid
}
