//go:build linux

package resident_test

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

// TestDockerConversations: neither an hour's worth of questions to one tool nor a
// thousand tools, many of them at once, leave a goroutine or a descriptor behind.
func TestDockerConversations(t *testing.T) {
	for name, socket := range map[string]bool{"stdio": false, "socket": true} {
		t.Run(name, func(t *testing.T) {
			s := newSidecar(t, socket)
			s.talk(t, 100, 1)
			goroutines, files := runtime.NumGoroutine(), openFiles(t)
			s.talk(t, 1, 3600)
			for range 10 {
				s.talk(t, 100, 3)
			}
			awaitAtMost(t, goroutines, files)
		})
	}
}

// awaitAtMost waits until there are no more goroutines and descriptors. It looks
// by itself: what testify waits with is a goroutine too.
func awaitAtMost(t *testing.T, goroutines, files int) {
	t.Helper()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines || openFiles(t) > files; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines of %d, %d descriptors of %d", runtime.NumGoroutine(), goroutines, openFiles(t), files)
		}
	}
}

// talk has conversations with so many tools at once.
func (s *sidecar) talk(t *testing.T, tools, rounds int) {
	t.Helper()
	all := make([]*conversation, tools)
	for i := range all {
		all[i] = s.meet(t, fmt.Sprint("talk", i))
	}
	for _, c := range all {
		c.rounds(t, 1) // all have begun
	}
	atFirst := runtime.NumGoroutine()
	for _, c := range all {
		c.rounds(t, rounds)
	}
	// Those of a call's other output may begin after its first answer.
	require.LessOrEqual(t, runtime.NumGoroutine(), atFirst+2*tools+10)
	for _, c := range all {
		c.end(t)
	}
}

// conversation is a call of a tool that repeats what it is told.
type conversation struct {
	to   *io.PipeWriter
	from *bufio.Reader
	done <-chan result
}

func (s *sidecar) meet(t *testing.T, id string) *conversation {
	t.Helper()
	in, to := io.Pipe()
	from, out := io.Pipe()
	call := execproxy.Call{
		ID: id, Kind: "rust", Cwd: "/workspace", Argv: []string{"cat"}, Stdin: in, Stdout: out, Stderr: io.Discard,
	}
	return &conversation{to: to, from: bufio.NewReader(from), done: begin(t.Context(), s.resident, call)}
}

func (c *conversation) rounds(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		question := fmt.Sprintf("question %d\n", i)
		_, err := io.WriteString(c.to, question)
		require.NoError(t, err)
		answer, err := c.from.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, question, answer)
	}
}

func (c *conversation) end(t *testing.T) {
	t.Helper()
	require.NoError(t, c.to.Close())
	require.Equal(t, result{}, receive(t, c.done))
}
