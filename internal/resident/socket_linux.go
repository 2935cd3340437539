package resident

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/unixsock"
)

// connectLimit is how long a server may take to connect. It does so before it
// waits for anything, but the machine may be busy.
const connectLimit = 5 * time.Second

// socketLink is a link over a unix socket.
type socketLink struct {
	*net.UnixConn
	server *proc.Conn
}

// dialSocket starts a server that connects to a socket in dir. The socket is
// there only until it has: whatever else runs in the sidecar could use it too.
func (d *Docker) dialSocket(ctx context.Context, kind, dir string) (Link, error) {
	name := d.server().Socket
	l, err := listen(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	server, err := d.serve(kind, path.Join(execproto.SocketDir, name))
	if err != nil {
		return nil, err
	}
	conn, err := d.accept(ctx, l, server)
	if err != nil {
		_ = server.Close()
		return nil, err
	}
	return &socketLink{UnixConn: conn, server: server}, nil
}

func listen(name string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// accept waits for the server to connect, or to end.
func (d *Docker) accept(ctx context.Context, l *net.UnixListener, server *proc.Conn) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectLimit, fmt.Errorf("it did not connect within %v", connectLimit))
	defer cancel()
	go func() {
		select {
		case <-server.Ended():
			cancel()
		case <-ctx.Done():
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	conn, err := l.AcceptUnix()
	if err == nil {
		err = d.checkPeer(conn)
	}
	if err == nil {
		return conn, nil
	}
	if conn != nil {
		_ = conn.Close()
	}
	return nil, reason(ctx, server, err)
}

// reason returns why no server connected.
func reason(ctx context.Context, server *proc.Conn, err error) error {
	select {
	case <-server.Ended():
		if why := server.Wait(); why != nil {
			return why
		}
		return errors.New("it ended without connecting")
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// checkPeer refuses a peer that is another user of the machine.
func (d *Docker) checkPeer(conn *net.UnixConn) error {
	uid, err := unixsock.PeerUID(conn)
	if err == nil && uid != d.UID {
		err = fmt.Errorf("user %d connected where user %d was expected", uid, d.UID)
	}
	return err
}

// SendFiles implements FileLink.
func (l *socketLink) SendFiles(b []byte, files []*os.File) error {
	return withFDs(files, nil, func(fds []int) error {
		n, _, err := l.WriteMsgUnix(b, syscall.UnixRights(fds...), nil)
		if err == nil && n < len(b) {
			_, err = l.Write(b[n:])
		}
		return err
	})
}

// withFDs calls f with the descriptors of the files. File.Fd would make the open
// files blocking, which others use as well.
func withFDs(files []*os.File, fds []int, f func([]int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = withFDs(files[1:], append(fds, int(fd)), f) })
	return errors.Join(err, inner)
}

// Close implements Link.
func (l *socketLink) Close() error {
	err := l.UnixConn.Close()
	_ = l.server.Close()
	return err
}
