//go:build !linux

package execproxy

import (
	"errors"
	"net"
	"os"
)

// canReceiveFiles: only Linux shares its kernel with containers.
func canReceiveFiles(net.Conn) bool { return false }

func receiveFiles(net.Conn) ([]*os.File, error) { return nil, errors.ErrUnsupported }
