package execproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// testHeld is a budget that a test exceeds soon, in bytes.
const testHeld = 32 << 20

// live returns how many bytes of memory are in use.
func live() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// memory has f take memory, and requires that the proxy needs no more for it than its
// budget, with room for connections and for what the estimate leaves out.
func (s *server) memory(t *testing.T, f func()) {
	t.Helper()
	before := live()
	f()
	used := live() - before
	t.Logf("%d MiB with a budget of %d MiB", used>>20, s.held.max>>20)
	require.Less(t, used, 2*s.held.max)
	runtime.KeepAlive(s)
}

func serveWithin(t *testing.T, limit int64, e Executor) *server {
	t.Helper()
	s := serve(t, testConfig(e))
	s.held.max = limit
	return s
}

// requireFree requires that nothing is held in the end.
func (s *server) requireFree(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return s.held.used.Load() == 0 }, 20*time.Second, 10*time.Millisecond)
}

// TestHalfSentBodies: bodies that promise much, and never end, take no more memory than the
// budget of the session. Those that fit are served.
func TestHalfSentBodies(t *testing.T) {
	s := serveWithin(t, testHeld, exit(0, ""))
	body := "tool=cargo&x=" + strings.Repeat("y", execproto.MaxBody-len("tool=cargo&x="))
	var open []*pending
	s.memory(t, func() {
		for range 24 {
			before := s.held.used.Load()
			c := s.begin(t, post("/exec", body, auth, proto2), 1)
			if c.refused(t, func() bool { return s.held.used.Load() >= before+execproto.MaxBody }) {
				continue
			}
			open = append(open, c)
		}
	})
	require.NotEmpty(t, open)
	require.LessOrEqual(t, len(open), testHeld/execproto.MaxBody)
	for _, c := range open {
		_, err := io.WriteString(c, "y")
		require.NoError(t, err)
		assert.Equal(t, 200, waitFor(t, c.replied).status)
	}
	s.requireFree(t)
}

// pending is a request that may wait for its reply.
type pending struct {
	net.Conn
	replied chan reply
}

// begin sends a request without its last bytes.
func (s *server) begin(t *testing.T, raw string, last int) *pending {
	t.Helper()
	c := &pending{s.dial(t), make(chan reply, 1)}
	go func() { _, _ = io.WriteString(c, raw[:len(raw)-last]) }() // the proxy may refuse before it has read everything
	go func() {
		if got, err := readReply(bufio.NewReader(c)); err == nil {
			c.replied <- got
		}
	}()
	return c
}

// refused waits until the request was refused for its memory, or goes on.
func (c *pending) refused(t *testing.T, goesOn func() bool) (yes bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		select {
		case got := <-c.replied:
			require.Equal(t, 503, got.status)
			yes = true
		default:
		}
		return yes || goesOn()
	}, 20*time.Second, time.Millisecond)
	return yes
}

// TestPromisedLengthTakesNothing: a length is no reason to take memory.
func TestPromisedLengthTakesNothing(t *testing.T) {
	s := serveWithin(t, testHeld, exit(0, ""))
	const conns = 20
	for range conns {
		s.begin(t, post("/exec", strings.Repeat("y", execproto.MaxBody), auth, proto1), execproto.MaxBody)
	}
	require.Eventually(t, func() bool { return s.held.used.Load() > conns*pieceSize }, 20*time.Second, time.Millisecond)
	assert.Less(t, s.held.used.Load(), int64(1<<20))
}

// untilEnded is a tool that goes on until its call ends, and tells that it runs.
func untilEnded() (e *fakeExecutor, running chan Call) {
	running = make(chan Call)
	return newFakeExecutor(func(ctx context.Context, c Call) (int, error) {
		running <- c
		<-ctx.Done()
		return len(c.Argv), context.Cause(ctx) // the executor has them until then
	}), running
}

func received(ch chan Call) func() bool {
	return func() bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
}

// TestManyArguments: the arguments of calls that go on are in the budget, too, with what they
// take beside their bytes, and of a body nothing else is kept.
func TestManyArguments(t *testing.T) {
	long := strings.Repeat("x", execproto.MaxArgLen)
	for name, tt := range map[string]struct {
		body   string
		atMost int
	}{
		"long":   {form("cargo", repeat(long, 15)...), 9},
		"many":   {"tool=cargo" + strings.Repeat("&arg", execproto.MaxArgs), 6},
		"padded": {"x=" + strings.Repeat("y", 7<<20) + "&tool=cargo", 40},
	} {
		t.Run(name, func(t *testing.T) {
			e, running := untilEnded()
			s := serveWithin(t, testHeld, e)
			calls := 0
			s.memory(t, func() {
				for range 40 {
					if !s.begin(t, post("/exec", tt.body, auth, proto2), 0).refused(t, received(running)) {
						calls++
					}
				}
			})
			assert.Positive(t, calls)
			assert.LessOrEqual(t, calls, tt.atMost)
		})
	}
}

// TestRefusedForMemory: it is the same reply in every version and of every endpoint, at once,
// although the body is not there.
func TestRefusedForMemory(t *testing.T) {
	s := serveWithin(t, 100<<10, exit(0, ""))
	want := "the arguments and input of the calls under way take too much memory; try again when some have ended\n"
	for _, path := range []string{"/exec", "/signal", "/notify", "/tools", "/mcp"} {
		for version := range 3 {
			raw := post(path, form("cargo", strings.Repeat("x", 120<<10)), auth, fmt.Sprintf("X-Aifo-Proto: %d", version+1))
			for _, cut := range []int{0, 10 << 10} {
				c, began := s.dial(t), time.Now()
				_, err := io.WriteString(c, raw[:len(raw)-cut])
				require.NoError(t, err)
				got, err := readReply(bufio.NewReader(c))
				require.NoError(t, err)
				assert.Equal(t, []any{503, "86", want}, []any{got.status, got.exit, got.body}, path)
				assert.Less(t, time.Since(began), bodyTimeout/2)
			}
		}
	}
	got := parseReply(t, s.send(t, post("/exec", form("cargo", strings.Repeat("x", 10<<10)), auth, proto2)))
	assert.Equal(t, 200, got.status, "what fits goes on")
	s.requireFree(t)
}

// TestOthersTakeNoneOfTheBudget: who has no token cannot keep the agent out.
func TestOthersTakeNoneOfTheBudget(t *testing.T) {
	s := serveWithin(t, 200<<10, exit(0, ""))
	for range 20 {
		_, err := io.WriteString(s.dial(t), strings.TrimSuffix(post("/exec", strings.Repeat("y", execproto.MaxBodyNoAuth)), "y"))
		require.NoError(t, err)
	}
	assert.Equal(t, 200, parseReply(t, s.send(t, post("/exec", form("cargo"), auth, proto2))).status)
}

// TestHeadsAreCounted: the head of a request stays as long as its call.
func TestHeadsAreCounted(t *testing.T) {
	e, running := untilEnded()
	s := serveWithin(t, 1<<20, e)
	filler := "X-Filler: " + strings.Repeat("x", 100<<10)
	calls := 0
	for range 10 {
		if !s.begin(t, post("/exec", form("cargo"), auth, proto2, filler), 0).refused(t, received(running)) {
			calls++
		}
	}
	assert.Positive(t, calls)
	assert.Less(t, calls, 6)
}

func TestHeld(t *testing.T) {
	p := New(testConfig(newFakeExecutor(func(context.Context, Call) (int, error) { return 0, nil })))
	p.held.max = 10
	a, b := p.Hold(), p.Hold()
	require.True(t, a.Set(6))
	require.False(t, b.Set(5))
	require.True(t, b.Set(4))
	require.False(t, b.Set(5))
	require.True(t, a.Set(5))
	require.True(t, b.Set(5), "what one gives back another has")
	a.Free()
	b.Free()
	require.Zero(t, p.held.used.Load())
}
