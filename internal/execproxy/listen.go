package execproxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/unixsock"
)

// ListenTCP listens on a free port of the IP address addr. It refuses the
// addresses that mean every interface: the token must not be the only thing
// between the workspace and the local network.
func ListenTCP(addr string) (net.Listener, error) {
	return listenTCP(addr, net.ListenConfig{})
}

// ListenTCPAhead is ListenTCP for an address that this host may be given only later, where the
// system can do that (Linux).
func ListenTCPAhead(addr string) (net.Listener, error) {
	return listenTCP(addr, net.ListenConfig{Control: freebind})
}

func listenTCP(addr string, c net.ListenConfig) (net.Listener, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: not an IP address", addr)
	}
	if ip.Unmap().IsUnspecified() {
		return nil, fmt.Errorf("listen on %s: would be reachable on every network", addr)
	}
	l, err := c.Listen(context.Background(), "tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// ListenUnix listens on a socket in dir, which must be a directory of ours that
// nobody else can enter; the container sees it at execproto.SocketPath, under
// the same owner and mode. The socket is removed when the listener is closed.
func ListenUnix(dir string) (net.Listener, error) {
	return unixsock.Listen(dir, execproto.SocketName)
}
