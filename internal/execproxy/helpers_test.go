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
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const testToken = "0123456789abcdef0123456789abcdef"

// fakeExecutor runs calls with a function and hands out the signals it gets.
type fakeExecutor struct {
	run     func(ctx context.Context, c Call) (int, error)
	signals chan string // kind/id/signal
	refuse  error       // of Signal
	bare    bool        // there are no terminals
}

func (f *fakeExecutor) Run(ctx context.Context, c Call) (int, error) { return f.run(ctx, c) }

func (f *fakeExecutor) GivesTerminals() bool { return !f.bare }

func (f *fakeExecutor) Signal(ctx context.Context, kind, id, sig string) error {
	select {
	case f.signals <- kind + "/" + id + "/" + sig:
		return f.refuse
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fakeSidecars is a session with the kinds in has.
type fakeSidecars struct {
	has    []string
	ready  func(ctx context.Context, kind string) error
	offers func(ctx context.Context, kind, tool string) (bool, error)
}

func (f *fakeSidecars) Has(kind string) bool {
	for _, k := range f.has {
		if k == kind {
			return true
		}
	}
	return false
}

func (f *fakeSidecars) Ready(ctx context.Context, kind string) error {
	if f.ready == nil {
		return nil
	}
	return f.ready(ctx, kind)
}

func (f *fakeSidecars) Offers(ctx context.Context, kind, tool string) (bool, error) {
	if f.offers == nil {
		return false, fmt.Errorf("unexpected probe for %s in %s", tool, kind)
	}
	return f.offers(ctx, kind, tool)
}

func testCandidates(tool string) []string {
	return map[string][]string{
		"cargo": {"rust"},
		"npm":   {"node"},
		"make":  {"c-cpp", "rust", "node"},
	}[tool]
}

func newFakeExecutor(run func(context.Context, Call) (int, error)) *fakeExecutor {
	return &fakeExecutor{run: run, signals: make(chan string, 8)}
}

// exit is an executor that only writes text and ends.
func exit(code int, text string) *fakeExecutor {
	return newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		if _, err := io.WriteString(c.Stdout, text); err != nil {
			return 0, err
		}
		return code, nil
	})
}

// untilCancelled is a silent tool. It tells that it runs, and then why it ended.
func untilCancelled() (e *fakeExecutor, running chan Call, ended chan error) {
	running, ended = make(chan Call, 8), make(chan error, 8)
	return newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
		running <- c
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return 0, context.Cause(ctx)
	}), running, ended
}

func testConfig(e Executor) Config {
	return Config{
		Token: testToken, Executor: e, Candidates: testCandidates,
		Sidecars:   &fakeSidecars{has: []string{"rust"}},
		Toolchains: []Toolchain{{Kind: "rust", Aliases: []string{"rs"}, Image: "rust:1", Tools: []string{"cargo", "make"}, Probe: []string{"cargo", "-V"}}},
	}
}

// server is a running proxy.
type server struct {
	*Proxy
	addr string
}

func serve(t testing.TB, cfg Config) *server {
	t.Helper()
	l, err := ListenTCP("127.0.0.1")
	require.NoError(t, err)
	p := New(cfg)
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.NoError(t, p.Shutdown(ctx))
		assert.NoError(t, <-done)
	})
	return &server{p, l.Addr().String()}
}

func (s *server) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second))) // a hang is a failure, not a timeout of go test
	return c
}

// send writes raw to a new connection and returns everything that comes back.
func (s *server) send(t testing.TB, raw string) string {
	t.Helper()
	c := s.dial(t)
	go io.WriteString(c, raw) // the proxy may refuse before it has read everything
	reply, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(reply)
}

// reply is a plain or chunked reply, taken apart.
type reply struct {
	status  int
	exit    string // header
	trailer string
	body    string
	header  http.Header
}

func parseReply(t testing.TB, raw string) reply {
	t.Helper()
	r, err := readReply(bufio.NewReader(strings.NewReader(raw)))
	require.NoError(t, err, "reply: %q", raw)
	return r
}

func readReply(b *bufio.Reader) (reply, error) {
	resp, err := http.ReadResponse(b, nil)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	return reply{
		resp.StatusCode, resp.Header.Get(execproto.HeaderExitCode), resp.Trailer.Get(execproto.HeaderExitCode),
		string(body), resp.Header,
	}, err
}

// post builds a request. Headers are "Name: value" lines.
func post(path, body string, headers ...string) string {
	head := append([]string{
		"POST " + path + " HTTP/1.1", "Host: proxy", fmt.Sprintf("Content-Length: %d", len(body)),
	}, headers...)
	return strings.Join(head, "\r\n") + "\r\n\r\n" + body
}

const (
	auth   = "Authorization: Bearer " + testToken
	proto1 = "X-Aifo-Proto: 1"
	proto2 = "X-Aifo-Proto: 2"
)

var upgrade = []string{auth, "X-Aifo-Proto: 3", "Connection: Upgrade", "Upgrade: aifo-exec/3"}

func form(tool string, args ...string) string {
	v := url.Values{"tool": {tool}, "arg": args}
	return v.Encode()
}

// frameClient is a version 3 client.
type frameClient struct {
	net.Conn
	id string
	r  *execproto.FrameReader
	w  *execproto.FrameWriter
}

// upgradeOn makes a version 3 call on c and expects to be let in.
func upgradeOn(t testing.TB, c net.Conn, body string, headers ...string) *frameClient {
	t.Helper()
	_, err := io.WriteString(c, post("/exec", body, append(headers, upgrade...)...))
	require.NoError(t, err)
	b := bufio.NewReader(c)
	resp, err := http.ReadResponse(b, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	assert.Equal(t, execproto.Upgrade, resp.Header.Get("Upgrade"))
	return &frameClient{c, resp.Header.Get(execproto.HeaderRespID), execproto.NewFrameReader(b), execproto.NewFrameWriter(c)}
}

func (c *frameClient) read(t testing.TB) (execproto.FrameType, string) {
	t.Helper()
	f, err := c.r.Read()
	require.NoError(t, err)
	return f.Type, string(f.Payload)
}

// result is everything that a version 3 call sent.
type result struct {
	stdout, stderr, fault string
	code                  int32
	credit                uint32
	err                   error // of the connection, before a FrameExit
}

// rest reads to the end of the call.
func (c *frameClient) rest() (res result) {
	var stdout, stderr, fault bytes.Buffer
	defer func() { res.stdout, res.stderr, res.fault = stdout.String(), stderr.String(), fault.String() }()
	for {
		f, err := c.r.Read()
		if err != nil {
			res.err = err
			return res
		}
		switch f.Type {
		case execproto.FrameStdout:
			stdout.Write(f.Payload)
		case execproto.FrameStderr:
			stderr.Write(f.Payload)
		case execproto.FrameError:
			fault.Write(f.Payload)
		case execproto.FrameCredit:
			n, _ := f.Uint32()
			res.credit += n
		case execproto.FrameExit:
			n, _ := f.Uint32()
			res.code = int32(n)
			return res
		default:
			res.err = fmt.Errorf("unexpected frame %q", byte(f.Type))
			return res
		}
	}
}

// waitFor receives from ch, or fails the test.
func waitFor[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		require.Fail(t, "timed out")
		panic("unreachable")
	}
}

var errTest = errors.New("no such sidecar")
