package mcpserver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

// rawClient is a client that writes what it wants.
type rawClient struct {
	net.Conn
	t       *testing.T
	served  chan error
	replies chan answer
}

// answer is a message of the server.
type answer struct {
	ID    any `json:"id"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// serveRaw serves cfg to a client that has initialized.
func serveRaw(t *testing.T, cfg Config) *rawClient {
	t.Helper()
	ours, theirs := net.Pipe()
	c := &rawClient{theirs, t, make(chan error, 1), make(chan answer, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { c.served <- Serve(ctx, cfg, ours) }()
	go c.receive()
	t.Cleanup(func() {
		cancel()
		_ = theirs.Close()
	})
	c.say(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	require.Nil(t, c.hear().Error)
	c.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return c
}

func (c *rawClient) receive() {
	defer close(c.replies)
	for r := bufio.NewReader(c); ; {
		text, err := r.ReadBytes('\n')
		var a answer
		if err != nil || json.Unmarshal(text, &a) != nil {
			return
		}
		c.replies <- a
	}
}

func (c *rawClient) say(text string) {
	c.t.Helper()
	_, err := io.WriteString(c, text+"\n")
	require.NoError(c.t, err)
}

func (c *rawClient) hear() answer {
	c.t.Helper()
	select {
	case a, ok := <-c.replies:
		require.True(c.t, ok, "the connection has ended")
		return a
	case <-time.After(patience):
		require.Fail(c.t, "no answer")
		panic("unreachable")
	}
}

func callText(id int, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"run","arguments":%s}}`, id, arguments)
}

// held is a proxy with a budget, whose calls go on until they end from outside.
type held struct {
	fakeProxy
	*execproxy.Proxy
	running chan execproxy.Request
}

func (h held) Hold() *execproxy.Held { return h.Proxy.Hold() }

func (h held) Run(ctx context.Context, r execproxy.Request) (int, error) {
	h.running <- r
	<-ctx.Done()
	return len(r.Argv), context.Cause(ctx)
}

func (h held) Tools(ctx context.Context, cwd string) ([]execproxy.KindTools, error) {
	return h.fakeProxy.Tools(ctx, cwd)
}

func newHeld() held {
	return held{Proxy: execproxy.New(execproxy.Config{Sidecars: noSidecars{}}), running: make(chan execproxy.Request)}
}

// room returns how much the budget still has, in steps of a mebibyte.
func (h held) room() (n int64) {
	all := h.Proxy.Hold()
	defer all.Free()
	for all.Set(n + 1<<20) {
		n += 1 << 20
	}
	return n
}

// only has the budget of p have room for n bytes, a multiple of a mebibyte, and no more.
func (h held) only(t *testing.T, n int64) {
	t.Helper()
	require.True(t, h.Proxy.Hold().Set(h.room()-n))
}

// TestCallsAreBounded: what calls take in memory is in the budget, and more is refused with
// an error, while others go on.
func TestCallsAreBounded(t *testing.T) {
	const room, calls = 28 << 20, 40 // there is room for the line of one that is refused
	for name, arguments := range map[string]string{
		"input": fmt.Sprintf(`{"argv":["cargo"],"stdin":%q}`, strings.Repeat("x", 2<<20)),
		"words": fmt.Sprintf(`{"argv":["cargo"%s]}`, strings.Repeat(`,""`, 1<<17)),
	} {
		t.Run(name, func(t *testing.T) {
			p := newHeld()
			p.only(t, room)
			c := serveRaw(t, Config{Workspace: "/workspace", Proxy: p})
			before, accepted := live(), 0
			for id := range calls {
				c.say(callText(id, arguments))
				select {
				case <-p.running:
					accepted++
				case a := <-c.replies:
					require.Equal(t, codeBusy, a.Error.Code)
					require.Equal(t, execproxy.TooMuchHeld, a.Error.Message)
				}
			}
			used := live() - before
			t.Logf("%d of %d calls, %d MiB", accepted, calls, used>>20)
			assert.Less(t, used, int64(room))
			assert.Positive(t, accepted)
			assert.Less(t, accepted, calls)
			_ = c.Close()
			require.NoError(t, <-c.served)
			assert.EqualValues(t, room, p.room(), "nothing is left of them")
		})
	}
}

func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestCallsOfOneClientAreLimited: in number, too; an answer makes room.
func TestCallsOfOneClientAreLimited(t *testing.T) {
	p := newHeld()
	c := serveRaw(t, Config{Workspace: "/workspace", Proxy: p})
	for id := range maxCalls {
		c.say(callText(id, `{"argv":["cargo"]}`))
		<-p.running
	}
	c.say(callText(maxCalls, `{"argv":["cargo"]}`))
	a := c.hear()
	require.EqualValues(t, maxCalls, a.ID)
	require.Equal(t, codeBusy, a.Error.Code)
	require.Contains(t, a.Error.Message, "64 requests of this client are under way")
	c.say(callText(0, `{"argv":["cargo"]}`))
	require.Contains(t, c.hear().Error.Message, "the id is that of a request under way")
	for range 3 { // of which one counts
		c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}`)
	}
	require.EqualValues(t, 0, c.hear().ID)
	c.say(callText(0, `{"argv":["cargo"]}`))
	<-p.running
}

// TestUselessMessages: they are read over, whatever their size.
func TestUselessMessages(t *testing.T) {
	c := serveRaw(t, Config{Workspace: "/workspace", Proxy: newHeld()})
	for _, text := range []string{
		"", "  \r", `{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","method":"notifications/unknown","params":{}}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":[]}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"` + strings.Repeat("x", maxNotice) + `"}}`,
	} {
		c.say(text)
	}
	c.say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
	require.EqualValues(t, 2, c.hear().ID)
}

// TestLinesAreBounded: a message that is too long, or for which there is no room, ends its
// connection, and so does one that is none.
func TestLinesAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"long": strings.Repeat("x", maxLine+8<<10), "broken": "x\n", "no room": strings.Repeat("x", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			p := newHeld()
			all := p.Proxy.Hold()
			c := serveRaw(t, Config{Workspace: "/workspace", Proxy: p})
			if name == "no room" {
				require.True(t, all.Set(p.room()-1<<20))
			}
			go func() { _, _ = io.WriteString(c, text) }()
			require.Error(t, <-c.served)
			all.Free()
			require.Equal(t, newHeld().room(), p.room())
		})
	}
}

// TestLastLineWithoutEnd: a client may end after a message.
func TestLastLineWithoutEnd(t *testing.T) {
	for text, want := range map[string]string{`{"a":1}`: `{"a":1}`, `{"a"`: "", "": ""} {
		c := connection{transport: transport{hold: newHeld().Hold}}
		l := c.readLine(bufio.NewReader(strings.NewReader(text)))
		if want == "" {
			require.ErrorIs(t, l.err, io.EOF)
			continue
		}
		require.NoError(t, l.err)
		require.Equal(t, want, string(l.text))
	}
}

// TestSlowLine: a message that does not end in time ends its connection; one that has not
// begun does not.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveRaw(t, Config{Workspace: "/workspace", Proxy: newHeld()})
		time.Sleep(2 * lineTimeout)
		c.say(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
		require.EqualValues(t, 2, c.hear().ID)
		began := time.Now()
		_, err := io.WriteString(c, "{")
		require.NoError(t, err)
		require.NoError(t, <-c.served)
		require.Equal(t, lineTimeout, time.Since(began))
	})
}

// TestElements counts what is structure, and not what a string holds, as the numbers of a table may be.
func TestElements(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `1`: 0, `"1,2,[3,{"`: 0, `{"a":"1,\",2","b":[1,2,{}]}`: 6, `"\\",[`: 2, `"\`: 0,
	} {
		assert.Equal(t, want, elements([]byte(text)), text)
	}
}
