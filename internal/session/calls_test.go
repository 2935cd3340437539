package session

import (
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// callsOf returns a session that other processes can tell of their calls, and what it hears.
func callsOf(t *testing.T) (*Session, <-chan string) {
	t.Helper()
	runtime := t.TempDir()
	_, dir := lock.Session(runtime, "s1")
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := &Session{Plan: plan.Plan{ID: "s1"}, Facts: hostfacts.Facts{RuntimeDir: runtime}, Log: slog.New(slog.DiscardHandler)}
	heard := make(chan string, 10)
	s.listenCalls(func(kind string) func() {
		heard <- "begin " + kind
		return func() { heard <- "end " + kind }
	})
	return s, heard
}

// endCalls does what the end of the session does.
func endCalls(t *testing.T, s *Session) {
	t.Helper()
	for _, undo := range s.undo {
		require.NoError(t, undo(t.Context()))
	}
}

func requireHeard(t *testing.T, heard <-chan string, want string) {
	t.Helper()
	select {
	case got := <-heard:
		require.Equal(t, want, got)
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing is heard, want %q", want)
	}
}

// TestCallsOfOthers: a command that another process runs in a sidecar is a call from its
// beginning to its end, or to the session's.
func TestCallsOfOthers(t *testing.T) {
	s, heard := callsOf(t)
	runtime := s.Facts.RuntimeDir
	node := joinCalls(runtime, "s1", "node")
	requireHeard(t, heard, "begin node")
	rust := joinCalls(runtime, "s1", "rust")
	requireHeard(t, heard, "begin rust")
	node()
	requireHeard(t, heard, "end node")
	endCalls(t, s)
	requireHeard(t, heard, "end rust")
	rust()
	joinCalls(runtime, "s1", "node")() // nobody is there any more
	require.Empty(t, heard)
}

// TestNoCall: who names no kind has begun none.
func TestNoCall(t *testing.T) {
	s, heard := callsOf(t)
	conn, err := net.Dial("unix", localSocket(s.Facts.RuntimeDir, "s1", callsSocket))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, strings.Repeat("x", maxCallLine)+"\n")
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err, "it is closed")
	endCalls(t, s)
	require.Empty(t, heard)
}
