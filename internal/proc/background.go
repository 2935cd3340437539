package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Background is a program that was started with Start.
type Background struct {
	PID   int
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of cmd.Wait, once ended
}

// Start starts c in a session of its own: no terminal's signals reach it, and it
// goes on when we end. Its streams must be files, or nil: a copy would end with us.
// It returns a *NotFoundError, or another error when the program could not be started.
func Start(c Cmd) (*Background, error) {
	path, err := exec.LookPath(c.Argv[0])
	if err != nil {
		return nil, &NotFoundError{Program: c.Argv[0]}
	}
	if err := onlyFiles(c.Stdin, c.Stdout, c.Stderr); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	// The context of whoever starts it has no say in when it ends.
	cmd := exec.CommandContext(context.Background(), path, c.Argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = backgroundAttr()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	b := &Background{PID: cmd.Process.Pid, cmd: cmd, ended: make(chan struct{})}
	// Somebody has to reap it, or it would stay as a zombie while we live.
	go func() {
		b.err = cmd.Wait()
		close(b.ended)
	}()
	return b, nil
}

func onlyFiles(streams ...any) error {
	for _, s := range streams {
		if _, ok := s.(*os.File); !ok && s != nil {
			return errors.New("a program in the background has files for its streams")
		}
	}
	return nil
}

// Wait returns when the program has ended: nil, an *ExitError, or the cause of ctx,
// whose end does not end the program.
func (b *Background) Wait(ctx context.Context) error {
	select {
	case <-b.ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return result(context.Background(), b.cmd.Args[0], b.err, &tailWriter{})
}

// Terminate asks the program to end. One that has ended is no error.
func (b *Background) Terminate() error {
	return ignoreDone(terminate(b.cmd.Process, false))
}

// Other is a process that somebody else started.
type Other struct{ p *os.Process }

// Find returns the process pid, which where the system has such a thing (Linux's
// pidfd_open(2)) stays the same one when its number is given to another. So whoever
// checks that it is the right one checks after Find.
func Find(pid int) (Other, error) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return Other{}, fmt.Errorf("find process %d: %w", pid, err)
	}
	return Other{p: p}, nil
}

// Terminate asks the process to end. One that has ended is no error.
func (o Other) Terminate() error { return ignoreDone(terminate(o.p, false)) }

// Kill ends the process. One that has ended is no error.
func (o Other) Kill() error { return ignoreDone(o.p.Kill()) }

// Release gives up what Find holds.
func (o Other) Release() { _ = o.p.Release() }

func ignoreDone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
