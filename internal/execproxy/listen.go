package execproxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// errUnsupported is the error of ListenUnix where containers cannot share a
// socket with the host.
var errUnsupported = errors.New("unix sockets for containers are not supported on this system")

// ListenTCP listens on a free port of the IP address addr. It refuses the
// addresses that mean every interface: the token must not be the only thing
// between the workspace and the local network.
func ListenTCP(addr string) (net.Listener, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: not an IP address", addr)
	}
	if ip.Unmap().IsUnspecified() {
		return nil, fmt.Errorf("listen on %s: would be reachable on every network", addr)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// ListenUnix listens on a socket in dir, which must be a directory of ours that
// nobody else can enter; the container sees it at execproto.SocketPath, under
// the same owner and mode. The socket is removed when the listener is closed.
func ListenUnix(dir string) (net.Listener, error) {
	path := filepath.Join(dir, filepath.Base(execproto.SocketPath))
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listen on %q: path of %d bytes, %d are possible", path, len(path), maxSocketPath)
	}
	if err := checkPrivate(dir); err != nil {
		return nil, fmt.Errorf("listen in %q: %w", dir, err)
	}
	return listenUnix(path)
}
