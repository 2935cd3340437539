package resident

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/stdpipe"
)

const (
	// endLimit is how long a call that was ended may go on bringing output once
	// its tool has ended: the session may be waiting for it.
	endLimit = time.Second

	// A tool that fills its pipe gets a larger one, and its output is read in
	// larger pieces: fewer and longer copies make up most of the speed.
	pieceSize = execproto.MaxPayload
	largeSize = execproto.MaxOutput
	// maxLarge bounds the memory that clients hold who do not read.
	maxLarge = 16
)

// pipes are the streams of a tool on a link that takes files. They are pipes of
// this process, so that nothing of them goes through the link, whose other end
// would have to copy it once more.
type pipes struct {
	in      *os.File // the tool's input is written here; nil: it has none
	outs    []*pipeOutput
	exited  atomic.Bool // the tool is
	dropped atomic.Bool // nothing more shall be passed on
	drained chan struct{}
}

// openPipes makes the streams of a call that brings neither files nor a
// terminal. The tool's ends become the files of the call.
func (c *call) openPipes() (*pipes, error) {
	p := &pipes{drained: make(chan struct{})}
	err := c.openInput(p)
	for _, stream := range []execproto.MuxType{execproto.MuxStdout, execproto.MuxStderr} {
		if err != nil {
			break
		}
		err = c.openOutput(p, stream)
	}
	if err != nil {
		p.close()
		closeFiles(c.files)
		return nil, err
	}
	return p, nil
}

func (c *call) openInput(p *pipes) error {
	if c.stdin == nil {
		null, err := os.Open(os.DevNull)
		if err == nil {
			c.files = append(c.files, null)
		}
		return err
	}
	ours, tool, err := stdpipe.Input()
	if err == nil {
		p.in, c.files = ours, append(c.files, os.NewFile(uintptr(tool), "|"))
	}
	return err
}

func (c *call) openOutput(p *pipes, stream execproto.MuxType) error {
	ours, tool, err := stdpipe.Output()
	if err != nil {
		return err
	}
	p.outs = append(p.outs, &pipeOutput{call: c, pipes: p, f: ours, dst: c.stream[stream]})
	c.files = append(c.files, os.NewFile(uintptr(tool), "|"))
	return nil
}

func (p *pipes) close() {
	if p.in != nil {
		_ = p.in.Close()
	}
	for _, o := range p.outs {
		_ = o.f.Close()
	}
}

// begin begins to carry the streams.
func (p *pipes) begin(c *call) {
	if p.in != nil {
		go p.feed(c)
	}
	var wg sync.WaitGroup
	for _, o := range p.outs {
		wg.Add(1)
		go o.drain(wg.Done)
	}
	go func() {
		wg.Wait()
		close(p.drained)
	}()
}

// carry waits for the tool's end and then for that of its output. It reports
// whether some of it was lost, and returns when nothing is written any more.
func (p *pipes) carry(c *call, over <-chan struct{}) (end *outcome, lost bool) {
	end = c.awaitEnd()
	p.exited.Store(true)
	p.hurry(stdpipe.Quiet)
	if end.err == nil {
		select {
		case <-p.drained:
		case <-over:
		}
	}
	drop := time.AfterFunc(endLimit, p.drop)
	<-p.drained
	drop.Stop()
	if p.in != nil {
		_ = p.in.Close()
	}
	lost = p.dropped.Load()
	for _, o := range p.outs {
		lost = lost || o.lost
	}
	return end, lost
}

// hurry makes readers of the output look up after the given time.
func (p *pipes) hurry(after time.Duration) {
	for _, o := range p.outs {
		_ = o.f.SetReadDeadline(time.Now().Add(after))
	}
}

// drop passes nothing more on.
func (p *pipes) drop() {
	p.dropped.Store(true)
	p.hurry(0)
}

// feed gives the tool its input. A tool that takes no more leaves the rest to
// us: its client must still be able to send it. An input that broke off must not
// look like one that ended, so the pipe stays open until the call is over.
func (p *pipes) feed(c *call) {
	buf := make([]byte, firstRead)
	broken := false
	for {
		n, err := c.stdin.Read(buf)
		if n > 0 && !broken {
			_, werr := p.in.Write(buf[:n])
			broken = werr != nil
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = p.in.Close()
			return
		case err != nil && !c.over():
			c.fail(inputError(err))
			return
		case err != nil:
			return
		}
		buf = grown(buf, n)
	}
}

// pipeOutput is one of a tool's outputs.
type pipeOutput struct {
	call  *call
	pipes *pipes
	f     *os.File
	dst   io.Writer
	lost  bool // some could not be passed on; final when it is drained

	buf   *[]byte // what was read; nil: nothing
	n     int
	large bool // worth large pieces
	none  bool // the last look found nothing
}

// drain passes on the output until its end, or until it has been quiet for a
// while after the tool's end. Whoever still has it open then may go on writing,
// which is discarded: it would otherwise die of a SIGPIPE that it does not
// expect. One that is left of a call that did not end by itself may.
func (o *pipeOutput) drain(over func()) {
	defer func() { _ = o.f.Close() }()
	conn, err := o.f.SyscallConn()
	if err == nil {
		for o.step(conn) {
		}
	}
	over()
	if err == nil && o.none && !o.pipes.dropped.Load() {
		_ = o.f.SetReadDeadline(time.Time{})
		for o.read(conn) {
			o.release()
		}
	}
}

// step passes on one piece, and reports whether there may be more.
func (o *pipeOutput) step(conn syscall.RawConn) bool {
	if o.pipes.exited.Load() && !o.pipes.dropped.Load() {
		_ = o.f.SetReadDeadline(time.Now().Add(stdpipe.Quiet))
	}
	if !o.read(conn) {
		return false
	}
	if o.dst != nil && !o.lost && !o.pipes.dropped.Load() {
		if _, err := o.dst.Write((*o.buf)[:o.n]); err != nil {
			o.lost = true
			o.call.fail(outputError(err))
		}
	}
	o.release()
	return !o.pipes.dropped.Load()
}

// read waits for a piece, and reports whether there was one.
func (o *pipeOutput) read(conn syscall.RawConn) bool {
	o.none = true
	err := stdpipe.Await(conn, o.try)
	return err == nil && o.buf != nil
}

// try reads what is there. A call that has nothing to say holds no buffer. It
// reports whether there was something, or the end.
func (o *pipeOutput) try(fd int) bool {
	buf := o.buffer()
	n, err := stdpipe.Read(fd, *buf)
	o.none = errors.Is(err, unix.EAGAIN)
	if n <= 0 {
		putBuffer(buf)
		return !o.none
	}
	if n == pieceSize && !o.large {
		o.large = true
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, largeSize) // a matter of speed only
	}
	o.buf, o.n = buf, n
	return true
}

func (o *pipeOutput) release() {
	putBuffer(o.buf)
	o.buf = nil
}

var (
	pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}
	larges = sync.Pool{New: func() any { b := make([]byte, largeSize); return &b }}
	// largeInUse counts the large buffers that are out.
	largeInUse atomic.Int32
)

func (o *pipeOutput) buffer() *[]byte {
	if o.large && largeInUse.Add(1) <= maxLarge {
		return larges.Get().(*[]byte)
	}
	if o.large {
		largeInUse.Add(-1)
	}
	return pieces.Get().(*[]byte)
}

func putBuffer(b *[]byte) {
	if len(*b) == pieceSize {
		pieces.Put(b)
		return
	}
	largeInUse.Add(-1)
	larges.Put(b)
}
