package execproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// witness keeps what it is told of calls, a line each without times.
type witness struct {
	mu    sync.Mutex
	lines []string
	ended chan Ended
}

func newWitness() *witness { return &witness{ended: make(chan Ended, 8)} }

func (w *witness) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *witness) observe(o Observed) func(Ended) {
	w.say("begin %s %s %q %s v%s", o.ID, o.Kind, o.Argv, o.Cwd, o.Proto)
	return func(e Ended) {
		w.say("end %s %d %s %q %s in=%s out=%s err=%s", o.ID, e.Code, e.Cause, e.Message, e.Streams, number(e.Stdin), number(e.Stdout), number(e.Stderr))
		w.ended <- e
	}
}

func number(n *int64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

// echo is a tool that copies its input to both outputs.
func echo(code int) *fakeExecutor {
	return newFakeExecutor(func(_ context.Context, c Call) (int, error) {
		var in []byte
		if c.Stdin != nil {
			var err error
			if in, err = io.ReadAll(c.Stdin); err != nil {
				return 0, err
			}
		}
		if _, err := c.Stdout.Write(append(in, '!')); err != nil {
			return 0, err
		}
		_, err := c.Stderr.Write(in)
		return code, err
	})
}

func TestObserve(t *testing.T) {
	w := newWitness()
	cfg := testConfig(echo(3))
	cfg.Observe = w.observe
	s := serve(t, cfg)
	s.send(t, post("/exec", form("cargo", "a b"), auth, proto1, "X-Aifo-Exec-Id: one"))
	s.send(t, post("/exec", form("cargo")+"&cwd=/workspace/x", auth, proto2, "X-Aifo-Exec-Id: two"))
	c := upgradeOn(t, s.dial(t), form("cargo"), "X-Aifo-Exec-Id: three")
	require.NoError(t, c.w.Write('i', []byte("hello")))
	require.NoError(t, c.w.Write('z', nil))
	require.Equal(t, int32(3), c.rest().code)
	s.send(t, post("/exec", form("npm", "ci"), auth, proto2))
	s.send(t, post("/exec", form("rm", "-rf"), auth, proto1))
	s.send(t, post("/exec", form("cargo"), proto1)) // of a stranger
	s.send(t, post("/exec", form("cargo"), auth))
	require.NoError(t, s.Shutdown(t.Context()))
	require.Equal(t, []string{
		`begin one rust ["cargo" "a b"] /workspace v1`,
		`end one 3  "" pipes in=0 out=1 err=0`,
		`begin two rust ["cargo"] /workspace/x v2`,
		`end two 3  "" pipes in=0 out=1 err=?`, // both outputs are one
		`begin three rust ["cargo"] /workspace v3`,
		`end three 3  "" pipes in=5 out=6 err=5`,
		`begin   ["npm" "ci"] /workspace v2`,
		`end  86 refused "tool 'npm' not available in running sidecars; start an appropriate toolchain (e.g., --toolchain c-cpp or --toolchain rust)"  in=? out=? err=?`,
		`begin   ["rm" "-rf"] /workspace v1`,
		`end  86 refused "forbidden"  in=? out=? err=?`,
		`begin   ["cargo"] /workspace v`,
		`end  86 refused "Unsupported shim protocol; expected 1 or 2"  in=? out=? err=?`,
	}, w.lines)
}

// TestObserveEnds: a call that does not end by itself is told of once, with its cause.
func TestObserveEnds(t *testing.T) {
	e, running, _ := untilCancelled()
	for cause, end := range map[Cause]func(t *testing.T, s *server, c *frameClient){
		CauseGone:    func(_ *testing.T, _ *server, c *frameClient) { c.Close() },
		CauseEnding:  func(t *testing.T, s *server, _ *frameClient) { require.NoError(t, s.Shutdown(t.Context())) },
		CauseTimeout: func(_ *testing.T, _ *server, c *frameClient) { c.rest() },
		CauseFailed: func(t *testing.T, _ *server, c *frameClient) {
			require.NoError(t, c.w.Write('o', nil)) // what only the proxy sends
		},
	} {
		t.Run(string(cause), func(t *testing.T) {
			w := newWitness()
			cfg := testConfig(e)
			cfg.Observe = w.observe
			if cause == CauseTimeout {
				cfg.MaxRuntime = 10 * time.Millisecond
			}
			s := serve(t, cfg)
			c := upgradeOn(t, s.dial(t), form("cargo"))
			waitFor(t, running)
			end(t, s, c)
			got := waitFor(t, w.ended)
			require.Equal(t, cause, got.Cause)
			require.NotEmpty(t, got.Message)
			require.NoError(t, s.Shutdown(t.Context()))
			require.Len(t, w.lines, 2)
		})
	}
}

// TestObserveWaits tells the wait for a sidecar from the rest, and one that fails.
func TestObserveWaits(t *testing.T) {
	w := newWitness()
	cfg := testConfig(exit(0, ""))
	cfg.Observe = w.observe
	ready := make(chan error)
	cfg.Sidecars = &fakeSidecars{has: []string{"rust"}, ready: func(context.Context, string) error { return <-ready }}
	s := serve(t, cfg)
	c := upgradeOn(t, s.dial(t), form("cargo"))
	ready <- nil
	require.Zero(t, c.rest().code)
	got := waitFor(t, w.ended)
	require.Positive(t, got.Waited)
	require.GreaterOrEqual(t, got.Duration, got.Waited)
	c = upgradeOn(t, s.dial(t), form("cargo"))
	ready <- errTest
	require.EqualValues(t, 86, c.rest().code)
	got = waitFor(t, w.ended)
	require.Equal(t, CauseFailed, got.Cause)
	require.Equal(t, "wait for the rust sidecar: "+errTest.Error(), got.Message)
	require.Empty(t, got.Streams)
}

// TestObserveKeepsOneOutputOne: an executor makes one pipe of two equal outputs.
func TestObserveKeepsOneOutputOne(t *testing.T) {
	var out bytes.Buffer
	o := &observation{}
	c := o.count(Call{Stdout: &out, Stderr: &out})
	require.True(t, c.Stdout == c.Stderr)
	_, err := io.Copy(c.Stderr, strings.NewReader("abc"))
	require.NoError(t, err)
	require.EqualValues(t, 3, o.counts.out.Load())
}

func TestObserveNothing(t *testing.T) {
	var none *observation
	call := Call{ID: "x"}
	require.Equal(t, call, none.count(call))
	none.wait(time.Second)
	none.end(outcome{})
	cfg := testConfig(exit(0, ""))
	cfg.Observe = func(Observed) func(Ended) { return nil } // not interested
	s := serve(t, cfg)
	require.Equal(t, "0", parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto1))).exit)
}
