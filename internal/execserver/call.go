//go:build linux

package execserver

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/stdpipe"
)

const (
	// endLimit is how long a call that was ended may go on bringing output, or
	// waiting for a client that does not take it, once its processes are gone.
	endLimit = time.Second
	// maxGrace keeps the end of a call bounded.
	maxGrace = time.Minute
	// stopDelay is how long a tool may prepare itself for being stopped.
	stopDelay = 50 * time.Millisecond
	// maxPending is how many signals may wait for the tool's start.
	maxPending = 16
	// tellLimit, in milliseconds, is how long a message waits for its reader.
	tellLimit = 1000
)

// call is one call, from its first MuxStart to its last message.
type call struct {
	s      *server
	id     uint32
	begun  bool // guarded by s.mu
	in     *input
	window *window

	// sending is held while the call writes to the link, so never by the
	// goroutine that reads it. over is set before the last message.
	sending sync.Mutex
	over    bool

	dropping atomic.Bool // output is discarded
	exited   atomic.Bool // the tool is
	done     chan struct{}
	enough   chan struct{} // closed when a call that was ended has had its time
	giveUp   sync.Once     // closes it

	mu      sync.Mutex
	start   []byte // encoded
	tooLong bool
	failure string           // why the call failed outside the tool
	tool    *tool            // nil before it is started and after it was reaped
	pending []syscall.Signal // for before
	size    *unix.Winsize    // likewise
	grace   time.Duration    // of the Start
	ending  bool             // the call shall end
	within  time.Duration    // with this grace; 0: that of the Start
	stop    *time.Timer      // the second half of a TSTP
	execID  string           // what the tool's processes are marked with
}

func newCall(s *server, id uint32) *call {
	return &call{
		s: s, id: id, in: newInput(), window: newWindow(execproto.MuxWindow),
		done: make(chan struct{}), enough: make(chan struct{}),
	}
}

// add appends a part of the call's Start.
func (c *call) add(part []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tooLong = c.tooLong || len(c.start)+len(part) > maxStart; c.tooLong {
		c.start = nil
		return
	}
	c.start = append(c.start, part...)
}

// input queues what is meant for the tool's standard input.
func (c *call) input(p []byte) {
	if !c.in.push(p) {
		c.fail("more input came than was granted")
	}
}

// fail ends a call that cannot go on, and makes MuxFailed its last message.
func (c *call) fail(message string) {
	c.mu.Lock()
	if c.failure == "" {
		c.failure = message
	}
	c.mu.Unlock()
	c.end()
}

// signal passes a signal on to the tool's process group.
func (c *call) signal(name string) {
	sig, known := execproto.ParseSignal(name)
	if !known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tool != nil {
		c.send(sig)
	} else if len(c.pending) < maxPending {
		c.pending = append(c.pending, sig)
	}
}

// send signals the group; c.mu is held and the tool not reaped, so the number
// is nobody else's. A group without a terminal that could continue it is not
// stopped by TSTP, but may have arranged something for it; the kernel would
// deliver a STOP sent along first.
func (c *call) send(sig syscall.Signal) {
	group := -c.tool.pid
	if sig == syscall.SIGCONT || sig == syscall.SIGTSTP {
		c.cancelStop()
	}
	_ = syscall.Kill(group, sig)
	if sig != syscall.SIGTSTP {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(stopDelay, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.tool != nil && c.stop == t {
			_ = syscall.Kill(group, syscall.SIGSTOP)
		}
	})
	c.stop = t
}

func (c *call) cancelStop() {
	if c.stop != nil {
		c.stop.Stop()
		c.stop = nil
	}
}

// resize sets the size of the call's own terminal; the kernel tells the tool.
func (c *call) resize(rows, cols uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size = &unix.Winsize{Row: rows, Col: cols}
	if c.tool != nil {
		setSize(c.tool.tty, c.size)
	}
}

// end ends the call, as if its client were gone.
func (c *call) end() { c.endWithin(0) }

// endWithin ends the call with the given grace period, 0 for the call's own. It
// does not wait. A second time is for when the first one's period is too long.
func (c *call) endWithin(grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending && grace == 0 {
		return
	}
	c.ending, c.within = true, grace
	if c.tool != nil {
		c.cancelStop()
		go c.kill(c.tool.pid, c.gracePeriod())
	}
}

// gracePeriod is the one to end the call with; c.mu is held.
func (c *call) gracePeriod() time.Duration {
	if c.within != 0 {
		return c.within
	}
	return c.grace
}

// kill ends the call's processes. Some may have a process group of their own,
// and one that also cleared its environment is out of reach, so the call is not
// kept open for its output for long.
func (c *call) kill(group int, grace time.Duration) {
	if err := c.s.table.End(c.execID, group, grace); err != nil {
		c.killGroup()
	}
	select {
	case <-c.done:
	case <-time.After(endLimit):
		c.giveUp.Do(func() { close(c.enough) })
		c.drop()
	}
}

func (c *call) killGroup() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tool != nil {
		_ = syscall.Kill(-c.tool.pid, syscall.SIGKILL)
	}
}

// drop discards output from now on, so that nobody waits for the client.
func (c *call) drop() {
	c.dropping.Store(true)
	c.window.open()
}

// write sends a message of the call, unless its last one was sent.
func (c *call) write(t execproto.MuxType, payload []byte) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if !c.over {
		_ = c.s.w.Write(t, c.id, payload)
	}
}

// writeInPlace is write for a buffer that begins with room for the header.
func (c *call) writeInPlace(t execproto.MuxType, buf []byte) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if !c.over {
		_ = c.s.w.WriteInPlace(t, c.id, buf)
	}
}

func (c *call) credit(n int) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if !c.over {
		_ = c.s.w.WriteUint32(execproto.MuxCredit, c.id, uint32(n)) //nolint:gosec // at most MuxWindow
	}
}

// last sends the call's last message and nothing after it.
func (c *call) last(code int) {
	c.mu.Lock()
	failure := c.failure
	c.mu.Unlock()
	c.sending.Lock()
	defer c.sending.Unlock()
	c.over = true
	c.s.forget(c)
	if failure != "" {
		_ = c.s.w.Write(execproto.MuxFailed, c.id, []byte(failure))
		return
	}
	_ = c.s.w.WriteUint32(execproto.MuxExit, c.id, uint32(code)) //nolint:gosec // an int32 on the wire
}

// run is the life of a call after its MuxGo.
func (c *call) run(files []int) {
	defer c.s.live.Done()
	code := c.execute(files)
	c.in.close()
	c.last(code)
	close(c.done)
}

// execute starts the tool and returns its exit code when it is over.
func (c *call) execute(files []int) int {
	st, err := c.decode()
	if err != nil {
		closeAll(files)
		c.fail(err.Error())
		return 0
	}
	streams, err := openStreams(st, files)
	if err != nil {
		c.fail("cannot start the tool: " + err.Error())
		return 0
	}
	c.mu.Lock()
	c.execID, c.grace = st.ID, min(time.Duration(st.GraceMS)*time.Millisecond, maxGrace)
	c.mu.Unlock()
	t, failure := launch(st, streams)
	if failure.Code != 0 {
		c.tell(st, streams, failure.Message)
		streams.closeAll()
		return failure.Code
	}
	closeAll(streams.tools())
	return c.attend(t)
}

// decode returns what the call is to be, unless it is not to be.
func (c *call) decode() (execproto.Start, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.start
	c.start = nil
	switch {
	case c.tooLong:
		return execproto.Start{}, fmt.Errorf("the call is longer than %d bytes", maxStart)
	case c.ending:
		return execproto.Start{}, errEnded
	}
	st, err := execproto.DecodeStart(b)
	if err == nil && !execproto.ValidExecID(st.ID) {
		err = fmt.Errorf("%q cannot name a call", st.ID)
	}
	return st, err
}

// errEnded is the failure of a call that was ended before it began.
var errEnded = errors.New("the call was ended before it began")

// withdrawn is the end of a call that never had its MuxGo.
func (c *call) withdrawn() {
	c.s.forget(c)
	go func() {
		c.fail(errEnded.Error())
		c.last(0)
	}()
}

// attend carries a running tool's input and output, waits for its end, and
// returns its exit code.
func (c *call) attend(t *tool) int {
	if t.in != nil {
		go c.feed(t)
	} else {
		c.in.close()
	}
	drained := c.drainAll(t)
	exited := make(chan struct{})
	go func() {
		t.wait()
		close(exited)
	}()
	c.started(t)
	code, ok := c.awaitEnd(t, exited, drained)
	if !ok {
		c.fail("the tool does not end when killed")
		go func() {
			<-exited
			t.reap()
		}()
	}
	t.closeInput()
	return code
}

// started makes up for what came while the tool was being started.
func (c *call) started(t *tool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tool = t
	if c.size != nil {
		setSize(t.tty, c.size)
	}
	for _, sig := range c.pending {
		c.send(sig)
	}
	if c.ending {
		c.cancelStop()
		go c.kill(t.pid, c.gracePeriod())
	}
}

// awaitEnd waits for the tool's end and then for that of its output. The tool is
// reaped last: as long as it is a zombie, its process group can be signalled
// without hitting somebody else's.
func (c *call) awaitEnd(t *tool, exited <-chan struct{}, drained <-chan struct{}) (int, bool) {
	select {
	case <-exited:
		c.exited.Store(true)
		t.hurry(stdpipe.Quiet)
		select {
		case <-drained:
		case <-c.enough:
		}
	case <-c.enough:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tool = nil
	c.cancelStop()
	select {
	case <-exited:
		return t.reap(), true
	default:
		return 0, false
	}
}

// tell says on the call's standard error why its tool was not started.
func (c *call) tell(st execproto.Start, s streams, message string) {
	message = "aifo-shim: " + message
	if !s.received {
		if st.TTY.Has(0) {
			message += "\r" // whoever shows it has a raw terminal
		}
		c.write(execproto.MuxStderr, []byte(message+"\n"))
		return
	}
	// Somebody else's pipe may be full, and a message is not worth waiting long.
	fds := []unix.PollFd{{Fd: int32(s.tool[2]), Events: unix.POLLOUT}} //nolint:gosec // a descriptor
	if n, err := unix.Poll(fds, tellLimit); n == 1 && err == nil {
		_, _ = unix.Write(s.tool[2], []byte(message+"\n"))
	}
}
