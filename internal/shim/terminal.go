//go:build linux

package shim

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// streams is what there is to know about standard input, output and error.
type streams struct {
	tty        [3]bool
	background bool // standard input is a terminal that another job has now
}

func lookAtStreams() streams {
	var s streams
	for fd := range s.tty {
		_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		s.tty[fd] = err == nil
	}
	s.background = s.tty[0] && !foreground(0)
	return s
}

// foreground reports whether we may use the terminal. One that is not ours to
// control jobs with does not mind.
func foreground(fd int) bool {
	pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || pgrp == unix.Getpgrp()
}

// terminal returns the terminal for which the tool shall have one of its own, for
// those of its streams that are one here. Its keys are left alone when another job
// may want them: one in the foreground, or the pager to which the output goes.
func (s streams) terminal() *terminal {
	t := &terminal{}
	for fd, tty := range s.tty {
		if tty && (fd > 0 || s.tty[1] && !s.background) {
			t.streams |= 1 << fd
		}
	}
	for fd := range s.tty {
		if t.streams.Has(fd) {
			t.fd = fd
			return t
		}
	}
	return nil
}

// handOver sends our three streams along with the frame that says so, and
// closes those that we have no more use for: whoever is at their other end shall
// see the tool's end of them, not ours. From a terminal that another job has the
// tool could read that job's input, since no kernel knows that it is part of this.
func (s streams) handOver(conn net.Conn) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a unix socket")
	}
	in := os.Stdin
	if s.background {
		var err error
		if in, err = os.Open(os.DevNull); err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
	}
	rights := unix.UnixRights(int(in.Fd()), 1, 2)
	if _, _, err := c.WriteMsgUnix([]byte{byte(execproto.FrameFiles), 0, 0, 0, 0}, rights, nil); err != nil {
		return cause(err)
	}
	return errors.Join(os.Stdin.Close(), os.Stdout.Close())
}

// terminal is the caller's, which stands for one of the tool. Its methods do
// nothing when there is none.
type terminal struct {
	streams execproto.TTY // of the tool's that its own terminal shall be
	fd      int           // one of them

	mu    sync.Mutex
	raw   bool
	saved unix.Termios // the modes before raw
}

// keys reports whether the tool gets the keys, as they are typed.
func (t *terminal) keys() bool { return t != nil && t.streams.Has(0) }

// makeRaw makes the terminal pass on everything as it is, if it is ours now. A
// terminal that is raw already, because we were stopped in the middle, has no
// modes worth saving.
func (t *terminal) makeRaw() {
	if !t.keys() || !foreground(t.fd) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	modes, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		return
	}
	if !t.raw {
		t.saved = *modes
	}
	setRaw(modes)
	t.raw = unix.IoctlSetTermios(t.fd, unix.TCSETS, modes) == nil || t.raw
}

// setRaw is cfmakeraw(3).
func setRaw(m *unix.Termios) {
	m.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	m.Oflag &^= unix.OPOST
	m.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	m.Cflag = m.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	m.Cc[unix.VMIN], m.Cc[unix.VTIME] = 1, 0
}

// restore gives the terminal back as it was. When another job has it, a shell has
// seen to that. It does not wait for output, which a stopped terminal keeps back.
func (t *terminal) restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw && foreground(t.fd) {
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.saved)
	}
	t.raw = false
}

// guard runs f and gives the terminal back before a panic in it ends us.
func (t *terminal) guard(f func()) {
	defer func() {
		if e := recover(); e != nil {
			t.restore()
			panic(e)
		}
	}()
	f()
}

func (t *terminal) size() (rows, cols uint16) {
	if ws, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ); err == nil {
		return ws.Row, ws.Col
	}
	return 0, 0
}

// resized returns the frame that tells the size, if there is something to tell.
func (t *terminal) resized() (execproto.FrameType, []byte) {
	if t == nil {
		return 0, nil
	}
	return execproto.FrameResize, execproto.EncodeSize(t.size())
}

// appendTo appends what the tool's terminal shall be to the form of a request.
func (t *terminal) appendTo(form []byte) []byte {
	if t == nil {
		return form
	}
	rows, cols := t.size()
	form = appendPair(form, execproto.KeyTTY, t.streams.String())
	form = appendPair(form, execproto.KeyRows, strconv.Itoa(int(rows)))
	return appendPair(form, execproto.KeyCols, strconv.Itoa(int(cols)))
}

// stop stops this process as TSTP does by default, which the kernel leaves be
// where no shell could continue it. It returns when somebody has.
func stop() {
	var old sigaction
	setAction(syscall.SIGTSTP, &sigaction{}, &old)
	raise(syscall.SIGTSTP)
	setAction(syscall.SIGTSTP, &old, nil)
}
