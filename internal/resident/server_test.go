//go:build linux

package resident_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/resident"
)

// patience is for a busy machine; nothing waits that long unless a test fails.
const patience = 20 * time.Second

// server is an exec server whose calls are functions.
type server struct {
	t    *testing.T
	tool func(c *call)

	mu    sync.Mutex
	links []*serverLink
	alive error // what Alive says
	deaf  bool  // no hello
	files bool  // can go over the links
}

// serverLink is the server's end of one link.
type serverLink struct {
	*execproto.MuxWriter
	conn net.Conn
	fds  []int
	ran  map[uint32]int // how often a number was started

	mu    sync.Mutex
	calls map[uint32]*call
}

// call is a call as the server sees it.
type call struct {
	link  *serverLink
	n     uint32
	start execproto.Start
	raw   []byte
	files []*os.File
	in    chan execproto.MuxMessage // everything that comes for it
}

// newServer returns an executor whose links end at a server that runs tool.
func newServer(t *testing.T, tool func(c *call)) (*server, *resident.Executor) {
	t.Helper()
	s := &server{t: t, tool: tool}
	e := resident.New(resident.Config{
		Dial: s.dial, Grace: time.Millisecond,
		Alive: func(context.Context, string) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.alive
		},
	})
	t.Cleanup(e.Close)
	return s, e
}

func (s *server) dial(context.Context, string) (resident.Link, error) {
	ours, theirs := pair(s.t)
	l := &serverLink{MuxWriter: execproto.NewMuxWriter(theirs), conn: theirs, calls: map[uint32]*call{}, ran: map[uint32]int{}}
	s.mu.Lock()
	s.links = append(s.links, l)
	deaf := s.deaf
	if !s.files {
		ours = struct{ io.ReadWriteCloser }{ours}
	}
	s.mu.Unlock()
	if deaf {
		return ours, nil
	}
	go func() { _ = l.Write(execproto.MuxHello, 0, nil) }()
	go s.serve(l)
	return ours, nil
}

// pair returns two ends of a unix socket, the first as the executor's link.
func pair(t *testing.T) (resident.Link, net.Conn) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	require.NoError(t, err)
	defer l.Close()
	a, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	require.NoError(t, err)
	b, err := l.AcceptUnix()
	require.NoError(t, err)
	return resident.NewSocketLink(a), b
}

// latest returns the server's end of the link that was opened last.
func (s *server) latest() *serverLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[len(s.links)-1]
}

func (s *server) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}

func (s *server) serve(l *serverLink) {
	defer l.conn.Close()
	r := execproto.NewMuxReader(bufio.NewReader(fdReader{l}))
	for {
		m, err := r.Read()
		if err != nil {
			l.hangUp()
			return
		}
		m.Payload = append([]byte{}, m.Payload...)
		l.mu.Lock()
		c := l.calls[m.Call]
		if m.Type == execproto.MuxStart && c == nil {
			c = &call{link: l, n: m.Call, in: make(chan execproto.MuxMessage, 10000)}
			l.calls[m.Call] = c
		}
		l.mu.Unlock()
		if c != nil { // else it came too late
			s.take(c, m)
		}
	}
}

func (s *server) take(c *call, m execproto.MuxMessage) {
	switch m.Type {
	case execproto.MuxStart:
		c.raw = append(c.raw, m.Payload...)
	case execproto.MuxGo:
		var err error
		if c.start, err = execproto.DecodeStart(c.raw); err != nil {
			panic(err)
		}
		for range m.Payload[0] {
			c.files = append(c.files, os.NewFile(uintptr(c.link.fds[0]), "handed over"))
			c.link.fds = c.link.fds[1:]
		}
		go s.tool(c)
	default:
		c.in <- m
	}
}

// hangUp ends what the calls wait for.
func (l *serverLink) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		close(c.in)
	}
}

// exit is the end of a call; messages for it are dropped from now on.
func (c *call) exit(code int) {
	c.forget()
	_ = c.link.WriteUint32(execproto.MuxExit, c.n, uint32(int32(code)))
}

func (c *call) forget() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	delete(c.link.calls, c.n)
}

func (c *call) write(t execproto.MuxType, text string) { _ = c.link.Write(t, c.n, []byte(text)) }

// await returns the next message of one of the types, or an empty one at the
// link's end.
func (c *call) await(types string) execproto.MuxMessage {
	for m := range c.in {
		for _, t := range []byte(types) {
			if m.Type == execproto.MuxType(t) {
				return m
			}
		}
	}
	return execproto.MuxMessage{}
}

// fdReader reads a link with the descriptors that come along.
type fdReader struct{ l *serverLink }

func (r fdReader) Read(p []byte) (int, error) {
	oob := make([]byte, 64)
	n, oobn, _, _, err := r.l.conn.(*net.UnixConn).ReadMsgUnix(p, oob)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errors.New("closed")
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		fds, _ := syscall.ParseUnixRights(&m)
		r.l.fds = append(r.l.fds, fds...)
	}
	return n, err
}

// request is a call of tool.
func request(id string) execproxy.Call {
	return execproxy.Call{ID: id, Kind: "rust", Cwd: "/workspace", Argv: []string{"tool", "a b"}}
}

// result is what Run returned.
type result struct {
	code int
	err  error
}

// begin runs the call beside the test.
func begin(ctx context.Context, e *resident.Executor, c execproxy.Call) <-chan result {
	done := make(chan result, 1)
	go func() {
		code, err := e.Run(ctx, c)
		done <- result{code, err}
	}()
	return done
}

// receive returns what comes on ch.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
