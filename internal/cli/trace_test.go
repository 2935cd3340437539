package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

var traceBegan = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

func tracedCall(id string, state calltrace.State, code int) calltrace.Record {
	r := calltrace.Record{Time: traceBegan, ID: id, State: state, Tool: "cargo", Args: []string{id}, Kind: "rust", Cwd: "/workspace"}
	if state == calltrace.Ended {
		r.ExitCode = &code
	}
	return r
}

// TestTraceView: on a terminal calls under way are drawn below those that have ended, and
// removed before anything else is printed.
func TestTraceView(t *testing.T) {
	t.Setenv("TZ", "UTC")
	var out bytes.Buffer
	v := &traceView{w: &out, color: true, shows: func(calltrace.Record) bool { return true }, size: func() (int, int) { return 80, 3 }}
	take := func(r calltrace.Record) string {
		out.Reset()
		require.NoError(t, v.take(r))
		return out.String()
	}
	draw := func() string {
		out.Reset()
		v.draw(traceBegan.Add(1500 * time.Millisecond))
		return out.String()
	}
	require.Empty(t, draw())
	require.Empty(t, take(tracedCall("a", calltrace.Running, 0)))
	first := draw()
	require.Equal(t, 1, strings.Count(first, "\n"))
	require.Contains(t, first, "1.5s  running")
	require.Equal(t, "\x1b[1A\r\x1b[J"+first, draw())
	require.Empty(t, take(tracedCall("b", calltrace.Running, 0)))
	require.Empty(t, take(tracedCall("c", calltrace.Running, 0)))
	require.Equal(t, 2, strings.Count(draw(), "\n"), "there is no room for three")
	ended := take(tracedCall("a", calltrace.Ended, 1))
	require.True(t, strings.HasPrefix(ended, "\x1b[2A\r\x1b[J"), "%q", ended)
	require.Contains(t, ended, ui.Red+"1      "+ui.Reset)
	require.NotContains(t, draw(), "cargo a")
	require.NotContains(t, take(tracedCall("b", calltrace.Ended, 0)), ui.Red)
}

// TestTraceOfCallsThatRun: they have taken the time until now, and count as slow by it.
func TestTraceOfCallsThatRun(t *testing.T) {
	runs, ended := tracedCall("a", calltrace.Running, 0), tracedCall("b", calltrace.Ended, 0)
	runs.DurationMS, ended.DurationMS = 500, 500
	calls := traceFlags{slow: 10 * time.Second}.chosen([]calltrace.Record{runs, ended}, traceBegan.Add(time.Minute))
	require.Len(t, calls, 1)
	require.Equal(t, time.Minute, calls[0].Duration())
}

func TestTraceViewElsewhere(t *testing.T) {
	var out bytes.Buffer
	v := &traceView{w: &out, shows: calltrace.Record.Failed}
	require.NoError(t, v.take(tracedCall("a", calltrace.Running, 0)))
	v.draw(time.Now())
	require.NoError(t, v.take(tracedCall("a", calltrace.Ended, 0)))
	require.Empty(t, out.String())
	require.NoError(t, v.take(tracedCall("b", calltrace.Ended, 1)))
	require.NotContains(t, out.String(), "\x1b")
	broken := errors.New("broken pipe")
	v.w = writerFunc(func([]byte) (int, error) { return 0, broken })
	require.ErrorIs(t, v.take(tracedCall("c", calltrace.Ended, 1)), broken)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0ms", 4321 * time.Microsecond: "4.3ms", 12345 * time.Millisecond: "12.3s", 61500 * time.Millisecond: "1m2s", 2 * time.Hour: "2h0m0s",
	} {
		require.Equal(t, want, shortDuration(d))
	}
}
