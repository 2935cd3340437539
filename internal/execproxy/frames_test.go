package execproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Version 3 (docs/protocol.md, "Version 3").

func TestFramesKeepStreamsApart(t *testing.T) {
	s := serve(t, testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		io.WriteString(c.Stdout, "out")
		io.WriteString(c.Stderr, "err")
		return -2, nil
	})))
	c := upgradeOn(t, s.dial(t), form("cargo"), "X-Aifo-Exec-Id: abc")
	assert.Equal(t, "abc", c.id)
	assert.Equal(t, result{stdout: "out", stderr: "err", code: -2}, c.rest())
	_, err := c.r.Read()
	assert.ErrorIs(t, err, io.EOF, "FrameExit is the last frame")
}

// TestFramesStdin echoes 10 MiB through a client that never exceeds its credit.
func TestFramesStdin(t *testing.T) {
	s := serve(t, testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		n, err := io.Copy(c.Stdout, c.Stdin)
		fmt.Fprintf(c.Stderr, "%d bytes", n)
		return 0, err
	})))
	c := upgradeOn(t, s.dial(t), form("cargo"))
	input := make([]byte, 10<<20)
	rand.NewChaCha8([32]byte{}).Read(input)
	credits := make(chan int, 1<<10)
	sent := make(chan error, 1)
	go func() { sent <- sendWithCredit(c.w, input, credits) }()

	output := sha256.New()
	var stderr string
	for exited := false; !exited; {
		f, err := c.r.Read()
		require.NoError(t, err)
		switch f.Type {
		case execproto.FrameStdout:
			output.Write(f.Payload)
		case execproto.FrameStderr:
			stderr += string(f.Payload)
		case execproto.FrameCredit:
			n, err := f.Uint32()
			require.NoError(t, err)
			credits <- int(n)
		case execproto.FrameExit:
			assert.Equal(t, []byte{0, 0, 0, 0}, f.Payload)
			exited = true
		}
	}
	require.NoError(t, waitFor(t, sent))
	assert.Equal(t, "10485760 bytes", stderr)
	want := sha256.Sum256(input)
	assert.Equal(t, want[:], output.Sum(nil))
}

// sendWithCredit sends input and its end, in pieces of odd sizes.
func sendWithCredit(w *execproto.FrameWriter, input []byte, credits <-chan int) error {
	credit := execproto.InitialCredit
	for len(input) > 0 {
		for credit == 0 {
			credit += <-credits
		}
		n := min(len(input), credit, 50_021)
		if err := w.Write(execproto.FrameStdin, input[:n]); err != nil {
			return err
		}
		input, credit = input[n:], credit-n
	}
	return w.Write(execproto.FrameStdinEOF, nil)
}

// TestFramesHalfClose: the end of input is no end of the call.
func TestFramesHalfClose(t *testing.T) {
	s := serve(t, testConfig(newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
		b, err := io.ReadAll(c.Stdin)
		fmt.Fprintf(c.Stdout, "got %q, %v", b, ctx.Err())
		return 0, err
	})))
	for _, input := range []string{"", "hello"} {
		c := upgradeOn(t, s.dial(t), form("cargo"))
		require.NoError(t, c.w.Write(execproto.FrameStdin, []byte(input)))
		require.NoError(t, c.w.Write(execproto.FrameStdinEOF, nil))
		assert.Equal(t, result{stdout: fmt.Sprintf("got %q, <nil>", input)}, c.rest())
	}
}

// TestFramesProtocolErrors: a client that breaks the protocol has its call ended
// and is told why.
func TestFramesProtocolErrors(t *testing.T) {
	tests := []struct {
		name  string
		send  func(w *execproto.FrameWriter, raw io.Writer) error
		fault string
	}{
		{"overrun", func(w *execproto.FrameWriter, _ io.Writer) error {
			return w.Write(execproto.FrameStdin, make([]byte, execproto.InitialCredit+1))
		}, "malformed frame: 1 bytes of input with a credit of 0"},
		{"input after its end", func(w *execproto.FrameWriter, _ io.Writer) error {
			w.Write(execproto.FrameStdinEOF, nil)
			return w.Write(execproto.FrameStdin, []byte("x"))
		}, "malformed frame: input after its end"},
		{"second end", func(w *execproto.FrameWriter, _ io.Writer) error {
			w.Write(execproto.FrameStdinEOF, nil)
			return w.Write(execproto.FrameStdinEOF, nil)
		}, "malformed frame: end of input"},
		{"unknown signal", func(w *execproto.FrameWriter, _ io.Writer) error {
			return w.Write(execproto.FrameSignal, []byte("STOP"))
		}, `malformed frame: signal "STOP"`},
		{"size of no terminal", func(w *execproto.FrameWriter, _ io.Writer) error {
			return w.Write(execproto.FrameResize, execproto.EncodeSize(24, 80))
		}, "malformed frame: size of no terminal"},
		{"short size", func(w *execproto.FrameWriter, _ io.Writer) error {
			return w.Write(execproto.FrameResize, []byte{1})
		}, "malformed frame: 1 bytes where a size was expected"},
		{"files that were not asked for", func(w *execproto.FrameWriter, _ io.Writer) error {
			return w.Write(execproto.FrameFiles, nil)
		}, "malformed frame: type 'f' from a client"},
		{"frame of the other side", func(w *execproto.FrameWriter, _ io.Writer) error {
			return w.Write(execproto.FrameExit, []byte{0, 0, 0, 0})
		}, "malformed frame: type 'q' from a client"},
		{"unknown frame", func(_ *execproto.FrameWriter, raw io.Writer) error {
			_, err := raw.Write([]byte("?\x00\x00\x00\x00"))
			return err
		}, "malformed frame: unknown type '?'"},
		{"huge frame", func(_ *execproto.FrameWriter, raw io.Writer) error {
			_, err := raw.Write([]byte("i\xff\xff\xff\xff"))
			return err
		}, "malformed frame: payload of 4294967295 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, running, ended := untilCancelled()
			c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo"))
			waitFor(t, running)
			require.NoError(t, tt.send(c.w, c.Conn))
			assert.Equal(t, result{fault: tt.fault, code: execproto.ExitRefused}, c.rest())
			assert.ErrorIs(t, waitFor(t, ended), execproto.ErrFrame)
		})
	}
}

// TestFramesSignal: signals reach a tool that does not read its input, in order.
func TestFramesSignal(t *testing.T) {
	e, running, _ := untilCancelled()
	c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo"), "X-Aifo-Exec-Id: abc")
	waitFor(t, running)
	require.NoError(t, c.w.Write(execproto.FrameStdin, make([]byte, execproto.InitialCredit)))
	names := []string{"INT", "QUIT", "TSTP", "CONT", "USR1", "USR2", "KILL", "INT"}
	for _, n := range names {
		require.NoError(t, c.w.Write(execproto.FrameSignal, []byte(n)))
	}
	for _, n := range names {
		assert.Equal(t, "rust/abc/"+n, waitFor(t, e.signals))
	}
}

// TestFramesSlowSignal: a signal that is not delivered yet keeps no input back.
func TestFramesSlowSignal(t *testing.T) {
	e := newFakeExecutor(nil)
	e.signals = make(chan string) // delivery blocks
	running := make(chan bool, 1)
	e.run = func(_ context.Context, c Call) (int, error) {
		running <- true
		_, err := io.ReadAll(c.Stdin)
		return 0, err
	}
	c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo"))
	waitFor(t, running)
	require.NoError(t, c.w.Write(execproto.FrameSignal, []byte("INT")))
	require.NoError(t, c.w.Write(execproto.FrameStdinEOF, nil))
	assert.Equal(t, result{}, c.rest())
}

func TestFramesTooManySignals(t *testing.T) {
	e, running, _ := untilCancelled()
	e.signals = make(chan string)
	c := upgradeOn(t, serve(t, testConfig(e)).dial(t), form("cargo"))
	waitFor(t, running)
	for range maxSignals + 2 { // one more is in delivery
		require.NoError(t, c.w.Write(execproto.FrameSignal, []byte("INT")))
	}
	assert.Equal(t, "malformed frame: more than 64 signals not yet delivered", c.rest().fault)
}

// TestFramesBackPressure: a client that does not read holds up its own tool and
// nobody else's, and loses nothing.
func TestFramesBackPressure(t *testing.T) {
	var written, stalled chan int
	const total = 100
	change := func(cfg *Config) {
		written, stalled = make(chan int, total), make(chan int)
		cfg.Executor = newFakeExecutor(func(_ context.Context, c Call) (int, error) {
			if len(c.Argv) > 1 {
				return 0, nil
			}
			for i := range total {
				if _, err := c.Stdout.Write(bytes.Repeat([]byte{byte(i)}, 1000)); err != nil {
					return 0, err
				}
				written <- i
			}
			return 0, nil
		})
	}
	inBubble(t, change, func(t bubble) {
		c := upgradeOn(t, t.dial(), form("cargo"))
		other := upgradeOn(t, t.dial(), form("cargo", "other"))
		assert.Equal(t, result{}, other.rest())
		other.Close()
		select {
		case <-stalled:
		case <-time.After(time.Hour):
		}
		assert.LessOrEqual(t, len(written), 5, "output is piling up") // upgradeOn's own buffer took some
		assert.Len(t, c.rest().stdout, total*1000)
		c.Close()
	})
}

// TestFramesStdinIsBounded: a tool that does not read gets no more credit.
func TestFramesStdinIsBounded(t *testing.T) {
	granted := 0
	b := newInbox(func(n uint32) error { granted += int(n); return nil })
	piece := make([]byte, execproto.MaxPayload)
	for range execproto.InitialCredit / len(piece) {
		require.NoError(t, b.receive(piece))
	}
	require.ErrorIs(t, b.receive([]byte{1}), execproto.ErrFrame)
	n, err := b.Read(make([]byte, 1000))
	require.NoError(t, err)
	assert.Equal(t, 1000, n)
	assert.Zero(t, granted, "credit comes a payload at a time")
	_, err = io.ReadFull(b, make([]byte, len(piece)-1000))
	require.NoError(t, err)
	assert.Equal(t, len(piece), granted)
	require.NoError(t, b.receive(piece))
}

// TestFramesUnreadInputIsReleased: an executor that waits for its copy of stdin
// in the background is let go when the call ends, and the exit code arrives
// although input is unread.
func TestFramesUnreadInputIsReleased(t *testing.T) {
	released := make(chan error, 1)
	s := serve(t, testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		go func() {
			_, err := io.Copy(io.Discard, c.Stdin)
			released <- err
		}()
		return 12, nil
	})))
	c := upgradeOn(t, s.dial(t), form("cargo"))
	require.NoError(t, c.w.Write(execproto.FrameStdin, make([]byte, execproto.InitialCredit)))
	res := c.rest()
	res.credit = 0 // the copy may have read some
	assert.Equal(t, result{code: 12}, res)
	assert.ErrorIs(t, waitFor(t, released), io.ErrClosedPipe)
}

// TestFramesFailures: docs/protocol.md, "Ends and time limits".
func TestFramesFailures(t *testing.T) {
	fails := newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		io.WriteString(c.Stdout, "half")
		return 0, errTest
	})
	c := upgradeOn(t, serve(t, testConfig(fails)).dial(t), form("cargo"))
	assert.Equal(t, result{stdout: "half", fault: "no such sidecar", code: 86}, c.rest())

	cfg := testConfig(exit(0, ""))
	cfg.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(context.Context, string) error { return errTest }}
	c = upgradeOn(t, serve(t, cfg).dial(t), form("cargo"))
	assert.Equal(t, result{fault: "wait for the rust sidecar: no such sidecar", code: 86}, c.rest())
}

func TestFramesTimeLimit(t *testing.T) {
	e := newFakeExecutor(func(ctx context.Context, _ Call) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	inBubble(t, func(cfg *Config) { cfg.Executor = e; cfg.MaxRuntime = 90 * time.Second }, func(t bubble) {
		c := upgradeOn(t, t.dial(), form("cargo"))
		assert.Equal(t, result{fault: "tool call ended after its time limit of 1m30s", code: 124}, c.rest())
		c.Close()
	})
}

// TestFramesWaitIsTold: a client is told once that its sidecar starts, and only
// if that takes a while.
func TestFramesWaitIsTold(t *testing.T) {
	const notice = "aifo-shim: waiting for the rust sidecar to start"
	for _, tt := range []struct {
		wait       time.Duration
		keys, text string
	}{{readyNotice / 2, "", ""}, {time.Hour, "", notice + "\n"}, {time.Hour, "&tty=1", notice + "\r\n"}} {
		change := func(cfg *Config) {
			cfg.Executor = exit(0, "done")
			cfg.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(ctx context.Context, _ string) error {
				<-time.After(tt.wait)
				return nil
			}}
		}
		inBubble(t, change, func(t bubble) {
			c := upgradeOn(t, t.dial(), form("cargo")+tt.keys)
			assert.Equal(t, result{stdout: "done", stderr: tt.text}, c.rest())
			c.Close()
		})
	}
}

// TestFramesLingerIsBounded: a client that does not close after the last frame
// keeps the connection, but for a while only.
func TestFramesLingerIsBounded(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Executor = exit(0, "") }, func(t bubble) {
		start := time.Now()
		c := upgradeOn(t, t.dial(), form("cargo"))
		c.rest()
		_, err := c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF)
		assert.Equal(t, lingerTime, time.Since(start))
	})
}
