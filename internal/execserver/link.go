//go:build linux

package execserver

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// link is the connection to the proxy.
type link interface {
	io.ReadWriteCloser
	// files returns n descriptors that came along with what was read, in
	// order, or nil when there are not that many.
	files(n int) []int
}

// pipeLink is a link over a pair of pipes, on which no descriptors travel.
type pipeLink struct{ in, out *os.File }

func (l pipeLink) Read(p []byte) (int, error)  { return l.in.Read(p) }
func (l pipeLink) Write(p []byte) (int, error) { return l.out.Write(p) }
func (l pipeLink) Close() error                { return errors.Join(l.in.Close(), l.out.Close()) }
func (l pipeLink) files(int) []int             { return nil }

// socketLink is a link over a unix socket. The kernel ends a read behind the
// first byte range that had descriptors, so those of one message come with it or
// before it, and never with a later one.
type socketLink struct {
	*net.UnixConn
	oob []byte

	mu  sync.Mutex
	got []int
}

// maxFiles is more descriptors than one message has.
const maxFiles = 8

func newSocketLink(conn *net.UnixConn) *socketLink {
	return &socketLink{UnixConn: conn, oob: make([]byte, unix.CmsgSpace(4*maxFiles))}
}

func (l *socketLink) Read(p []byte) (int, error) {
	n, oobn, flags, _, err := l.ReadMsgUnix(p, l.oob)
	if err != nil {
		return max(n, 0), err
	}
	if err := l.take(l.oob[:oobn]); err != nil {
		return n, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return n, errors.New("too many descriptors in one message")
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// take queues the descriptors in a control message. Go has them closed on execve.
func (l *socketLink) take(oob []byte) error {
	if len(oob) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			l.got = append(l.got, fds...)
		}
	}
	return nil
}

func (l *socketLink) files(n int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.got) < n {
		return nil
	}
	fds := l.got[:n:n]
	l.got = l.got[n:]
	return fds
}

// Close closes the descriptors that nobody took as well.
func (l *socketLink) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	closeAll(l.got)
	l.got = nil
	return l.UnixConn.Close()
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
