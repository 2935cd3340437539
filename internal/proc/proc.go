// Package proc is the one place that starts programs on the host. It keeps
// apart what callers must tell apart (the program is missing, it was asked to
// end, it ended with a status) and ends a whole process group, politely first.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// killDelay is how long a program may take to end after it was asked to, before
// it is killed and its pipes are closed.
const killDelay = 5 * time.Second

// Cmd is one program to run.
type Cmd struct {
	Argv []string
	Dir  string   // working directory; empty: ours
	Env  []string // whole environment; nil: ours

	Stdin          io.Reader // nil: /dev/null
	Stdout, Stderr io.Writer // nil: discarded, but the end of Stderr is kept for ExitError

	// Signals, when set, are handed on to the program as they arrive.
	Signals <-chan os.Signal

	// Detached puts the program in a process group of its own, so that a
	// terminal's Ctrl-C does not reach it and the group can be ended as one.
	Detached bool
}

// ExitError says that a program ran and ended with a status other than 0.
type ExitError struct {
	Program string
	Code    int    // exit code, or 128+n after signal n
	Stderr  string // the last of what it wrote to standard error, trimmed
}

func (e *ExitError) Error() string {
	if e.Stderr != "" {
		return e.Stderr
	}
	return fmt.Sprintf("%s ended with exit code %d", e.Program, e.Code)
}

// NotFoundError says that a program is not installed.
type NotFoundError struct{ Program string }

func (e *NotFoundError) Error() string { return e.Program + " is not installed or not on PATH" }

// Run runs c to its end. It returns *NotFoundError, *ExitError, the cause of
// ctx when ctx ended it, or another error when the program could not be started.
func Run(ctx context.Context, c Cmd) error {
	tail := &tailWriter{}
	cmd, err := command(ctx, c, tail)
	if err != nil {
		return err
	}
	feed, err := input(cmd, c.Stdin)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	go feed()
	ended := make(chan struct{})
	go relay(cmd.Process, c.Signals, ended)
	err = cmd.Wait()
	close(ended)
	if ctx.Err() != nil && c.Detached {
		killGroup(cmd.Process) // Wait has killed the leader only
	}
	return result(ctx, c.Argv[0], err, tail)
}

// input connects the program's standard input and returns what copies it. The
// copy is not waited for: a reader that never ends must not keep a program
// that has ended from being reaped.
func input(cmd *exec.Cmd, r io.Reader) (feed func(), err error) {
	if _, ok := r.(*os.File); ok || r == nil {
		cmd.Stdin = r
		return func() {}, nil
	}
	w, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("connect input: %w", err)
	}
	return func() {
		_, _ = io.Copy(w, r) // the program may close its input at any time
		_ = w.Close()
	}, nil
}

func relay(p *os.Process, signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			_ = p.Signal(s) // it may have ended meanwhile
		case <-ended:
			return
		}
	}
}

// Output is Run, returning what the program wrote to standard output.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := Run(ctx, c)
	return out.Bytes(), err
}

// Installed reports whether a program of that name is on PATH.
func Installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// command returns the program unstarted. Its standard error goes to tail, and
// to c.Stderr when that is set.
func command(ctx context.Context, c Cmd, tail io.Writer) (*exec.Cmd, error) {
	path, err := exec.LookPath(c.Argv[0])
	if err != nil {
		return nil, &NotFoundError{Program: c.Argv[0]}
	}
	cmd := exec.CommandContext(ctx, path, c.Argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdout, cmd.Stderr = c.Stdout, tail
	if c.Stderr != nil {
		// Handed on as it is: a file stays a file, so that the program sees a terminal.
		cmd.Stderr = c.Stderr
	}
	cmd.SysProcAttr = sysProcAttr(c.Detached)
	cmd.Cancel = func() error { return terminate(cmd.Process, c.Detached) }
	cmd.WaitDelay = killDelay
	return cmd, nil
}

func result(ctx context.Context, program string, err error, tail *tailWriter) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &ExitError{Program: program, Code: exitCode(exit), Stderr: tail.String()}
	}
	return fmt.Errorf("run %s: %w", program, err)
}

// tailWriter keeps the last bytes written to it.
type tailWriter struct{ buf []byte }

const tailSize = 4 << 10

func (t *tailWriter) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = t.buf[over:]
	}
	return len(p), nil
}

func (t *tailWriter) String() string { return strings.TrimSpace(string(t.buf)) }

// FirstOf returns the first of the programs that is installed, or "".
func FirstOf(programs ...string) string {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			return name
		}
	}
	return ""
}
