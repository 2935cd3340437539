//go:build linux

package resident_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/resident"
)

// newFileServer returns an executor whose links take files, which become the
// standard streams of tool.
func newFileServer(t *testing.T, tool func(c *call, in io.Reader, out, errOut io.WriteCloser)) (*server, *resident.Executor) {
	t.Helper()
	s, e := newServer(t, func(c *call) {
		if len(c.files) != 3 {
			panic("not with files")
		}
		tool(c, c.files[0], c.files[1], c.files[2])
		for _, f := range c.files {
			_ = f.Close() // the tool may have
		}
	})
	s.files = true
	return s, e
}

// TestPipes: streams in full and apart, the end of input, and the exit code.
func TestPipes(t *testing.T) {
	const size = 5 << 20
	_, e := newFileServer(t, func(c *call, in io.Reader, out, errOut io.WriteCloser) {
		text, _ := io.ReadAll(in)
		_, _ = fmt.Fprintf(errOut, "%d", len(text))
		_, _ = out.Write(text)
		c.exit(6)
	})
	text := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	c := request("id")
	var out, errOut bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(text), &out, &errOut
	code, err := e.Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 6, code)
	require.True(t, bytes.Equal(text, out.Bytes()))
	require.Equal(t, fmt.Sprint(size), errOut.String())

	code, err = e.Run(t.Context(), request("silent"))
	require.NoError(t, err, "without input, and nobody for the output")
	require.Equal(t, 6, code)
}

// TestPipesUnreadInput: the client of a tool that does not read can still send.
func TestPipesUnreadInput(t *testing.T) {
	sent := make(chan struct{})
	_, e := newFileServer(t, func(c *call, in io.Reader, _, _ io.WriteCloser) {
		in.(*os.File).Close()
		<-sent
		c.exit(0)
	})
	r, w := io.Pipe()
	c := request("id")
	c.Stdin = r
	done := begin(t.Context(), e, c)
	for range 100 {
		_, err := w.Write(make([]byte, 10000))
		require.NoError(t, err)
	}
	close(sent)
	require.Equal(t, result{}, receive(t, done))
}

// TestPipesInputThatBreaksOff ends the call before the tool can take it for the
// end of its input.
func TestPipesInputThatBreaksOff(t *testing.T) {
	_, e := newFileServer(t, func(c *call, in io.Reader, _, _ io.WriteCloser) {
		ended := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, in)
			close(ended)
		}()
		c.await("k")
		select {
		case <-ended:
			c.exit(0)
		default:
			c.exit(1)
		}
	})
	r, w := io.Pipe()
	c := request("id")
	c.Stdin = r
	done := begin(t.Context(), e, c)
	_, err := io.WriteString(w, "some")
	require.NoError(t, err)
	broken := errors.New("the client is gone")
	require.NoError(t, w.CloseWithError(broken))
	require.ErrorIs(t, receive(t, done).err, broken)
}

// TestPipesOutputAfterExit: what comes late from those whom the tool left is
// passed on for a while, and read for ever.
func TestPipesOutputAfterExit(t *testing.T) {
	over := make(chan struct{})
	written := make(chan error, 1)
	_, e := newFileServer(t, func(c *call, _ io.Reader, out, errOut io.WriteCloser) {
		_ = errOut.Close()
		_, _ = io.WriteString(out, "in time ")
		c.exit(3)
		_, _ = io.WriteString(out, "late")
		<-over
		_, err := out.Write(make([]byte, 10<<20))
		written <- err
	})
	c := request("id")
	var out bytes.Buffer
	c.Stdout = &out
	code, err := e.Run(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 3, code)
	require.Equal(t, "in time late", out.String())
	close(over)
	require.NoError(t, receive(t, written))
}

// TestPipesNobodyReads ends the call, and does not keep the tool from ending.
func TestPipesNobodyReads(t *testing.T) {
	_, e := newFileServer(t, func(c *call, _ io.Reader, out, _ io.WriteCloser) {
		_, _ = out.Write(make([]byte, 1<<20))
		c.await("k")
		_, _ = out.Write(make([]byte, 1<<20))
		c.exit(0)
	})
	c := request("id")
	r, w := io.Pipe()
	gone := errors.New("gone")
	_ = r.CloseWithError(gone)
	c.Stdout = w
	require.ErrorIs(t, receive(t, begin(t.Context(), e, c)).err, gone)
}

// TestPipesLostLink: the call fails although its tool goes on, and the tool ends
// of what it writes.
func TestPipesLostLink(t *testing.T) {
	written := make(chan error, 1)
	s, e := newFileServer(t, func(c *call, _ io.Reader, out, _ io.WriteCloser) {
		var err error
		for err == nil {
			_, err = io.WriteString(out, "on and on\n")
		}
		written <- err
	})
	first := make(chan struct{}, 1)
	c := request("id")
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		select {
		case first <- struct{}{}:
		default:
		}
		return len(p), nil
	})
	done := begin(t.Context(), e, c)
	receive(t, first)
	require.NoError(t, s.latest().conn.Close())
	require.ErrorContains(t, receive(t, done).err, "the call's result is unknown")
	require.Error(t, receive(t, written))
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestPipesEnded: a call that is ended does not wait for a
// writer longer than that takes, and writes nothing afterwards.
func TestPipesEnded(t *testing.T) {
	_, e := newFileServer(t, func(c *call, _ io.Reader, out, _ io.WriteCloser) {
		c.await("k")
		go func() {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(out, strings.Repeat("x", 1000))
			}
		}()
		c.exit(130)
		<-c.in // until the server ends
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	c := request("id")
	returned := make(chan struct{})
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		select {
		case <-returned:
			t.Error("written after Run has returned")
		default:
		}
		return len(p), nil
	})
	done := begin(ctx, e, c)
	enough := errors.New("enough")
	cancel(enough)
	require.ErrorIs(t, receive(t, done).err, enough)
	close(returned)
}

// TestPipesSlowReader: one that does not read holds up nobody else.
func TestPipesSlowReader(t *testing.T) {
	const size = 3 << 20
	_, e := newFileServer(t, func(c *call, _ io.Reader, out, _ io.WriteCloser) {
		if c.start.ID == "slow" {
			_, _ = out.Write(make([]byte, size))
		}
		c.exit(9)
	})
	r, w := io.Pipe()
	c := request("slow")
	c.Stdout = w
	done := begin(t.Context(), e, c)
	_, err := io.ReadFull(r, make([]byte, 100))
	require.NoError(t, err)
	for i := range 50 {
		code, err := e.Run(t.Context(), request(fmt.Sprint("quick", i)))
		require.NoError(t, err)
		require.Equal(t, 9, code)
	}
	_, err = io.ReadFull(r, make([]byte, size-100))
	require.NoError(t, err)
	require.Equal(t, result{code: 9}, receive(t, done))
}

// TestPipesManySlowReaders: only some of them hold a large piece, and the others
// go on in small ones.
func TestPipesManySlowReaders(t *testing.T) {
	const more = 10
	_, e := newFileServer(t, func(c *call, _ io.Reader, out, _ io.WriteCloser) {
		_, _ = out.Write(make([]byte, 2<<20))
		c.exit(0)
	})
	stuck := make(chan struct{})
	results := make(chan result)
	for i := range resident.MaxLarge + more {
		c := request(fmt.Sprint("slow", i))
		c.Stdout = writerFunc(func(p []byte) (int, error) {
			if len(p) > execproto.MaxPayload {
				<-stuck
			}
			return len(p), nil
		})
		done := begin(t.Context(), e, c)
		go func() { results <- <-done }()
	}
	for range more {
		require.Equal(t, result{}, receive(t, results))
	}
	close(stuck)
	for range resident.MaxLarge {
		require.Equal(t, result{}, receive(t, results))
	}
	require.Zero(t, resident.LargeInUse())
}
