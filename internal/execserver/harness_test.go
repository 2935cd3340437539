//go:build linux

package execserver

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// TestMain lets the test program be a server and the tools that need more than a
// shell.
func TestMain(m *testing.M) {
	switch os.Getenv("AIFO_TEST_AS") {
	case "serve":
		_ = os.Unsetenv("AIFO_TEST_AS")
		path := ""
		if len(os.Args) > 1 {
			path = os.Args[1]
		}
		// The program starts again when it limits root.
		if os.Geteuid() == 0 && !toolrun.Limited() {
			_ = os.Setenv("AIFO_TEST_AS", "serve")
		}
		if err := run(path, func() bool { return true }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "stubborn":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		fmt.Println("stubborn", os.Getpid())
		select {}
	case "argv":
		fmt.Print(strings.Join(os.Args[1:], "\x00"))
		os.Exit(0)
	case "flood":
		p := make([]byte, 1<<20)
		for {
			if _, err := os.Stdout.Write(p); err != nil {
				os.Exit(1)
			}
		}
	}
	// Tools shall not be started with signals ignored, as nohup has it; run does
	// the same.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT)
	go func() {
		<-interrupted
		os.Exit(130)
	}()
	os.Exit(m.Run())
}

func as(role string) []string { return []string{"AIFO_TEST_AS=" + role} }

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// peer is the proxy's side of a link.
type peer struct {
	t    testing.TB
	w    *execproto.MuxWriter
	conn *net.UnixConn // nil for a link over pipes

	mu    sync.Mutex
	calls map[uint32]*client
	last  uint32
	ended chan struct{} // the link has
}

// client is one call.
type client struct {
	p  *peer
	id uint32

	mu       sync.Mutex
	changed  sync.Cond
	out, err bytes.Buffer
	sink     func(execproto.MuxType, []byte) // instead of the buffers
	hold     bool                            // grant nothing
	held     int                             // bytes that came and were not granted
	credit   int
	exit     *int
	failure  string
}

func socketPair(t testing.TB) (ours, theirs *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// connected returns the peer of a server in this process.
func connected(t testing.TB) *peer {
	t.Helper()
	ours, theirs := socketPair(t)
	over := make(chan struct{})
	go func() {
		_ = serve(newSocketLink(theirs), nil)
		close(over)
	}()
	t.Cleanup(func() {
		ours.Close()
		await(t, over, "the end of the server")
	})
	return newPeer(t, ours)
}

func newPeer(t testing.TB, conn *net.UnixConn) *peer {
	t.Helper()
	p := &peer{t: t, w: execproto.NewMuxWriter(conn), conn: conn, calls: map[uint32]*client{}, ended: make(chan struct{})}
	p.listen(execproto.NewMuxReader(bufio.NewReaderSize(conn, execproto.MaxPayload)))
	return p
}

func (p *peer) listen(r *execproto.MuxReader) {
	p.t.Helper()
	if m, err := r.Read(); err != nil || m.Type != execproto.MuxHello {
		p.t.Fatalf("%q instead of hello: %v", m.Type, err)
	}
	go func() {
		defer close(p.ended)
		for {
			m, err := r.Read()
			if err != nil {
				return
			}
			p.mu.Lock()
			c := p.calls[m.Call]
			if m.Type == execproto.MuxExit || m.Type == execproto.MuxFailed {
				delete(p.calls, m.Call)
			}
			p.mu.Unlock()
			if c == nil {
				p.t.Errorf("message %q for call %d, which is over", m.Type, m.Call)
				continue
			}
			c.take(m)
		}
	}()
}

func (c *client) take(m execproto.MuxMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	switch m.Type {
	case execproto.MuxStdout, execproto.MuxStderr:
		c.output(m)
	case execproto.MuxCredit:
		n, _ := m.Uint32()
		c.credit += int(n)
	case execproto.MuxExit:
		n, _ := m.Uint32()
		code := int(int32(n))
		c.exit = &code
	case execproto.MuxFailed:
		c.failure = string(m.Payload)
		c.exit = new(int)
	}
}

func (c *client) output(m execproto.MuxMessage) {
	switch {
	case c.sink != nil:
		c.sink(m.Type, m.Payload)
	case m.Type == execproto.MuxStdout:
		c.out.Write(m.Payload)
	default:
		c.err.Write(m.Payload)
	}
	c.held += len(m.Payload)
	if c.held > execproto.MuxWindow {
		c.p.t.Errorf("%d bytes came without a grant", c.held)
	}
	if !c.hold && c.held >= execproto.MuxWindow/4 {
		c.grant(c.held)
	}
}

// grant lets n more bytes come; c.mu is held.
func (c *client) grant(n int) {
	c.held -= n
	_ = c.p.w.WriteUint32(execproto.MuxCredit, c.id, uint32(n))
}

// call begins a call with defaults for what a test does not mind.
func (p *peer) call(st execproto.Start, set ...func(*client)) *client {
	p.t.Helper()
	return p.callWith(st, nil, set...)
}

func (p *peer) callWith(st execproto.Start, files []int, set ...func(*client)) *client {
	p.t.Helper()
	p.mu.Lock()
	p.last++
	c := &client{p: p, id: p.last, credit: execproto.MuxWindow}
	c.changed.L = &c.mu
	p.calls[c.id] = c
	p.mu.Unlock()
	for _, f := range set {
		f(c)
	}
	if st.ID == "" {
		st.ID = fmt.Sprintf("t%d-%p", c.id, p)
	}
	_ = p.w.Write(execproto.MuxStart, c.id, st.Encode())
	if files == nil {
		_ = p.w.Write(execproto.MuxGo, c.id, []byte{0})
		return c
	}
	err := p.w.WriteWith(execproto.MuxGo, c.id, []byte{byte(len(files))}, func(b []byte) error {
		_, _, err := p.conn.WriteMsgUnix(b, unix.UnixRights(files...), nil)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func sh(script string, args ...string) execproto.Start {
	return execproto.Start{Kind: "test", Argv: append([]string{"sh", "-c", script, "sh"}, args...), GraceMS: 100}
}

func withInput(st execproto.Start) execproto.Start {
	st.Stdin = true
	return st
}

func withEnv(st execproto.Start, env ...string) execproto.Start {
	st.Env = env
	return st
}

func onTerminal(st execproto.Start) execproto.Start {
	st.TTY, st.Stdin, st.Rows, st.Cols = execproto.TTYAll, true, 33, 111
	return st
}

// until waits for a condition of the call.
func (c *client) until(what string, f func() bool) {
	c.p.t.Helper()
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.exit == nil {
			c.exit, c.failure = new(int), "test: too long"
		}
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !f() {
		if c.exit != nil && c.failure == "test: too long" || c.exit != nil && what != "exit" {
			c.p.t.Fatalf("waiting for %s: exit %d, %q, stdout %q, stderr %q", what, *c.exit, c.failure, tail(&c.out), tail(&c.err))
		}
		c.changed.Wait()
	}
}

func tail(b *bytes.Buffer) []byte { return b.Bytes()[max(0, b.Len()-500):] }

func (c *client) wait() int {
	c.p.t.Helper()
	c.until("exit", func() bool { return c.exit != nil })
	if c.failure != "" {
		c.p.t.Fatalf("failed: %s", c.failure)
	}
	return *c.exit
}

func (c *client) expect(text string) {
	c.p.t.Helper()
	c.until(fmt.Sprintf("%q", text), func() bool { return strings.Contains(c.out.String(), text) })
}

func (c *client) send(p []byte) {
	for len(p) > 0 {
		c.until("credit", func() bool { return c.credit > 0 })
		c.mu.Lock()
		n := min(c.credit, len(p), execproto.MaxPayload)
		c.credit -= n
		c.mu.Unlock()
		_ = c.p.w.Write(execproto.MuxStdin, c.id, p[:n])
		p = p[n:]
	}
}

func (c *client) write(t execproto.MuxType, payload string) {
	_ = c.p.w.Write(t, c.id, []byte(payload))
}

// must waits for the call's end and compares.
func (c *client) must(code int, stdout, stderr string) {
	c.p.t.Helper()
	if got := c.wait(); got != code || c.out.String() != stdout || c.err.String() != stderr {
		c.p.t.Errorf("exit %d, stdout %q, stderr %q; want %d, %q, %q", got, c.out.String(), c.err.String(), code, stdout, stderr)
	}
}

func await(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
}

// gone waits until a process has ended.
func gone(t testing.TB, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond)); n != 1 {
		t.Errorf("process %d is alive", pid)
	}
}
