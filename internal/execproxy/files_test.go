//go:build linux

package execproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// docs/protocol.md, "Files".

// fileExecutor takes files for the kind rust.
type fileExecutor struct{ *fakeExecutor }

func (fileExecutor) TakesFiles(kind string) bool { return kind == "rust" }

const offered = "X-Aifo-Files: 3"

// serveUnix runs a proxy on a unix socket and returns its path.
func serveUnix(t *testing.T, cfg Config) string {
	t.Helper()
	dir := privateDir(t)
	l, err := ListenUnix(dir)
	require.NoError(t, err)
	p := New(cfg)
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, p.Shutdown(context.Background()))
		assert.NoError(t, <-done)
	})
	return l.Addr().String()
}

// fileClient is a version 3 client on a unix socket.
type fileClient struct {
	*frameClient
	unix     *net.UnixConn
	accepted bool
}

func dialFiles(t *testing.T, path, body string, headers ...string) *fileClient {
	t.Helper()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, post("/exec", body, append(headers, upgrade...)...))
	require.NoError(t, err)
	b := bufio.NewReader(conn)
	resp, err := http.ReadResponse(b, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	fc := &frameClient{conn, "", execproto.NewFrameReader(b), execproto.NewFrameWriter(conn)}
	return &fileClient{fc, conn.(*net.UnixConn), resp.Header.Get(execproto.HeaderFiles) == "3"}
}

const filesFrame = "f\x00\x00\x00\x00"

func (c *fileClient) send(t *testing.T, data string, fds ...int) {
	t.Helper()
	var oob []byte
	if len(fds) > 0 {
		oob = syscall.UnixRights(fds...)
	}
	_, _, err := c.unix.WriteMsgUnix([]byte(data), oob, nil)
	require.NoError(t, err)
}

// openFDs are the descriptors of this process, which is client and proxy at once.
func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func TestFiles(t *testing.T) {
	e := fileExecutor{newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		defer closeFiles(c.Files)
		if c.Stdin != nil || c.Stdout != nil || c.Stderr != nil || c.Terminal != nil {
			return 99, nil
		}
		for i, f := range c.Files {
			fmt.Fprintf(f, "file %d", i)
		}
		return 7, nil
	})}
	cfg, w := testConfig(e), newWitness()
	cfg.Observe = w.observe
	path := serveUnix(t, cfg)
	c := dialFiles(t, path, form("cargo")+"&tty=1", offered)
	require.True(t, c.accepted)
	var ends [3]*os.File
	var fds []int
	for i := range ends {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		t.Cleanup(func() { r.Close(); w.Close() })
		ends[i], fds = r, append(fds, int(w.Fd()))
	}
	c.send(t, filesFrame, fds...)
	assert.Equal(t, result{code: 7}, c.rest())
	seen := waitFor(t, w.ended)
	assert.Equal(t, Ended{Code: 7, Streams: StreamsFiles, Duration: seen.Duration, Waited: seen.Waited}, seen, "nobody knows how much passed by")
	for i, r := range ends {
		b := make([]byte, 20)
		n, err := r.Read(b)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("file %d", i), string(b[:n]))
	}
}

// TestFilesFlags: the files close on exec, and whether they block is what it was.
func TestFilesFlags(t *testing.T) {
	type flags struct{ fd, blocking int }
	got := make(chan flags, 3)
	e := fileExecutor{newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		defer closeFiles(c.Files)
		for _, f := range c.Files {
			got <- flags{fcntl(f.Fd(), syscall.F_GETFD), fcntl(f.Fd(), syscall.F_GETFL) & syscall.O_NONBLOCK}
		}
		return 0, nil
	})}
	var p, nonblocking [2]int
	require.NoError(t, syscall.Pipe2(p[:], syscall.O_CLOEXEC))
	require.NoError(t, syscall.Pipe2(nonblocking[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	defer closeFDs(append(p[:], nonblocking[:]...))
	c := dialFiles(t, serveUnix(t, testConfig(e)), form("cargo"), offered)
	c.send(t, filesFrame, p[0], nonblocking[1], p[1])
	assert.Equal(t, result{}, c.rest())
	assert.Equal(t, flags{syscall.FD_CLOEXEC, 0}, waitFor(t, got))
	assert.Equal(t, flags{syscall.FD_CLOEXEC, syscall.O_NONBLOCK}, waitFor(t, got))
	assert.Equal(t, flags{syscall.FD_CLOEXEC, 0}, waitFor(t, got))
	for fd, want := range map[int]int{p[0]: 0, p[1]: 0, nonblocking[1]: syscall.O_NONBLOCK} {
		assert.Equal(t, want, fcntl(uintptr(fd), syscall.F_GETFL)&syscall.O_NONBLOCK, "the client's own")
	}
}

func fcntl(fd uintptr, cmd int) int {
	n, _, _ := syscall.Syscall(syscall.SYS_FCNTL, fd, uintptr(cmd), 0)
	return int(n)
}

// TestFilesNotTaken: without an offer, over TCP, for another kind or with another
// executor the call has streams.
func TestFilesNotTaken(t *testing.T) {
	plain := exit(3, "text")
	cfg := testConfig(fileExecutor{plain})
	cfg.Sidecars = &fakeSidecars{has: []string{"rust", "node"}}
	path := serveUnix(t, cfg)
	for _, c := range []*fileClient{
		dialFiles(t, path, form("cargo")),
		dialFiles(t, path, form("cargo"), "X-Aifo-Files: 2"),
		dialFiles(t, path, form("npm"), offered),
		dialFiles(t, serveUnix(t, testConfig(plain)), form("cargo"), offered),
	} {
		assert.False(t, c.accepted)
		assert.Equal(t, result{stdout: "text", code: 3}, c.rest())
	}
	tcp := upgradeOn(t, serve(t, cfg).dial(t), form("cargo"), offered)
	assert.Equal(t, result{stdout: "text", code: 3}, tcp.rest())
}

// TestFilesSignals: signals go on, a new size is a signal, input is an error.
func TestFilesSignals(t *testing.T) {
	fake, running, ended := untilCancelled()
	path := serveUnix(t, testConfig(fileExecutor{fake}))
	c := dialFiles(t, path, form("cargo"), offered, "X-Aifo-Exec-Id: abc")
	c.send(t, filesFrame, 0, 1, 2)
	defer closeFiles(waitFor(t, running).Files)
	require.NoError(t, c.w.Write(execproto.FrameSignal, []byte("TSTP")))
	require.NoError(t, c.w.Write(execproto.FrameResize, execproto.EncodeSize(1, 2)))
	assert.Equal(t, "rust/abc/TSTP", waitFor(t, fake.signals))
	assert.Equal(t, "rust/abc/WINCH", waitFor(t, fake.signals))
	require.NoError(t, c.w.Write(execproto.FrameStdin, []byte("x")))
	assert.Equal(t, result{fault: "malformed frame: input beside files", code: 86}, c.rest())
	assert.ErrorIs(t, waitFor(t, ended), execproto.ErrFrame)
}

// TestFilesNeverLeak: whatever a client sends, no descriptor stays, and the
// executor is only called with three.
func TestFilesNeverLeak(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would close what is forgotten
	fake := newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
		defer closeFiles(c.Files)
		if c.Files == nil {
			<-ctx.Done()
		}
		return len(c.Files), context.Cause(ctx)
	})
	cfg := testConfig(fileExecutor{fake})
	cfg.Sidecars = &fakeSidecars{has: []string{"rust", "node"}, ready: func(context.Context, string) error { return nil }}
	path := serveUnix(t, cfg)
	failing := cfg
	failing.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(context.Context, string) error { return errTest }}
	failingPath := serveUnix(t, failing)

	notWanted := result{fault: "malformed frame: type 'f' from a client", code: 86}
	wrongNumber := func(n int) result {
		return result{fault: fmt.Sprintf("malformed frame: %d files where 3 were expected", n), code: 86}
	}
	tests := []struct {
		name string
		path string
		tool string
		send func(t *testing.T, c *fileClient)
		want result
	}{
		{"three", path, "cargo", func(t *testing.T, c *fileClient) { c.send(t, filesFrame, 0, 1, 2) }, result{code: 3}},
		{"in pieces", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, filesFrame[:1], 0)
			c.send(t, filesFrame[1:3], 1)
			c.send(t, filesFrame[3:], 2)
		}, result{code: 3}},
		{"late", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, filesFrame[:2])
			c.send(t, filesFrame[2:], 0, 1, 2)
		}, result{code: 3}},
		{"more afterwards", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, filesFrame, 0, 1, 2)
			c.send(t, "s\x00\x00\x00\x05WINCH", 0, 1, 2)
		}, result{code: 3}},
		{"none", path, "cargo", func(t *testing.T, c *fileClient) { c.send(t, filesFrame) }, wrongNumber(0)},
		{"two", path, "cargo", func(t *testing.T, c *fileClient) { c.send(t, filesFrame, 0, 1) }, wrongNumber(2)},
		{"four", path, "cargo", func(t *testing.T, c *fileClient) { c.send(t, filesFrame, 0, 1, 2, 2) }, wrongNumber(4)},
		{"two and two", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, filesFrame[:1], 0, 1)
			c.send(t, filesFrame[1:], 0, 1)
		}, wrongNumber(4)},
		{"many", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, filesFrame, make([]int, 200)...)
		}, result{fault: "malformed frame: files that cannot be received", code: 86}},
		{"with another frame", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, "z\x00\x00\x00\x00", 0, 1, 2)
		}, result{fault: `malformed frame: "z\x00\x00\x00\x00" where files were expected`, code: 86}},
		{"with a payload", path, "cargo", func(t *testing.T, c *fileClient) {
			c.send(t, "f\x00\x00\x00\x01x", 0, 1, 2)
		}, result{fault: `malformed frame: "f\x00\x00\x00\x01" where files were expected`, code: 86}},
		{"not asked for", path, "npm", func(t *testing.T, c *fileClient) { c.send(t, filesFrame, 0, 1, 2) }, notWanted},
		{"no sidecar", failingPath, "cargo", func(t *testing.T, c *fileClient) { c.send(t, filesFrame, 0, 1, 2) },
			result{fault: "wait for the rust sidecar: no such sidecar", code: 86}},
	}
	before := 0
	for round := range 16 {
		for _, tt := range tests {
			c := dialFiles(t, tt.path, form(tt.tool), offered)
			tt.send(t, c)
			assert.Equal(t, tt.want, c.rest(), tt.name)
			c.closeAndWait(t)
		}
		vanish(t, path)
		if round == 0 {
			before = openFDs(t) // everything that is opened once is open
		}
	}
	// The proxy closes a connection a moment after it ended the reply.
	assert.Eventually(t, func() bool { return openFDs(t) <= before }, 10*time.Second, time.Millisecond)
}

// closeAndWait returns when the proxy has closed its end as well.
func (c *fileClient) closeAndWait(t *testing.T) {
	t.Helper()
	require.NoError(t, c.unix.CloseWrite())
	_, err := io.Copy(io.Discard, c.unix)
	require.NoError(t, err)
	c.Close()
}

// vanish is a client that goes before and while it sends files.
func vanish(t *testing.T, path string) {
	t.Helper()
	for _, part := range []string{"", filesFrame[:2]} {
		c := dialFiles(t, path, form("cargo"), offered)
		if part != "" {
			c.send(t, part, 0, 1, 2)
		}
		c.closeAndWait(t)
	}
}

// TestFilesNotSent: a client that does not send what it offered is given up, and
// does not keep a session from ending.
func TestFilesNotSent(t *testing.T) {
	l, err := ListenUnix(privateDir(t))
	require.NoError(t, err)
	p := New(testConfig(fileExecutor{newFakeExecutor(nil)}))
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	c := dialFiles(t, l.Addr().String(), form("cargo"), offered)
	go func() {
		assert.NoError(t, p.Shutdown(context.Background()))
	}()
	res := c.rest()
	assert.Equal(t, result{fault: "the session is ending", code: 86}, res)
	c.Close()
	require.NoError(t, <-done)
}

// lateExecutor takes files once the sidecar is ready.
type lateExecutor struct {
	fileExecutor
	ready *atomic.Bool
}

func (e lateExecutor) TakesFiles(string) bool { return e.ready.Load() }

// waiting is a proxy whose sidecar is ready, or fails, when the test says so.
type waiting struct {
	t     *testing.T
	path  string
	begun chan context.Context // of each wait
	end   chan error
}

func newWaiting(t *testing.T) *waiting {
	t.Helper()
	s := &waiting{t: t, begun: make(chan context.Context, 1), end: make(chan error, 1)}
	e := lateExecutor{fileExecutor{newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		closeFiles(c.Files)
		return 7, nil
	})}, &atomic.Bool{}}
	cfg := testConfig(e)
	cfg.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(ctx context.Context, _ string) error {
		if e.ready.Load() {
			return nil
		}
		s.begun <- ctx
		select {
		case err := <-s.end:
			e.ready.Store(err == nil)
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
	s.path = serveUnix(t, cfg)
	return s
}

// call sends a request and returns its connection.
func (s *waiting) call(request string) (*net.UnixConn, *bufio.Reader) {
	s.t.Helper()
	conn, err := net.Dial("unix", s.path)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, request)
	require.NoError(s.t, err)
	return conn.(*net.UnixConn), bufio.NewReader(conn)
}

// early makes a call that offers files before the sidecar is ready.
func (s *waiting) early(headers ...string) (*net.UnixConn, *bufio.Reader, context.Context) {
	s.t.Helper()
	conn, r := s.call(post("/exec", form("cargo"), append(append(headers, offered), upgrade...)...))
	return conn, r, waitFor(s.t, s.begun)
}

// TestFilesWaitForTheSidecar: whether a tool can have the files is not said before
// it is known, and a client that waits for long is told why.
func TestFilesWaitForTheSidecar(t *testing.T) {
	s := newWaiting(t)
	conn, r, _ := s.early()
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusProcessing, resp.StatusCode)
	require.Equal(t, "aifo-shim: waiting for the rust sidecar to start", resp.Header.Get(execproto.HeaderNotice))
	s.end <- nil
	resp, err = http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, "3", resp.Header.Get(execproto.HeaderFiles))
	require.Empty(t, resp.Header.Get(execproto.HeaderNotice))
	c := &fileClient{&frameClient{conn, "", execproto.NewFrameReader(r), execproto.NewFrameWriter(conn)}, conn, true}
	c.send(t, filesFrame, 0, 1, 2)
	require.Equal(t, result{code: 7}, c.rest())
}

// TestFilesWaitEnds: by a sidecar that fails, a signal, and a client that goes.
func TestFilesWaitEnds(t *testing.T) {
	t.Run("sidecar fails", func(t *testing.T) {
		s := newWaiting(t)
		_, r, _ := s.early()
		s.end <- errTest
		got, err := readReply(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusInternalServerError, got.status)
		require.Equal(t, "86", got.exit)
		require.Equal(t, "aifo-coder proxy error: wait for the rust sidecar: no such sidecar\n", got.body)
	})
	t.Run("signal", func(t *testing.T) {
		s := newWaiting(t)
		_, r, _ := s.early("X-Aifo-Exec-Id: one")
		_, ack := s.call(post("/signal", "exec_id=one&signal=INT", auth, proto2))
		got, err := readReply(ack)
		require.NoError(t, err)
		require.Equal(t, http.StatusNoContent, got.status)
		got, err = readReply(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, "130", got.exit)
		require.Empty(t, got.body)
	})
	t.Run("client goes", func(t *testing.T) {
		s := newWaiting(t)
		conn, _, ctx := s.early()
		require.NoError(t, conn.Close())
		waitFor(t, ctx.Done())
		require.ErrorIs(t, context.Cause(ctx), errGone)
	})
}
