//go:build linux

package loopback

import (
	"errors"

	"golang.org/x/sys/unix"
)

// absent reports whether listening failed because the container does not have this version of IP.
func absent(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT)
}
