package execproxy

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// stdioNames are the names of the files that a client hands over, for messages.
var stdioNames = [...]string{"client's stdin", "client's stdout", "client's stderr"}

// canReceiveFiles reports whether files can come over the connection.
func canReceiveFiles(c net.Conn) bool { return unixConn(c) != nil }

// receiveFiles reads the FrameFiles of a client, together with its three files.
// It leaves none open when it fails. The files are not put into non-blocking
// mode: that is a property of the open file, which others use as well.
func receiveFiles(c net.Conn) ([]*os.File, error) {
	head, fds, err := receiveFDs(unixConn(c))
	if err == nil && string(head[:]) != string([]byte{byte(execproto.FrameFiles), 0, 0, 0, 0}) {
		err = fmt.Errorf("%w: %q where files were expected", execproto.ErrFrame, head[:])
	}
	if err == nil && len(fds) != len(stdioNames) {
		err = fmt.Errorf("%w: %d files where %d were expected", execproto.ErrFrame, len(fds), len(stdioNames))
	}
	if err != nil {
		closeFDs(fds)
		return nil, err
	}
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), stdioNames[i])
	}
	return files, nil
}

// receiveFDs reads one frame without payload and the descriptors with it, which
// are open even if it fails. Go asks the kernel to make them close-on-exec.
func receiveFDs(c *net.UnixConn) (head [5]byte, fds []int, err error) {
	oob := make([]byte, syscall.CmsgSpace(4*len(stdioNames)))
	for n := 0; n < len(head); {
		m, oobn, flags, _, err := c.ReadMsgUnix(head[n:], oob)
		got, oobErr := parseFDs(oob[:oobn])
		fds = append(fds, got...)
		switch {
		case err != nil:
			return head, fds, err
		case oobErr != nil || flags&syscall.MSG_CTRUNC != 0:
			return head, fds, fmt.Errorf("%w: files that cannot be received", execproto.ErrFrame)
		case m == 0:
			return head, fds, io.ErrUnexpectedEOF
		}
		n += m
	}
	return head, fds, nil
}

// parseFDs returns all descriptors in oob, which are open even if it fails.
func parseFDs(oob []byte) (fds []int, err error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	for _, m := range messages {
		got, bad := syscall.ParseUnixRights(&m)
		if bad != nil {
			err = bad
		}
		fds = append(fds, got...)
	}
	return fds, err
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
}
