package execproxy

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// What a call takes over from its caller (docs/protocol.md, "Environment" and
// "Terminals").

// seen is an executor that tells what it was asked to run.
func seen() (*fakeExecutor, chan Call) {
	calls := make(chan Call, 1)
	return newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		calls <- c
		return 0, nil
	}), calls
}

func TestEnv(t *testing.T) {
	e, calls := seen()
	s := serve(t, testConfig(e))
	v := url.Values{"tool": {"cargo"}, "env": {
		"FOO=1", "RUSTFLAGS=-g -C x=y", "PATH=/evil", "LD_PRELOAD=x", "EMPTY=", "BYTES=\xff\n", "VIRTUAL_ENV=/opt/venv", "FOO=2",
	}}
	assert.Equal(t, result{}, upgradeOn(t, s.dial(t), v.Encode()).rest())
	want := []string{"FOO=1", "RUSTFLAGS=-g -C x=y", "EMPTY=", "BYTES=\xff\n", "FOO=2"}
	assert.Equal(t, want, waitFor(t, calls).Env)

	// The existing program has no such key.
	parseReply(t, s.send(t, post("/exec", "tool=cargo&env=FOO=1&env=nonsense&tty=1", auth, proto1)))
	old := waitFor(t, calls)
	assert.Nil(t, old.Env)
	assert.Nil(t, old.Terminal)
}

func TestEnvRefused(t *testing.T) {
	s := serve(t, testConfig(newFakeExecutor(nil)))
	long := strings.Repeat("x", execproto.MaxArgLen)
	tooLong := reply{status: 400, exit: "126", body: "argument list too long\n"}
	for name, tt := range map[string]struct {
		form url.Values
		want reply
	}{
		"no value":              {url.Values{"env": {"FOO"}}, reply{status: 400, exit: "86", body: "bad request\n"}},
		"NUL":                   {url.Values{"env": {"FOO=\x00"}}, reply{status: 400, exit: "86", body: "bad request\n"}},
		"one too long":          {url.Values{"env": {"A=" + long}}, tooLong},
		"arguments":             {url.Values{"arg": {long + "x"}}, tooLong},
		"together":              {url.Values{"arg": repeat(long, 8), "env": repeat("A="+long[2:], 9)}, tooLong},
		"those that don't pass": {url.Values{"env": repeat("PATH="+long[5:], 17)}, tooLong},
	} {
		tt.form.Set("tool", "cargo")
		got := parseReply(t, s.send(t, post("/exec", tt.form.Encode(), upgrade...)))
		tt.want.header = got.header
		assert.Equal(t, tt.want, got, name)
	}
}

func repeat(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

func TestTerminal(t *testing.T) {
	for keys, want := range map[string]*Terminal{
		"":                           nil,
		"&rows=1&cols=2":             nil,
		"&tty=0":                     nil,
		"&tty=x":                     nil,
		"&tty=1":                     {Streams: execproto.TTYAll},
		"&tty=1&rows=24&cols=80":     {Streams: execproto.TTYAll, Size: Size{24, 80}},
		"&tty=io&rows=0&cols=65535":  {Streams: execproto.TTYIn | execproto.TTYOut, Size: Size{0, 65535}},
		"&TTY=0&tty=e&rows=1&Rows=2": {Streams: execproto.TTYErr, Size: Size{2, 0}},
	} {
		e, calls := seen()
		c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo")+keys)
		assert.Equal(t, result{}, c.rest())
		got := waitFor(t, calls).Terminal
		if want == nil {
			assert.Nil(t, got, keys)
			continue
		}
		require.NotNil(t, got, keys)
		assert.Equal(t, want.Size, got.Size, keys)
		assert.Equal(t, want.Streams, got.Streams, keys)
	}
	s := serve(t, testConfig(newFakeExecutor(nil)))
	for _, bad := range []string{"rows=-1", "cols=65536", "rows=x", "cols="} {
		got := parseReply(t, s.send(t, post("/exec", form("cargo")+"&tty=1&"+bad, upgrade...)))
		assert.Equal(t, 400, got.status, bad)
	}
}

// TestTerminalNotGiven: the client is told what its tool gets.
func TestTerminalNotGiven(t *testing.T) {
	for _, bare := range []bool{true, false} {
		e, calls := seen()
		e.bare = bare
		raw := post("/exec", form("cargo")+"&tty=1", upgrade...)
		c := serve(t, testConfig(e)).dial(t)
		_, err := io.WriteString(c, raw)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		assert.Equal(t, map[bool]string{true: "", false: "1"}[bare], resp.Header.Get("X-Aifo-Terminal"))
		assert.Equal(t, bare, waitFor(t, calls).Terminal == nil)
	}
}

// TestResize: only the last size counts, and a client never waits for a tool
// that does not look at it.
func TestResize(t *testing.T) {
	sizes := make(chan Size)
	e := newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		if _, err := io.ReadAll(c.Stdin); err != nil {
			return 0, err
		}
		sizes <- <-c.Terminal.Resized
		return len(c.Terminal.Resized), nil
	})
	c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo")+"&tty=1")
	for i := range uint16(1000) {
		require.NoError(t, c.w.Write(execproto.FrameResize, execproto.EncodeSize(i, 2*i)))
	}
	require.NoError(t, c.w.Write(execproto.FrameStdinEOF, nil))
	assert.Equal(t, Size{999, 1998}, waitFor(t, sizes))
	assert.Equal(t, result{}, c.rest())
}

// TestWinchIsNotCounted: sizes change as fast as a window is dragged, which is
// no reason to end a call.
func TestWinchIsNotCounted(t *testing.T) {
	e, running, _ := untilCancelled()
	e.signals = make(chan string)
	c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo"), "X-Aifo-Exec-Id: abc")
	waitFor(t, running)
	for range 3 * maxSignals {
		require.NoError(t, c.w.Write(execproto.FrameSignal, []byte("WINCH")))
	}
	require.NoError(t, c.w.Write(execproto.FrameSignal, []byte("USR1")))
	winches := 0
	for waitFor(t, e.signals) == "rust/abc/WINCH" {
		winches++
	}
	// More than the queue holds came, and the call goes on: those that waited were
	// merged. How many were depends on when deliveries began.
	assert.Positive(t, winches)
	assert.Less(t, winches, 3*maxSignals)
}
