// Package unixsock makes the unix sockets through which containers reach this process:
// each in a directory that nobody else can enter and that is mounted into one container,
// so that the socket says which container asks. In a container it connects to them.
package unixsock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// errUnsupported is the error of Listen where containers cannot share a socket with
// the host.
var errUnsupported = errors.New("unix sockets for containers are not supported on this system")

// Listen listens on the socket name in dir, which must be a directory of ours that
// nobody else can enter. On Linux it closes connections of other users than this
// process's, as root in a container may make them; the others it gives out as they are,
// a *net.UnixConn each. The socket is removed when the listener is closed.
func Listen(dir, name string) (net.Listener, error) {
	path := filepath.Join(dir, name)
	if len(path) > maxPath {
		return nil, fmt.Errorf("listen on %q: path of %d bytes, %d are possible", path, len(path), maxPath)
	}
	if err := checkPrivate(dir); err != nil {
		return nil, fmt.Errorf("listen in %q: %w", dir, err)
	}
	l, err := listen(path)
	if err != nil {
		return nil, err
	}
	return checked{l, os.Geteuid()}, nil
}

// ListenFor is Listen for a container whose processes are the user uid of this host. If
// that is another than this process's, the directory above dir must be private as well: dir
// itself is then opened, so that they can come in.
func ListenFor(dir, name string, uid int) (net.Listener, error) {
	l, err := Listen(dir, name)
	if err != nil || uid == os.Geteuid() {
		return l, err
	}
	err = checkPrivate(filepath.Dir(dir))
	if err == nil {
		err = errors.Join(os.Chmod(filepath.Join(dir, name), 0o666), os.Chmod(dir, 0o711))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen in %q for user %d: %w", dir, uid, err), l.Close())
	}
	return checked{l.(checked).Listener, uid}, nil
}

// checked is a listener for one user alone.
type checked struct {
	net.Listener
	uid int
}

// Accept implements net.Listener.
func (l checked) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || peerIs(c, l.uid) {
			return c, err
		}
		c.Close()
	}
}
