package execproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const (
	// readyNotice is how long a client waits for its sidecar without a word.
	readyNotice = time.Second
	// lingerTime is how long the proxy waits, after the last frame, for the
	// client to close. Closing first, with input unread, would reset the
	// connection and could take the exit code with it.
	lingerTime = 5 * time.Second
	// maxSignals is how many signals may wait for delivery.
	maxSignals = 64
)

// serveFrames runs call in version 3: frames both ways on the upgraded
// connection (docs/protocol.md, "Version 3").
func (p *Proxy) serveFrames(ctx context.Context, w http.ResponseWriter, c *call, call Call, files bool) *refusal {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return refuseError(fmt.Errorf("upgrade the connection: %w", err))
	}
	defer conn.Close()
	files = files && canReceiveFiles(conn)
	if files {
		call.Terminal = nil
	}
	if err := switchProtocols(conn, c.id, files, call.Terminal != nil); err != nil {
		return nil // nobody to tell
	}
	defer context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Now().Add(drainTime)) })()
	s := newFrames(conn, c, func(name string) error { return p.deliver(ctx, c, name) })
	s.finish(s.serve(ctx, p, call, buf.Reader, files))
	p.calls.remove(c) // its id is free, and Shutdown need not wait for a client that lingers
	c.held.Free()
	s.linger(p.base)
	return nil
}

// serve takes what the client sends and runs the call.
func (s *frames) serve(ctx context.Context, p *Proxy, call Call, r *bufio.Reader, files bool) outcome {
	if files {
		var err error
		if call.Files, err = s.takeFiles(ctx, r); err != nil {
			s.call.cancel(err)
		}
	}
	s.files = files
	if t := call.Terminal; t != nil {
		s.keys = t.Streams.Has(0)
		s.resized = make(chan Size, 1)
		t.Resized = s.resized
	}
	go s.receive(r)
	go s.sendSignals(ctx, p)
	return s.run(ctx, p, call)
}

// takeFiles takes the client's files, which come before anything else.
func (s *frames) takeFiles(ctx context.Context, r *bufio.Reader) ([]*os.File, error) {
	if r.Buffered() > 0 {
		return nil, fmt.Errorf("%w: sent before the reply", execproto.ErrFrame)
	}
	s.conn.SetReadDeadline(time.Now().Add(headerTimeout))
	defer interruptRead(ctx, s.conn)()
	files, err := receiveFiles(s.conn)
	if err != nil && !errors.Is(err, execproto.ErrFrame) {
		err = errGone
	}
	return files, err
}

// interruptRead makes reads from conn fail when ctx ends. The function that it
// returns ends that, for reads that come later.
func interruptRead(ctx context.Context, conn net.Conn) (end func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		conn.SetReadDeadline(time.Now())
	})
	return func() {
		if !stop() {
			<-done
		}
		conn.SetReadDeadline(time.Time{})
	}
}

// switchProtocols sends the reply after which frames follow.
func switchProtocols(conn net.Conn, id string, files, terminal bool) error {
	conn.SetWriteDeadline(time.Now().Add(drainTime))
	defer conn.SetWriteDeadline(time.Time{})
	accepted := ""
	switch {
	case files:
		accepted = execproto.HeaderFiles + ": " + execproto.FilesStdio + "\r\n"
	case terminal:
		accepted = execproto.HeaderTerminal + ": " + execproto.TerminalGiven + "\r\n"
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n%s: %s\r\n%s\r\n",
		execproto.Upgrade, execproto.HeaderRespID, id, accepted)
	return err
}

// frames is the proxy's end of one version 3 connection.
type frames struct {
	conn    net.Conn
	out     *execproto.FrameWriter
	call    *call
	stdin   *inbox
	deliver func(signal string) error
	signals chan string
	winch   atomic.Bool   // signals holds a WINCH: a second one says nothing new
	files   bool          // the tool has the client's own files
	resized chan Size     // the latest size; nil when the tool has no terminal from us
	keys    bool          // its input is that terminal's, so the client's is raw
	closed  chan struct{} // closed when nothing more comes from the client
}

func newFrames(conn net.Conn, c *call, deliver func(string) error) *frames {
	s := &frames{
		conn: conn, out: execproto.NewFrameWriter(&stickyWriter{w: inner(conn), fail: c.cancel}), call: c, deliver: deliver,
		signals: make(chan string, maxSignals), closed: make(chan struct{}),
	}
	s.stdin = newInbox(func(n uint32) error { return s.out.WriteUint32(execproto.FrameCredit, n) })
	return s
}

// run runs the call, with the connection as its three streams unless it has the
// client's files.
func (s *frames) run(ctx context.Context, p *Proxy, call Call) outcome {
	if !s.files {
		call.Stdin = s.stdin
		call.Stdout = execproto.Stream{W: s.out, Type: execproto.FrameStdout}
		call.Stderr = execproto.Stream{W: s.out, Type: execproto.FrameStderr}
	}
	defer s.stdin.close(io.ErrClosedPipe)
	return p.run(ctx, s.call, call, s.noticeWait)
}

// noticeWait tells the client, once, if the wait for its sidecar takes long.
// The function that it returns ends the wait.
func (s *frames) noticeWait() (stop func()) {
	return afterWhile(func() {
		text := waitNotice(s.call.kind)
		if s.keys {
			text += "\r" // the client's terminal is in raw mode
		}
		_ = s.out.Write(execproto.FrameStderr, []byte(text+"\n"))
	})
}

func waitNotice(kind string) string {
	return fmt.Sprintf("aifo-shim: waiting for the %s sidecar to start", kind)
}

// afterWhile has tell called, once, if the wait takes long. The function that it
// returns ends the wait.
func afterWhile(tell func()) (stop func()) {
	told := make(chan struct{})
	t := time.AfterFunc(readyNotice, func() {
		defer close(told)
		tell()
	})
	return func() {
		if !t.Stop() {
			<-told
		}
	}
}

// finish sends what became of the call: the exit code, after a message when it
// is not the tool's own. A client that is gone cannot be told.
func (s *frames) finish(out outcome) {
	if out.err != nil {
		_ = s.out.Write(execproto.FrameError, []byte(out.err.Error()))
	}
	_ = s.out.WriteUint32(execproto.FrameExit, uint32(int32(out.code))) //nolint:gosec // an exit code fits
}

// linger waits for the client to close its end.
func (s *frames) linger(base context.Context) {
	defer context.AfterFunc(base, func() { s.conn.Close() })()
	s.conn.SetReadDeadline(time.Now().Add(lingerTime))
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	<-s.closed
}

// receive takes the client's frames until the connection ends. It never waits
// for the tool, so that signals and a client that vanishes are always seen.
func (s *frames) receive(r *bufio.Reader) {
	defer close(s.closed)
	defer close(s.signals)
	err := s.receiveAll(execproto.NewFrameReader(r))
	if !errors.Is(err, execproto.ErrFrame) {
		err = errGone
	}
	s.call.cancel(err)
	s.stdin.close(err)
	_, _ = io.Copy(io.Discard, r) // see lingerTime
}

func (s *frames) receiveAll(r *execproto.FrameReader) error {
	for {
		f, err := r.Read()
		if err != nil {
			return err
		}
		if err := s.take(f); err != nil {
			return err
		}
	}
}

func (s *frames) take(f execproto.Frame) error {
	switch f.Type {
	case execproto.FrameStdin:
		s.interrupt(f.Payload)
		return s.takeInput(f.Payload, s.stdin.receive)
	case execproto.FrameStdinEOF:
		return s.takeInput(f.Payload, s.stdin.receiveEOF)
	case execproto.FrameSignal:
		return s.queueSignal(string(f.Payload))
	case execproto.FrameResize:
		return s.resize(f.Payload)
	}
	return fmt.Errorf("%w: type %q from a client", execproto.ErrFrame, byte(f.Type))
}

func (s *frames) takeInput(payload []byte, take func([]byte) error) error {
	if s.files {
		return fmt.Errorf("%w: input beside files", execproto.ErrFrame)
	}
	return take(payload)
}

// interrupt ends the wait for the sidecar when Ctrl-C or Ctrl-\ is typed: the
// client's terminal is raw by then, and the one that would make a signal of the
// key does not exist yet.
func (s *frames) interrupt(input []byte) {
	if !s.keys {
		return
	}
	if i := bytes.IndexAny(input, "\x03\x1c"); i >= 0 {
		s.call.cancelWaiting(map[byte]string{0x03: "INT", 0x1c: "QUIT"}[input[i]])
	}
}

// resize passes on the size of the client's terminal. A tool that uses that
// terminal itself reads the size from it, but no kernel tells it of the change.
func (s *frames) resize(payload []byte) error {
	rows, cols, err := execproto.DecodeSize(payload)
	switch {
	case err != nil:
		return err
	case s.files:
		return s.queueSignal("WINCH")
	case s.resized == nil:
		return fmt.Errorf("%w: size of no terminal", execproto.ErrFrame)
	}
	select {
	case <-s.resized: // nobody has seen it, nobody will miss it
	default:
	}
	s.resized <- Size{Rows: rows, Cols: cols} // has room: nobody else sends
	return nil
}

func (s *frames) queueSignal(name string) error {
	if _, ok := execproto.ParseSignal(name); !ok {
		return fmt.Errorf("%w: signal %q", execproto.ErrFrame, name)
	}
	if name == "WINCH" && s.winch.Swap(true) {
		return nil
	}
	select {
	case s.signals <- name:
		return nil
	default:
		return fmt.Errorf("%w: more than %d signals not yet delivered", execproto.ErrFrame, maxSignals)
	}
}

// sendSignals delivers the signals in the order in which they came.
func (s *frames) sendSignals(ctx context.Context, p *Proxy) {
	for name := range s.signals {
		if name == "WINCH" {
			s.winch.Store(false)
		}
		if ctx.Err() != nil {
			continue
		}
		if err := s.deliver(name); err != nil && ctx.Err() == nil {
			p.log.Warn("signal not delivered", "exec_id", s.call.id, "signal", name, "err", err)
		}
	}
}

// stickyWriter writes nothing more after a Write failed: the rest of a stream
// of frames would be read as something else. It then ends the call.
type stickyWriter struct {
	w    io.Writer
	fail context.CancelCauseFunc

	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (s *stickyWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	var n int
	if n, s.err = s.w.Write(p); s.err != nil {
		s.fail(errGone)
	}
	return n, s.err
}

// WriteVector implements execproto.VectorWriter.
func (s *stickyWriter) WriteVector(b net.Buffers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if _, s.err = b.WriteTo(s.w); s.err != nil {
		s.fail(errGone)
	}
	return s.err
}
