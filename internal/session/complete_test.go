package session

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// image is an executor of an image: what it has, and what commands come to.
type image struct {
	executor
	has map[string]bool
	run func(command string) (int, error)

	mu   sync.Mutex
	runs []string
}

func (i *image) Offers(_ context.Context, kind, tool string) (bool, error) {
	i.note("which " + kind + " " + tool)
	return i.has[tool], nil
}

func (i *image) Run(_ context.Context, c execproxy.Call) (int, error) {
	command := strings.Join(c.Argv, " ")
	i.note(c.Cwd + " " + strings.Join(c.Env, ",") + " " + command)
	code, err := i.run(command)
	_, _ = fmt.Fprintf(c.Stderr, "output of\n%s\n", command)
	return code, err
}

func (i *image) note(what string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.runs = append(i.runs, what)
}

func (i *image) count(what string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, r := range i.runs {
		if strings.HasSuffix(r, what) {
			n++
		}
	}
	return n
}

func rustCall(command string) execproxy.Call {
	return execproxy.Call{Kind: "rust", Cwd: "/workspace/sub", Env: []string{"A=b"}, Argv: strings.Fields(command)}
}

// rustup is an image of which one component is missing until it is added.
func rustup() *image {
	var added bool
	i := &image{has: map[string]bool{"rustup": true}}
	i.run = func(command string) (int, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		added = added || strings.HasPrefix(command, "rustup component add")
		if added {
			return 0, nil
		}
		return 1, nil
	}
	return i
}

// TestCompleteOnce: many calls at once ask for a component; it is got once, as
// the calls would run, and told to whoever is kept waiting by it.
func TestCompleteOnce(t *testing.T) {
	i := rustup()
	c := newCompleter(toolchain.Set{}, i)
	var told []string
	var mu sync.Mutex
	tell := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, text)
	}
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if err := c.complete(t.Context(), rustCall("cargo clippy"), tell); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.Equal(t, []string{"completing the rust sidecar: rustup component add clippy"}, told)
	require.Equal(t, 1, i.count("/workspace/sub A=b rustup component add clippy"))
	require.Equal(t, 8, i.count("/workspace/sub A=b rustup which cargo-clippy"))
}

// TestCompleteNothing: other calls cost nothing, and an image without rustup one
// question.
func TestCompleteNothing(t *testing.T) {
	i := &image{has: map[string]bool{}}
	c := newCompleter(toolchain.Set{}, i)
	require.NoError(t, c.complete(t.Context(), rustCall("cargo build"), nil))
	require.Empty(t, i.runs)
	for range 3 {
		require.NoError(t, c.complete(t.Context(), rustCall("cargo fmt"), nil))
	}
	require.Equal(t, []string{"which rust rustup"}, i.runs)
}

// TestCompleteFails: the call is not made, is told why, and the next one tries again.
func TestCompleteFails(t *testing.T) {
	i := &image{has: map[string]bool{"rustup": true}, run: func(string) (int, error) { return 7, nil }}
	c := newCompleter(toolchain.Set{}, i)
	for n := range 2 {
		err := c.complete(t.Context(), rustCall("cargo fmt"), func(string) {})
		var failed *CompletionError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, CompletionError{
			Kind: "rust", Argv: []string{"rustup", "component", "add", "rustfmt"}, Code: 7, Output: "output of rustup component add rustfmt",
		}, *failed)
		require.Equal(t, n+1, i.count("rustup component add rustfmt"))
	}
}

// TestCompleteCannot: what there is no way to get is told, and the call made.
func TestCompleteCannot(t *testing.T) {
	i := &image{has: map[string]bool{}, run: func(string) (int, error) { return 101, nil }}
	var told []string
	require.NoError(t, newCompleter(toolchain.Set{}, i).complete(t.Context(), rustCall("cargo nextest run"), func(text string) { told = append(told, text) }))
	require.Len(t, told, 1)
	require.Contains(t, told[0], "cargo install --locked cargo-nextest")

	i.run = func(string) (int, error) { return 0, nil }
	require.NoError(t, newCompleter(toolchain.Set{}, i).complete(t.Context(), rustCall("cargo nextest run"), nil), "the image has it")
}

// TestCompleteEnds with its caller, also while another call is at it.
func TestCompleteEnds(t *testing.T) {
	begun, end := make(chan bool), make(chan bool)
	i := &image{has: map[string]bool{"rustup": true}}
	i.run = func(string) (int, error) {
		begun <- true
		<-end
		return 0, nil
	}
	c := newCompleter(toolchain.Set{}, i)
	first := make(chan error)
	go func() { first <- c.complete(t.Context(), rustCall("cargo fmt"), nil) }()
	<-begun
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnded)
	require.ErrorIs(t, c.complete(ctx, rustCall("cargo fmt"), nil), errEnded)
	close(end)
	require.NoError(t, <-first)
}

func TestTail(t *testing.T) {
	var out tail
	for range 3 {
		n, err := out.Write([]byte(strings.Repeat("x", tailSize) + "\nthe end"))
		require.NoError(t, err)
		require.Equal(t, tailSize+8, n)
	}
	require.True(t, strings.HasSuffix(out.String(), "x the end"))
	require.Len(t, out.String(), tailSize)
}
