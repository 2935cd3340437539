package execproxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Version 1 and version 2, and what all versions share.

func TestBuffered(t *testing.T) {
	s := serve(t, testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		io.WriteString(c.Stderr, "first\n")
		io.WriteString(c.Stdout, "second\n")
		io.WriteString(c.Stderr, "third\n")
		return 7, nil
	})))
	raw := s.send(t, post("/exec", form("cargo"), auth, proto1))
	assert.Equal(t, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"X-Exit-Code: 7\r\nConnection: close\r\n\r\nsecond\nfirst\nthird\n", raw)
}

// TestBufferedOutputIsBounded: docs/protocol.md, "Version 1".
func TestBufferedOutputIsBounded(t *testing.T) {
	ended := make(chan error, 1)
	s := serve(t, testConfig(newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
		chunk := make([]byte, 1<<20)
		for {
			if _, err := c.Stdout.Write(chunk); err != nil {
				<-ctx.Done() // the tool is ended, too
				ended <- err
				return 0, nil // even if the executor took that for a normal end
			}
		}
	})))
	got := parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto1)))
	assert.Equal(t, 500, got.status)
	assert.Equal(t, "86", got.exit)
	assert.Equal(t, "aifo-coder proxy error: more than 64 MiB of output for protocol 1; use protocol 2\n", got.body)
	waitFor(t, ended)
	assert.Zero(t, s.buffers.used.Load())
}

func TestBudgetIsShared(t *testing.T) {
	shared := &budget{max: 10}
	var causes []error
	fail := func(err error) { causes = append(causes, err) }
	a, b := &buffer{budget: shared, fail: fail}, &buffer{budget: shared, fail: fail}
	_, err := a.Write(make([]byte, 6))
	require.NoError(t, err)
	_, err = b.Write(make([]byte, 6))
	require.Error(t, err)
	a.free()
	assert.Len(t, causes, 1)
	_, err = b.Write(nil)
	assert.Error(t, err, "output was lost, so the stream stays failed")
}

func TestStreamedWire(t *testing.T) {
	s := serve(t, testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		io.WriteString(c.Stdout, "out\n")
		io.WriteString(c.Stderr, "error\n")
		return 42, nil
	})))
	raw := s.send(t, post("/exec", form("cargo"), auth, proto2, "X-Aifo-Exec-Id: abc", "TE: trailers"))
	assert.Equal(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTrailer: X-Exit-Code\r\n"+
		"X-Exec-Id: abc\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nout\n\r\n6\r\nerror\n\r\n0\r\nX-Exit-Code: 42\r\n\r\n", raw)
}

func TestStreamedWithoutOutput(t *testing.T) {
	s := serve(t, testConfig(exit(5, "")))
	got := parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto2)))
	assert.Equal(t, 200, got.status)
	assert.Equal(t, "5", got.trailer)
	assert.Empty(t, got.body)
}

// TestStreamedWithNetHTTP reads the trailer as a Go client does.
func TestStreamedWithNetHTTP(t *testing.T) {
	srv := httptest.NewServer(New(testConfig(exit(9, "hello\n"))))
	defer srv.Close()
	req, err := http.NewRequest("POST", srv.URL+"/exec", strings.NewReader(form("cargo")))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("X-Aifo-Proto", "2")
	resp, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello\n", string(b))
	assert.Equal(t, "9", resp.Trailer.Get("X-Exit-Code"))
}

// TestStreamedHeadIsDeferred: nothing is sent before the first output, and the
// first output is sent at once.
func TestStreamedHeadIsDeferred(t *testing.T) {
	var write, end chan bool
	change := func(cfg *Config) {
		write, end = make(chan bool), make(chan bool)
		cfg.Executor = newFakeExecutor(func(_ context.Context, c Call) (int, error) {
			<-write
			io.WriteString(c.Stdout, "x")
			<-end
			return 0, nil
		})
	}
	inBubble(t, change, func(t bubble) {
		c := t.dial()
		_, err := io.WriteString(c, post("/exec", form("cargo"), auth, proto2))
		require.NoError(t, err)
		var got bytes.Buffer
		closed := make(chan bool)
		go func() {
			io.Copy(&got, c)
			close(closed)
		}()
		synctest.Wait()
		assert.Empty(t, got.String(), "a head before any output")
		close(write)
		synctest.Wait()
		assert.True(t, strings.HasSuffix(got.String(), "\r\n\r\n1\r\nx\r\n"), "output was held back: %q", got.String())
		close(end)
		<-closed
	})
}

// TestFailure: a call that cannot be run is a plain 500, and in version 2 one
// that fails after its first output has no trailer (docs/protocol.md, "Ends and
// time limits").
func TestFailure(t *testing.T) {
	const text = "aifo-coder proxy error: no such sidecar\n"
	fails := func(output string) *fakeExecutor {
		return newFakeExecutor(func(_ context.Context, c Call) (int, error) {
			io.WriteString(c.Stdout, output)
			return 0, errTest
		})
	}
	for _, proto := range []string{proto1, proto2} {
		got := parseReply(t, serve(t, testConfig(fails(""))).send(t, post("/exec", form("cargo"), auth, proto)))
		assert.Equal(t, reply{status: 500, exit: "86", body: text, header: got.header}, got)
	}
	got := parseReply(t, serve(t, testConfig(fails("lost"))).send(t, post("/exec", form("cargo"), auth, proto1)))
	assert.Equal(t, 500, got.status)

	raw := serve(t, testConfig(fails("half"))).send(t, post("/exec", form("cargo"), auth, proto2))
	got, err := readReply(bufio.NewReader(strings.NewReader(raw)))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "half", got.body)
	assert.Empty(t, got.trailer)
}

func TestSidecarNotReady(t *testing.T) {
	cfg := testConfig(exit(0, ""))
	cfg.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(context.Context, string) error { return errTest }}
	s := serve(t, cfg)
	for _, proto := range []string{proto1, proto2} {
		got := parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto)))
		assert.Equal(t, 500, got.status)
		assert.Equal(t, "aifo-coder proxy error: wait for the rust sidecar: no such sidecar\n", got.body)
	}
}

// TestTimeLimit: docs/protocol.md, "Ends and time limits".
func TestTimeLimit(t *testing.T) {
	e := newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
		if len(c.Argv) > 1 {
			io.WriteString(c.Stdout, c.Argv[1])
		}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	tests := []struct {
		proto, arg string
		want       reply
	}{
		{proto1, "lost", reply{status: 504, exit: "124", body: "timeout\n"}},
		{proto2, "", reply{status: 200, trailer: "124", body: "aifo-coder proxy timeout\n"}},
		{proto2, "kept\n", reply{status: 200, trailer: "124", body: "kept\naifo-coder proxy timeout\n"}},
	}
	for _, tt := range tests {
		inBubble(t, func(cfg *Config) { cfg.Executor = e; cfg.MaxRuntime = time.Hour }, func(t bubble) {
			start := time.Now()
			c := t.dial()
			_, err := io.WriteString(c, post("/exec", form("cargo", tt.arg), auth, tt.proto))
			require.NoError(t, err)
			got, err := readReply(bufio.NewReader(c))
			require.NoError(t, err)
			got.header = nil
			assert.Equal(t, tt.want, got)
			assert.Equal(t, time.Hour, time.Since(start))
		})
	}
}

// TestOwnCodeBeatsTimeLimit: a tool that ended well is not said to have timed out.
func TestOwnCodeBeatsTimeLimit(t *testing.T) {
	cfg := testConfig(newFakeExecutor(func(ctx context.Context, _ Call) (int, error) {
		<-ctx.Done()
		return 3, nil
	}))
	cfg.MaxRuntime = time.Millisecond
	got := parseReply(t, serve(t, cfg).send(t, post("/exec", form("cargo"), auth, proto1)))
	assert.Equal(t, "3", got.exit)
}

// bubble is a test with its own time and a proxy to dial.
type bubble struct {
	*testing.T
	dial func() net.Conn
}

// inBubble serves a proxy over pipes in a synctest bubble.
func inBubble(t *testing.T, change func(*Config), f func(t bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(nil)
		change(&cfg)
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		p := New(cfg)
		served := make(chan error, 1)
		go func() { served <- p.Serve(l) }()
		f(bubble{t, func() net.Conn {
			client, srv := net.Pipe()
			t.Cleanup(func() { client.Close() })
			l.conns <- srv
			return client
		}})
		assert.NoError(t, p.Shutdown(t.Context()))
		assert.NoError(t, <-served)
	})
}

type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// TestVanishedClient: a silent tool is ended when its client goes, in every
// version (docs/protocol.md, "Ends and time limits").
func TestVanishedClient(t *testing.T) {
	for name, headers := range map[string][]string{"1": {auth, proto1}, "2": {auth, proto2}, "3": upgrade} {
		t.Run(name, func(t *testing.T) {
			e, running, ended := untilCancelled()
			s := serve(t, testConfig(e))
			c := s.dial(t)
			_, err := io.WriteString(c, post("/exec", form("cargo"), headers...))
			require.NoError(t, err)
			waitFor(t, running)
			require.NoError(t, c.Close())
			assert.ErrorIs(t, waitFor(t, ended), errGone)
		})
	}
}

// TestTalkativeClientVanishes: bytes after the request must not hide that the
// client is gone.
func TestTalkativeClientVanishes(t *testing.T) {
	e, running, ended := untilCancelled()
	c := serve(t, testConfig(e)).dial(t)
	_, err := io.WriteString(c, post("/exec", form("cargo"), auth, proto2))
	require.NoError(t, err)
	waitFor(t, running)
	_, err = io.WriteString(c, "more")
	require.NoError(t, err)
	assert.ErrorIs(t, waitFor(t, ended), errGone)
}

// TestStalledClientIsGivenUp: a client that does not read slows its tool, but
// cannot keep a call alive that has been ended.
func TestStalledClientIsGivenUp(t *testing.T) {
	for _, name := range []string{"2", "3"} {
		var blocked chan time.Duration
		change := func(cfg *Config) {
			cfg.MaxRuntime = time.Hour
			blocked = make(chan time.Duration, 1)
			cfg.Executor = newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
				start := time.Now()
				_, err := c.Stdout.Write(make([]byte, 1<<20))
				for err == nil {
					_, err = c.Stdout.Write(make([]byte, 1<<20))
				}
				blocked <- time.Since(start)
				return 0, context.Cause(ctx)
			})
		}
		inBubble(t, change, func(t bubble) {
			c := t.dial()
			if name == "3" {
				upgradeOn(t, c, form("cargo"))
			} else {
				_, err := io.WriteString(c, post("/exec", form("cargo"), auth, proto2))
				require.NoError(t, err)
			}
			assert.Equal(t, time.Hour+drainTime, <-blocked, "version %s", name)
			b, err := io.ReadAll(c)
			assert.Empty(t, b, "%v", err)
		})
	}
}

func TestSignalEndpoint(t *testing.T) {
	e, running, _ := untilCancelled()
	s := serve(t, testConfig(e))
	c := s.dial(t)
	_, err := io.WriteString(c, post("/exec", form("cargo"), auth, proto2, "X-Aifo-Exec-Id: abc"))
	require.NoError(t, err)
	waitFor(t, running)
	tests := []struct{ body, want string }{
		{"exec_id=abc&signal=INT", "INT"}, {"exec_id=abc&signal=kill", "KILL"}, {"exec_id=abc", "TERM"},
		{"exec_id=abc&signal=HUP", "HUP"}, {"exec_id=abc&signal=QUIT", "QUIT"},
		{"exec_id=abc&signal=USR1", "USR1"}, {"exec_id=abc&signal=usr2", "USR2"}, {"exec_id=abc&signal=CONT", "CONT"},
	}
	for _, tt := range tests {
		raw := s.send(t, post("/signal", tt.body, auth, proto1))
		assert.Equal(t, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", raw)
		assert.Equal(t, "rust/abc/"+tt.want, waitFor(t, e.signals))
	}
	for _, bad := range []string{"SIGINT", "STOP", "", "9", "TSTP", "WINCH", "PIPE"} {
		got := parseReply(t, s.send(t, post("/signal", "exec_id=abc&signal="+bad, auth, proto2)))
		assert.Equal(t, 400, got.status, bad)
	}
	e.refuse = errTest
	got := parseReply(t, s.send(t, post("/signal", "exec_id=abc", auth, proto2)))
	assert.Equal(t, reply{status: 500, exit: "86", body: "aifo-coder proxy error: send SIGTERM: no such sidecar\n", header: got.header}, got)
}

// TestSignalWhileWaiting: a call whose sidecar is not ready yet ends as if the
// signal had ended its tool.
func TestSignalWhileWaiting(t *testing.T) {
	waiting := make(chan bool, 1)
	cfg := testConfig(newFakeExecutor(func(context.Context, Call) (int, error) {
		t.Error("was run")
		return 0, nil
	}))
	cfg.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(ctx context.Context, _ string) error {
		waiting <- true
		<-ctx.Done()
		return ctx.Err()
	}}
	s := serve(t, cfg)
	replies := make(chan string, 1)
	go func() { replies <- s.send(t, post("/exec", form("cargo"), auth, proto2, "X-Aifo-Exec-Id: abc")) }()
	waitFor(t, waiting)
	s.send(t, post("/signal", "exec_id=abc&signal=INT", auth, proto2))
	assert.Equal(t, "130", parseReply(t, waitFor(t, replies)).trailer)

	c := upgradeOn(t, s.dial(t), form("cargo"))
	waitFor(t, waiting)
	for _, harmless := range []string{"WINCH", "TSTP", "CONT"} {
		require.NoError(t, c.w.Write('s', []byte(harmless)))
	}
	require.NoError(t, c.w.Write('s', []byte("TERM")))
	assert.Equal(t, result{code: 143}, c.rest())

	// Nobody makes a signal of a key before the tool has its terminal.
	for key, want := range map[string]result{"x\x03": {code: 130}, "\x1c\x03": {code: 131}} {
		c = upgradeOn(t, s.dial(t), form("cargo")+"&tty=1")
		waitFor(t, waiting)
		require.NoError(t, c.w.Write('i', []byte(key)))
		assert.Equal(t, want, c.rest())
	}
}

// TestExecIDInUse: the second call is refused, and the first keeps its id.
func TestExecIDInUse(t *testing.T) {
	e, running, _ := untilCancelled()
	s := serve(t, testConfig(e))
	c := s.dial(t)
	_, err := io.WriteString(c, post("/exec", form("cargo"), auth, proto1, "X-Aifo-Exec-Id: abc"))
	require.NoError(t, err)
	waitFor(t, running)
	for _, headers := range [][]string{{auth, proto1}, {auth, proto2}, upgrade} {
		got := parseReply(t, s.send(t, post("/exec", form("cargo"), append(headers, "X-Aifo-Exec-Id: abc")...)))
		assert.Equal(t, reply{status: 409, exit: "86", body: "exec id already in use\n", header: got.header}, got)
	}
	assert.NotNil(t, s.calls.find("abc"))
}

func TestExecIDIsFreedAtTheEnd(t *testing.T) {
	s := serve(t, testConfig(exit(0, "")))
	for range 3 {
		got := parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto1, "X-Aifo-Exec-Id: abc")))
		assert.Equal(t, 200, got.status)
	}
}

func TestTooManyCalls(t *testing.T) {
	e, running, _ := untilCancelled()
	cfg := testConfig(e)
	cfg.MaxCalls = 1
	s := serve(t, cfg)
	_, err := io.WriteString(s.dial(t), post("/exec", form("cargo"), auth, proto1))
	require.NoError(t, err)
	waitFor(t, running)
	got := parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto1)))
	assert.Equal(t, reply{status: 503, exit: "86", body: "too many tool calls at once\n", header: got.header}, got)
}

// TestShutdown: calls under way are ended and their clients told, never with 0.
func TestShutdown(t *testing.T) {
	e, running, ended := untilCancelled()
	s := serve(t, testConfig(e))
	replies := make(chan string, 1)
	go func() { replies <- s.send(t, post("/exec", form("cargo"), auth, proto2)) }()
	waitFor(t, running)
	c := upgradeOn(t, s.dial(t), form("cargo"))
	waitFor(t, running)
	idle := s.dial(t)
	results := make(chan result, 1)
	go func() { results <- c.rest() }()

	require.NoError(t, s.Shutdown(t.Context()))
	assert.ErrorIs(t, waitFor(t, ended), errShutdown)
	got := parseReply(t, waitFor(t, replies))
	assert.Equal(t, reply{status: 500, exit: "86", body: "aifo-coder proxy error: the session is ending\n", header: got.header}, got)
	assert.Equal(t, result{code: 86, fault: "the session is ending"}, waitFor(t, results))
	_, err := idle.Read(make([]byte, 1))
	assert.Error(t, err, "an idle connection stayed open")
	_, err = net.Dial("tcp", s.addr)
	assert.Error(t, err, "still listening")
}

func TestNoCallsAfterShutdown(t *testing.T) {
	p := New(testConfig(exit(0, "")))
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, p.Shutdown(t.Context()))
	r := httptest.NewRequest("POST", "/exec", strings.NewReader(form("cargo")))
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("X-Aifo-Proto", "1")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	assert.Equal(t, 503, w.Code)
	assert.Equal(t, "the session is ending\n", w.Body.String())
}

func TestShutdownGivesUp(t *testing.T) {
	release := make(chan bool)
	running := make(chan bool, 1)
	s := serve(t, testConfig(newFakeExecutor(func(context.Context, Call) (int, error) {
		running <- true
		<-release // an executor that breaks its contract
		return 0, nil
	})))
	_, err := io.WriteString(s.dial(t), post("/exec", form("cargo"), auth, proto1))
	require.NoError(t, err)
	waitFor(t, running)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, s.Shutdown(ctx), context.Canceled)
	close(release)
}

func TestNotify(t *testing.T) {
	cfg := testConfig(exit(0, ""))
	cfg.Notify = func(_ context.Context, cmd string, args []string) (int, []byte, error) {
		switch args[0] {
		case "deny":
			return 0, nil, NotifyDenied("command 'x' not allowed for notifications")
		case "slow":
			return 0, nil, context.DeadlineExceeded
		case "broken":
			return 0, nil, errTest
		}
		return 4, []byte(cmd + ":" + strings.Join(args, ",")), nil
	}
	s := serve(t, cfg)
	tests := []struct {
		arg  string
		want reply
	}{
		{"hi", reply{status: 200, exit: "4", body: "say:hi,there"}},
		{"deny", reply{status: 403, exit: "86", body: "command 'x' not allowed for notifications\n"}},
		{"slow", reply{status: 408, exit: "124", body: "timeout\n"}},
		{"broken", reply{status: 500, exit: "86", body: "host 'say' execution failed: no such sidecar\n"}},
	}
	for _, tt := range tests {
		got := parseReply(t, s.send(t, post("/notify", "cmd=say&arg="+tt.arg+"&arg=there", auth, proto2)))
		got.header = nil
		assert.Equal(t, tt.want, got)
	}
}

// TestLogHasNoSecrets also holds the one line that every call gets.
func TestLogHasNoSecrets(t *testing.T) {
	var log bytes.Buffer
	cfg := testConfig(exit(3, ""))
	cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := serve(t, cfg)
	s.send(t, post("/exec", form("cargo", "publish", "--token", "s3cret", "--visible"), auth, proto1, "X-Aifo-Exec-Id: abc"))
	s.send(t, post("/exec", form("cargo"), auth))
	require.NoError(t, s.Shutdown(t.Context()))
	got := log.String()
	assert.Contains(t, got, `level=INFO msg="tool call" tool=cargo kind=rust cwd=/workspace exec_id=abc code=3 duration=`)
	assert.Contains(t, got, `args="[publish --token *** --visible]"`)
	assert.Contains(t, got, `msg="request refused" path=/exec status=426`)
	assert.NotContains(t, got, "s3cret")
	assert.NotContains(t, got, testToken)
}

// TestBegin: whoever wants to know is told of each tool's beginning and end, however it ends.
func TestBegin(t *testing.T) {
	for name, run := range map[string]func(context.Context, Call) (int, error){
		"exit":    func(context.Context, Call) (int, error) { return 3, nil },
		"failure": func(context.Context, Call) (int, error) { return 0, io.ErrUnexpectedEOF },
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var steps []string
			note := func(s string) {
				mu.Lock()
				defer mu.Unlock()
				steps = append(steps, s)
			}
			cfg := testConfig(newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
				note("run")
				return run(ctx, c)
			}))
			cfg.Begin = func(kind string) func() {
				note("begin " + kind)
				return func() { note("end") }
			}
			s := serve(t, cfg)
			s.send(t, post("/exec", form("cargo"), auth, proto1))
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, []string{"begin rust", "run", "end"}, steps)
		})
	}
}
