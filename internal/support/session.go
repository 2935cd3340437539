package support

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// ErrInterrupted is the error of a session that was ended from outside.
var ErrInterrupted = errors.New("interrupted")

// insistAfter is how long a session may take to end when it was asked to, before it is asked a
// second time, which has it end by force. What it started is removed either way.
const insistAfter = 10 * time.Second

// Program returns a Session that runs the executable self, each time in a directory that is made
// for it and removed, with further flags before the others.
func Program(self string, flags []string, env []string) Session {
	return func(ctx context.Context, args []string, line func(string)) (int, error) {
		dir, err := os.MkdirTemp("", "aifo-support")
		if err != nil {
			return -1, fmt.Errorf("make a workspace: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		return runIn(ctx, dir, append([]string{self}, append(flags, args...)...), env, line)
	}
}

// runIn runs a session to its end. It is not killed when ctx ends but asked to end, as a terminal
// would ask it: whoever kills it leaves its containers behind.
func runIn(ctx context.Context, dir string, argv, env []string, line func(string)) (int, error) {
	signals := make(chan os.Signal, 2)
	ended := make(chan struct{})
	defer close(ended)
	go interrupt(ctx, signals, ended)
	out := &lines{each: line}
	err := proc.Run(context.WithoutCancel(ctx), proc.Cmd{
		Argv: argv, Dir: dir, Env: env, Stdout: out, Signals: signals, Detached: true,
	})
	out.flush()
	var exit *proc.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, ErrInterrupted
	case errors.As(err, &exit):
		return exit.Code, exit
	case err != nil:
		return -1, err
	}
	return 0, nil
}

// interrupt asks the session to end when ctx does, and insists.
func interrupt(ctx context.Context, signals chan<- os.Signal, ended <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-ended:
		return
	}
	signals <- syscall.SIGTERM
	select {
	case <-time.After(insistAfter):
		signals <- syscall.SIGTERM
	case <-ended:
	}
}

// lines hands on whole lines.
type lines struct {
	each func(string)
	rest []byte
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.each(strings.TrimSuffix(string(line), "\r"))
		l.rest = rest
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.each(string(l.rest))
	}
}
