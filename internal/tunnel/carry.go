package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/aifo-coder/aifo-coder/internal/accept"
)

// carry is the end in a container: it listens on sockets of these names in dir and carries
// the connections to them over rwc. It returns nil when that has ended.
func carry(rwc io.ReadWriteCloser, dir string, names []string) error {
	l := newLink(rwc)
	for _, name := range names {
		listener, err := listen(dir, name)
		if err != nil {
			return err
		}
		defer listener.Close()
		go l.acceptFrom(listener, name)
	}
	if err := l.run(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// listen makes a socket that appears under its name when one can connect, so that who does
// not find it knows that it is still to come, and who is refused that it is no more.
func listen(dir, name string) (net.Listener, error) {
	path, draft := filepath.Join(dir, name), filepath.Join(dir, "."+name)
	_ = os.Remove(draft) // of one that was ended on the way
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: draft, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err := os.Rename(draft, path); err != nil {
		return nil, errors.Join(fmt.Errorf("make the socket: %w", err), listener.Close())
	}
	return listener, nil
}

// acceptFrom carries the connections to one socket.
func (l *link) acceptFrom(listener net.Listener, name string) {
	for {
		local, err := accept.Next(listener)
		if err != nil {
			return
		}
		c, err := l.open(name)
		if err != nil {
			local.Close()
			return
		}
		go pass(local, c)
	}
}

// pass connects a connection in the container with its other end, to the end of both
// directions.
func pass(local net.Conn, c *conn) {
	out := make(chan struct{})
	go func() {
		defer close(out)
		_, _ = io.Copy(c, local)
		_ = c.CloseWrite()
	}()
	_, err := io.Copy(local, c)
	switch {
	case err != nil: // nobody reads here any more
		_ = c.Close()
		local.Close()
	case c.gone():
		local.Close()
	default:
		_ = local.(*net.UnixConn).CloseWrite() // or it is gone
	}
	<-out
	_ = c.Close()
	local.Close()
}
