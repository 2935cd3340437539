//go:build linux

package resident_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

var errGone = errors.New("the client is gone")

func TestRun(t *testing.T) {
	starts := make(chan execproto.Start, 1)
	_, e := newServer(t, func(c *call) {
		starts <- c.start
		c.write('o', "out1 ")
		c.write('e', "err ")
		c.write('o', "out2")
		c.exit(7)
	})
	var both bytes.Buffer
	c := request("id")
	c.Env, c.Stdout, c.Stderr = []string{"FOO=a b"}, &both, &both
	code, err := e.Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 7, code)
	require.Equal(t, "out1 err out2", both.String(), "in the order of the server")
	require.Equal(t, execproto.Start{
		ID: "id", Kind: "rust", Cwd: "/workspace", Argv: []string{"tool", "a b"}, Env: []string{"FOO=a b"}, GraceMS: 1,
	}, <-starts)
}

// TestNoWriters: output that nobody asked for is no reason to stop.
func TestNoWriters(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		c.write('o', strings.Repeat("x", execproto.MuxWindow))
		require.NotZero(t, c.await("c").Call)
		c.exit(0)
	})
	code, err := e.Run(t.Context(), request("id"))
	require.NoError(t, err)
	require.Zero(t, code)
}

func TestExitCodes(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		n, _ := strconv.Atoi(c.start.ID)
		c.exit(n)
	})
	for _, n := range []int{0, 1, 130, 255} {
		code, err := e.Run(t.Context(), request(strconv.Itoa(n)))
		require.NoError(t, err)
		require.Equal(t, n, code)
	}
}

func TestFailed(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		c.write('o', "some")
		c.write('x', "no room")
	})
	var out bytes.Buffer
	c := request("id")
	c.Stdout = &out
	_, err := e.Run(t.Context(), c)
	require.EqualError(t, err, "no room")
	require.Equal(t, "some", out.String())
}

// TestInput: it arrives whole, its end too, and no more is read than was granted.
func TestInput(t *testing.T) {
	const size = 2*execproto.MuxWindow + 17
	in := &countingReader{r: io.LimitReader(pattern{}, size)}
	got := make(chan []byte, 1)
	_, e := newServer(t, func(c *call) {
		var all []byte
		granted := execproto.MuxWindow
		for m := c.await("iz"); m.Type == 'i'; m = c.await("iz") {
			all = append(all, m.Payload...)
			assert.LessOrEqual(t, in.count(), granted, "read without credit")
			if len(all) == granted {
				granted += 1001
				_ = c.link.WriteUint32(execproto.MuxCredit, c.n, 1001)
			}
		}
		got <- all
		c.exit(0)
	})
	c := request("id")
	c.Stdin = in
	code, err := e.Run(t.Context(), c)
	require.NoError(t, err)
	require.Zero(t, code)
	want, err := io.ReadAll(io.LimitReader(pattern{}, size))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, <-got))
}

type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(len(p) * i)
	}
	clear(p)
	return len(p), nil
}

type countingReader struct {
	r  io.Reader
	mu sync.Mutex
	n  int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	return n, err
}

func (c *countingReader) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// TestInputThatBlocks: Run does not wait for it.
func TestInputThatBlocks(t *testing.T) {
	_, e := newServer(t, func(c *call) { c.exit(3) })
	r, w := io.Pipe()
	defer w.Close()
	c := request("id")
	c.Stdin = r
	code, err := e.Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 3, code)
}

// TestInputThatBreaksOff: the tool must not take it for the end.
func TestInputThatBreaksOff(t *testing.T) {
	saw := make(chan execproto.MuxType, 1)
	_, e := newServer(t, func(c *call) {
		saw <- c.await("zk").Type
		c.exit(130)
	})
	c := request("id")
	c.Stdin = io.MultiReader(strings.NewReader("half"), iotestErr{errGone})
	_, err := e.Run(t.Context(), c)
	require.ErrorIs(t, err, errGone)
	require.Equal(t, execproto.MuxEnd, <-saw)
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

// TestSlowReader: one call whose client does not read gets no more than the
// window, loses nothing, and holds up nobody.
func TestSlowReader(t *testing.T) {
	const size = 5 * execproto.MuxWindow
	text := strings.Repeat("0123456789abcdef", size/16)
	_, e := newServer(t, func(c *call) {
		if c.start.ID != "slow" {
			c.exit(0)
			return
		}
		sent, granted := 0, execproto.MuxWindow
		for sent < size {
			if sent == granted {
				n, _ := c.await("c").Uint32()
				granted += int(n)
			}
			n := min(granted-sent, 1000, size-sent)
			c.write('o', text[sent:sent+n])
			sent += n
		}
		c.exit(9)
	})
	r, w := io.Pipe()
	c := request("slow")
	c.Stdout = w
	done := begin(t.Context(), e, c)
	first := make([]byte, 100)
	_, err := io.ReadFull(r, first)
	require.NoError(t, err)
	for i := range 50 {
		code, err := e.Run(t.Context(), request(fmt.Sprint("quick", i)))
		require.NoError(t, err)
		require.Zero(t, code)
	}
	rest := make([]byte, size-100)
	_, err = io.ReadFull(r, rest)
	require.NoError(t, err)
	require.Equal(t, result{code: 9}, receive(t, done))
	require.True(t, text == string(first)+string(rest))
}

// TestTooMuchOutput: a server that ignores the window is not listened to.
func TestTooMuchOutput(t *testing.T) {
	s, e := newServer(t, func(c *call) {
		for range 5 {
			c.write('o', strings.Repeat("x", execproto.MuxWindow/4))
		}
		c.exit(0)
	})
	r, w := io.Pipe()
	c := request("id")
	c.Stdout = w
	done := begin(t.Context(), e, c)
	_, err := io.ReadFull(r, make([]byte, 1))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return e.Open(t.Context(), "rust") == nil && s.opened() == 2 }, patience, time.Millisecond)
	_, err = io.CopyN(io.Discard, r, execproto.MuxWindow-1)
	require.NoError(t, err, "what came before is good")
	require.ErrorIs(t, receive(t, done).err, execproto.ErrFrame)
}

// TestEnd: the server is asked to end the tool, its last words arrive, and Run
// returns why.
func TestEnd(t *testing.T) {
	began := make(chan bool)
	_, e := newServer(t, func(c *call) {
		began <- true
		if c.await("k").Type == execproto.MuxEnd {
			c.write('o', "last words")
			c.exit(0) // it seems well
		}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	var out bytes.Buffer
	c := request("id")
	c.Stdout = &out
	done := begin(ctx, e, c)
	receive(t, began)
	cancel(errGone)
	require.ErrorIs(t, receive(t, done).err, errGone)
	require.Equal(t, "last words", out.String())
}

// TestEndedBefore: such a call is not made.
func TestEndedBefore(t *testing.T) {
	s, e := newServer(t, func(c *call) { panic("it was made") })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errGone)
	_, err := e.Run(ctx, request("id"))
	require.ErrorIs(t, err, errGone)
	require.NoError(t, e.Open(t.Context(), "rust"))
	_, err = e.Run(ctx, request("id"))
	require.ErrorIs(t, err, errGone)
	require.Equal(t, 1, s.opened())
}

// TestWriterThatFails ends the call, which then cannot have succeeded.
func TestWriterThatFails(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		c.write('o', "lost")
		c.await("k")
		c.exit(0)
	})
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(errGone))
	c := request("id")
	c.Stdout = w
	_, err := e.Run(t.Context(), c)
	require.ErrorIs(t, err, errGone)
}

// TestWriterThatFailsLate: the tool has ended well, but not its output.
func TestWriterThatFailsLate(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		c.write('o', "lost")
		c.exit(0)
	})
	r, w := io.Pipe()
	c := request("id")
	c.Stdout = w
	done := begin(t.Context(), e, c)
	_, err := r.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, r.CloseWithError(errGone))
	require.ErrorIs(t, receive(t, done).err, errGone)
}

// TestSignals: in order, and a signal that comes before the start waits for it.
func TestSignals(t *testing.T) {
	began := make(chan bool)
	_, e := newServer(t, func(c *call) {
		began <- true
		var got []string
		for range 4 {
			got = append(got, string(c.await("s").Payload))
		}
		c.write('o', strings.Join(got, " "))
		c.exit(0)
	})
	early := make(chan error, 1)
	go func() { early <- e.Signal(t.Context(), "rust", "id", "HUP") }()
	var out bytes.Buffer
	c := request("id")
	c.Stdout = &out
	done := begin(t.Context(), e, c)
	receive(t, began)
	require.NoError(t, receive(t, early))
	for _, s := range []string{"INT", "TERM", "USR1"} {
		require.NoError(t, e.Signal(t.Context(), "rust", "id", s))
	}
	require.Equal(t, result{}, receive(t, done))
	require.Equal(t, "HUP INT TERM USR1", out.String())

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errGone)
	require.ErrorIs(t, e.Signal(ctx, "rust", "id", "INT"), errGone, "nobody to signal")
}

func TestTerminal(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		rows, cols, _ := execproto.DecodeSize(c.await("w").Payload)
		c.write('o', fmt.Sprint(c.start.TTY, c.start.Rows, c.start.Cols, rows, cols))
		c.exit(0)
	})
	resized := make(chan execproxy.Size, 1)
	resized <- execproxy.Size{Rows: 30, Cols: 90}
	var out bytes.Buffer
	c := request("id")
	c.Stdout, c.Terminal = &out, &execproxy.Terminal{Streams: execproto.TTYOut, Size: execproxy.Size{Rows: 24, Cols: 80}, Resized: resized}
	code, err := e.Run(t.Context(), c)
	require.NoError(t, err)
	require.Zero(t, code)
	require.Equal(t, "o 24 80 30 90", out.String())
}

// TestFiles: the tool gets them, and we keep none.
func TestFiles(t *testing.T) {
	seen := make(chan bool)
	s, e := newServer(t, func(c *call) {
		text, _ := io.ReadAll(c.files[0])
		fmt.Fprintf(c.files[1], "read %s", text)
		for _, f := range c.files {
			f.Close()
		}
		<-seen
		c.exit(4)
	})
	s.files = true
	require.False(t, e.TakesFiles("rust"), "nobody knows yet")
	require.NoError(t, e.Open(t.Context(), "rust"))
	require.True(t, e.TakesFiles("rust"))

	in, inW, err := os.Pipe()
	require.NoError(t, err)
	out, outW, err := os.Pipe()
	require.NoError(t, err)
	_, errW, err := os.Pipe()
	require.NoError(t, err)
	c := request("id")
	c.Files = []*os.File{in, outW, errW}
	done := begin(t.Context(), e, c)
	_, err = io.WriteString(inW, "this")
	require.NoError(t, err)
	require.NoError(t, inW.Close())
	text, err := io.ReadAll(out)
	require.NoError(t, err, "the end comes when the tool's copy is closed, before its exit")
	close(seen)
	require.Equal(t, "read this", string(text))
	require.Equal(t, result{code: 4}, receive(t, done))
	for _, f := range c.Files {
		require.ErrorIs(t, f.Close(), os.ErrClosed)
	}
}

// TestFilesWithoutAWay: the call is not made, and the files are closed.
func TestFilesWithoutAWay(t *testing.T) {
	_, e := newServer(t, func(c *call) { panic("it was made") })
	require.NoError(t, e.Open(t.Context(), "rust"))
	require.False(t, e.TakesFiles("rust"))
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	c := request("id")
	c.Files = []*os.File{w}
	_, err = e.Run(t.Context(), c)
	require.ErrorContains(t, err, "the call was not made")
	require.ErrorIs(t, w.Close(), os.ErrClosed)
}

// TestLostLink: calls in flight fail, the next one opens another link.
func TestLostLink(t *testing.T) {
	began := make(chan bool)
	s, e := newServer(t, func(c *call) {
		if c.start.ID == "second" {
			c.exit(5)
			return
		}
		c.write('o', "begun")
		began <- true
	})
	var out bytes.Buffer
	c := request("first")
	c.Stdout = &out
	done := begin(t.Context(), e, c)
	receive(t, began)
	require.NoError(t, s.latest().conn.Close())
	require.EqualError(t, receive(t, done).err, "the rust sidecar's exec server ended; the call's result is unknown")
	require.Equal(t, "begun", out.String())

	code, err := e.Run(t.Context(), request("second"))
	require.NoError(t, err)
	require.Equal(t, 5, code)
	require.Equal(t, 2, s.opened())
}

func TestLostSidecar(t *testing.T) {
	began := make(chan bool)
	s, e := newServer(t, func(*call) { began <- true })
	done := begin(t.Context(), e, request("id"))
	receive(t, began)
	s.mu.Lock()
	s.alive = errors.New("the rust sidecar has ended")
	s.mu.Unlock()
	require.NoError(t, s.latest().conn.Close())
	require.EqualError(t, receive(t, done).err, "the rust sidecar has ended")
}

// TestServerThatBreaksTheProtocol is not listened to any more.
func TestServerThatBreaksTheProtocol(t *testing.T) {
	for name, breach := range map[string]func(c *call){
		"type":           func(c *call) { c.write('n', "") },
		"no call":        func(c *call) { _ = c.link.Write('o', c.n+1, []byte("x")) },
		"code":           func(c *call) { c.write('q', "x") },
		"credit":         func(c *call) { c.write('c', "x") },
		"too much trust": func(c *call) { _ = c.link.WriteUint32('c', c.n, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			_, e := newServer(t, func(c *call) {
				breach(c)
				c.exit(0)
			})
			_, err := e.Run(t.Context(), request("id"))
			require.ErrorIs(t, err, execproto.ErrFrame)
		})
	}
}

// TestLateCredit is none for a call that is over.
func TestLateCredit(t *testing.T) {
	s, e := newServer(t, func(c *call) {
		c.exit(0)
		_ = c.link.WriteUint32('c', c.n, 1)
	})
	for range 3 {
		_, err := e.Run(t.Context(), request("id"))
		require.NoError(t, err)
	}
	require.Equal(t, 1, s.opened())
}

// TestOpening: those who come at the same time share one link; one that does not
// come up is an error, and nobody waits for it longer than his call lives.
func TestOpening(t *testing.T) {
	s, e := newServer(t, func(c *call) { c.exit(0) })
	var all []<-chan result
	for i := range 20 {
		all = append(all, begin(t.Context(), e, request(fmt.Sprint(i))))
	}
	for _, done := range all {
		require.Equal(t, result{}, receive(t, done))
	}
	require.Equal(t, 1, s.opened())

	s, e = newServer(t, nil)
	s.deaf = true
	ctx, cancel := context.WithCancelCause(t.Context())
	done, waits := begin(ctx, e, request("id")), begin(ctx, e, request("id2"))
	require.Eventually(t, func() bool { return s.opened() == 1 }, patience, time.Millisecond)
	cancel(errGone)
	require.ErrorIs(t, receive(t, done).err, errGone)
	require.ErrorIs(t, receive(t, waits).err, errGone)
}

func TestServerThatEndsAtOnce(t *testing.T) {
	s, e := newServer(t, nil)
	s.deaf = true
	done := make(chan error, 1)
	go func() { done <- e.Open(t.Context(), "rust") }()
	require.Eventually(t, func() bool { return s.opened() == 1 }, patience, time.Millisecond)
	require.NoError(t, s.latest().conn.Close())
	require.EqualError(t, receive(t, done), "start the exec server of the rust sidecar: it ended without a word")
}

func TestOffers(t *testing.T) {
	_, e := newServer(t, func(c *call) {
		require.Equal(t, []string{"/opt/aifo/bin/aifo-shim", "which"}, c.start.Argv[:2])
		if c.start.Argv[2] == "make" {
			c.write('o', "make\n")
		}
		c.exit(map[string]int{"ill": 125}[c.start.Argv[2]])
	})
	for tool, want := range map[string]bool{"make": true, "ninja": false} {
		ok, err := e.Offers(t.Context(), "rust", tool)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	_, err := e.Offers(t.Context(), "rust", "ill")
	require.Error(t, err, "not an answer")
}

func TestClose(t *testing.T) {
	began := make(chan bool)
	_, e := newServer(t, func(*call) { began <- true })
	done := begin(t.Context(), e, request("id"))
	receive(t, began)
	e.Close()
	require.EqualError(t, receive(t, done).err, "the session is ending")
	_, err := e.Run(t.Context(), request("id2"))
	require.EqualError(t, err, "the session is ending")
}

func TestNUL(t *testing.T) {
	_, e := newServer(t, nil)
	c := request("id")
	c.Argv = append(c.Argv, "a\x00b")
	_, err := e.Run(t.Context(), c)
	require.ErrorContains(t, err, "NUL")
}

// TestNothingIsLeft: 1000 calls of each kind leave no goroutine and no file.
func TestNothingIsLeft(t *testing.T) {
	s, e := newServer(t, func(c *call) {
		if strings.HasSuffix(c.start.ID, "5") {
			c.await("k")
		}
		if len(c.files) > 0 {
			fmt.Fprint(c.files[1], "some output")
		} else {
			c.write('o', "some output")
		}
		for _, f := range c.files {
			f.Close()
		}
		c.exit(0)
	})
	s.files = true
	run := func(n int) {
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { oneCall(t, e.Run, i) })
			if i%50 == 49 {
				all.Wait()
			}
		}
		all.Wait()
	}
	run(50)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	run(1000)
	// Not by require.Eventually, which has goroutines of its own.
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines || openFiles(t) > files; runtime.Gosched() {
		require.True(t, time.Now().Before(end), "%d goroutines and %d files where there were %d and %d",
			runtime.NumGoroutine(), openFiles(t), goroutines, files)
	}
}

// oneCall makes the i-th call: with files, with input, a terminal, or ended.
func oneCall(t *testing.T, run func(context.Context, execproxy.Call) (int, error), i int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := request(fmt.Sprint("call-", i))
	switch i % 10 {
	case 1:
		for range 3 {
			f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			require.NoError(t, err)
			c.Files = append(c.Files, f)
		}
	case 2:
		c.Stdin = strings.NewReader("input")
	case 3:
		c.Terminal = &execproxy.Terminal{Resized: make(chan execproxy.Size)}
	case 5:
		time.AfterFunc(time.Millisecond, cancel)
	}
	_, err := run(ctx, c)
	require.Equal(t, i%10 == 5, err != nil)
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
