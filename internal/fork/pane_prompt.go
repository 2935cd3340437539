package fork

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Prompt is what a pane shows when its agent has ended. A zero one shows nothing.
type Prompt struct {
	In  *os.File // the pane's terminal; nil: there is nobody to ask
	Out io.Writer
	// Wait is how long the pane stays after an agent that ended well. After one that
	// failed it stays until a key is pressed, so that the reason can be read.
	Wait time.Duration
	// Shell opens a shell on the clone, in a container: in one on the host the user's own
	// prompt could run git where the agent has written its configuration. nil: none.
	Shell func(ctx context.Context) error
}

// answer is what a key means.
type answer int

const (
	stay answer = iota
	leave
	openShell
)

// answerTo returns what key means in a pane whose agent failed or did not.
func answerTo(key byte, failed, hasShell bool) answer {
	const ctrlC, ctrlD = 3, 4
	switch {
	case hasShell && (key == 's' || key == 'S'):
		return openShell
	case failed, key == '\r', key == '\n', key == 'q', key == ctrlC, key == ctrlD:
		return leave
	}
	return stay
}

// ask shows how the agent ended, and returns when the pane may go.
func (p Prompt) ask(ctx context.Context, code int, err error) {
	if p.In == nil || ctx.Err() != nil {
		return
	}
	failed := code != 0 || err != nil
	fmt.Fprintf(p.Out, "\r\naifo-coder: the agent ended with exit code %d\r\n", code)
	if p.wait(ctx, failed) != openShell {
		return
	}
	fmt.Fprint(p.Out, "\r\n")
	if err := p.Shell(ctx); err != nil {
		fmt.Fprintf(p.Out, "aifo-coder: %v\r\n", err)
		p.wait(ctx, true)
	}
}

// wait shows what keys do until one is pressed, the time is up, or ctx ends.
func (p Prompt) wait(ctx context.Context, failed bool) answer {
	fd := int(p.In.Fd())
	if state, err := term.MakeRaw(fd); err == nil {
		defer term.Restore(fd, state) //nolint:errcheck // the terminal is gone
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	key := p.read()
	for left := p.Wait; failed || left > 0; {
		fmt.Fprintf(p.Out, "\r\x1b[K%s", p.line(failed, left))
		select {
		case <-ctx.Done():
			return leave
		case <-tick.C:
			left -= time.Second
		case k, ok := <-key:
			if !ok {
				return leave // the terminal is gone
			}
			if a := answerTo(k, failed, p.Shell != nil); a != stay {
				return a
			}
			key = p.read()
		}
	}
	return leave
}

// read reads one key and no more: what is typed next may be for the shell.
func (p Prompt) read() <-chan byte {
	key := make(chan byte, 1)
	go func() {
		defer close(key)
		var b [1]byte
		if n, _ := p.In.Read(b[:]); n == 1 {
			key <- b[0]
		}
	}()
	return key
}

// line says what keys do.
func (p Prompt) line(failed bool, left time.Duration) string {
	shell, key := "", "any key"
	if p.Shell != nil {
		shell, key = "s: a shell in a container; ", "any other key"
	}
	if failed {
		return shell + key + " closes this pane"
	}
	return fmt.Sprintf("%sEnter closes this pane; it closes by itself in %d s", shell, int(left.Round(time.Second).Seconds()))
}
