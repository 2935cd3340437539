package execproxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// freebind lets a socket have an address that no interface has yet.
func freebind(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
