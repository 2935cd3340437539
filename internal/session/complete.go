package session

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// completer gets what a sidecar's image lacks before the first call that asks
// for it. Only one call of a kind does so at a time; another then finds it there.
type completer struct {
	kinds toolchain.Set
	exec  executor
	ids   atomic.Uint64

	mu     sync.Mutex
	turns  map[string]chan struct{} // by kind; has room for the one whose turn it is
	absent map[string]bool          // programs that an image has not, as kind/program
}

func newCompleter(kinds toolchain.Set, e executor) *completer {
	return &completer{kinds: kinds, exec: e, turns: map[string]chan struct{}{}, absent: map[string]bool{}}
}

// CompletionError says that what a call asks for could not be got.
type CompletionError struct {
	Kind   string
	Argv   []string // what was to get it
	Code   int
	Output string // the end of what that printed
}

func (e *CompletionError) Error() string {
	return fmt.Sprintf("complete the %s sidecar: %s: exit code %d: %s", e.Kind, strings.Join(e.Argv, " "), e.Code, e.Output)
}

// Hint says what it may need.
func (e *CompletionError) Hint() string {
	return "it may need the network; or use an image that has it: --toolchain KIND=IMAGE"
}

// complete is execproxy.Config's Complete.
func (c *completer) complete(ctx context.Context, call execproxy.Call, tell func(string)) error {
	kind, _ := c.kinds.Lookup(call.Kind)
	f, ok := kind.FetchFor(call.Argv)
	if !ok {
		return nil
	}
	can, err := c.offers(ctx, call.Kind, f.Get[0])
	if err != nil || !can && f.Else == "" {
		return err
	}
	done, err := c.takeTurn(ctx, call.Kind)
	if err != nil {
		return err
	}
	defer done()
	if code, _, err := c.command(ctx, call, f.Have); err != nil || code == 0 {
		return err
	}
	if !can {
		tell(f.Else)
		return nil
	}
	tell("completing the " + call.Kind + " sidecar: " + strings.Join(f.Get, " "))
	code, output, err := c.command(ctx, call, f.Get)
	if err == nil && code != 0 {
		err = &CompletionError{Kind: call.Kind, Argv: f.Get, Code: code, Output: output}
	}
	return err
}

// offers reports whether the image of a kind has the program. A no stays true.
func (c *completer) offers(ctx context.Context, kind, program string) (bool, error) {
	key := kind + "/" + program
	c.mu.Lock()
	absent := c.absent[key]
	c.mu.Unlock()
	if absent {
		return false, nil
	}
	can, err := c.exec.Offers(ctx, kind, program)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.absent[key] = err == nil && !can
	return can, err
}

// takeTurn waits until no other call completes the sidecar of kind. The function
// that it returns lets the next one.
func (c *completer) takeTurn(ctx context.Context, kind string) (done func(), err error) {
	c.mu.Lock()
	turn := c.turns[kind]
	if turn == nil {
		turn = make(chan struct{}, 1)
		c.turns[kind] = turn
	}
	c.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// command runs a command where and as the call would run, and returns its exit
// code and the end of its output.
func (c *completer) command(ctx context.Context, call execproxy.Call, argv []string) (int, string, error) {
	var out tail
	code, err := c.exec.Run(ctx, execproxy.Call{
		ID: fmt.Sprintf("complete-%d", c.ids.Add(1)), Kind: call.Kind, Cwd: call.Cwd, Env: call.Env,
		Argv: argv, Stdout: &out, Stderr: &out,
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("complete the %s sidecar: %w", call.Kind, err)
	}
	return code, out.String(), err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 1000

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailSize):]
	return len(p), nil
}

// String returns it as one line, for a message.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.text)), " ")
}
