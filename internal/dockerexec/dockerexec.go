// Package dockerexec runs tool calls with one `docker exec` each. It works
// with every engine and every image, and is what faster executors are measured
// against. A docker exec has no signals, so the call's processes are found in
// the container by the exec id in their environment. Nor has one a terminal of
// the caller's size: a call that asks for a terminal is run without.
package dockerexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Executor implements execproxy.Executor.
type Executor struct {
	Docker    docker.Client
	User      func(kind string) string // "uid:gid" of the tools
	Container func(kind string) string // the container of a kind's sidecar
	Grace     time.Duration            // between INT, TERM and KILL when a call is ended
}

// startLimit is how long a signal waits for its call to start.
const startLimit = 10 * time.Second

// endSlack is how much longer than its grace periods the ending of a call may take.
const endSlack = 10 * time.Second

var _ execproxy.Executor = (*Executor)(nil)

// Run implements execproxy.Executor.
func (e *Executor) Run(ctx context.Context, c execproxy.Call) (int, error) {
	exec, env := plan.ToolExecEnv(e.Container(c.Kind), e.User(c.Kind), plan.Call{
		ID: c.ID, Kind: c.Kind, Cwd: c.Cwd, Argv: c.Argv, Stdin: c.Stdin != nil,
	}, c.Env)
	cmd := e.Docker.Cmd(exec.Argv())
	if len(env) > 0 {
		cmd.Env = append(e.environ(), env...)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	return e.Wait(ctx, c.Kind, c.ID, cmd)
}

// environ is that of a docker command that gets variables of its own.
func (e *Executor) environ() []string {
	if e.Docker.Env != nil {
		return slices.Clone(e.Docker.Env)
	}
	return os.Environ()
}

// Wait runs a docker exec that ToolExec built and returns the tool's exit code.
// When ctx ends, or the docker command before the tool, the tool is ended:
// otherwise it would go on in the container.
func (e *Executor) Wait(ctx context.Context, kind, id string, cmd proc.Cmd) (int, error) {
	client, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(ended)
		defer stop()
		e.end(client, kind, id)
	})
	err := proc.Run(client, cmd)
	var exit *proc.ExitError
	switch {
	case !unhook():
		<-ended // the command may go, because nobody takes its output, before the tool does
	case err != nil && (!errors.As(err, &exit) || exit.Code == codePipe):
		e.end(client, kind, id)
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if exit != nil {
		return exit.Code, e.checkCode(ctx, kind, exit.Code)
	}
	return 0, err
}

// codePipe is the exit code of a docker command that SIGPIPE ended, since nobody reads its output any more. That
// does not end the tool, unless it is the tool's own.
const codePipe = 141

// checkCode returns an error when an exit code may be docker's own, because
// the sidecar is gone. Only these codes are docker's, so the question costs a
// call nothing that succeeds.
func (e *Executor) checkCode(ctx context.Context, kind string, code int) error {
	if code != 1 && code != 125 && code != 126 && code != 127 && code != codeKilled {
		return nil
	}
	if err := e.Alive(ctx, kind); err != nil || code != codeKilled {
		return err
	}
	return e.goes(ctx, kind)
}

// goes returns an error when the sidecar of kind is about to end. One whose processes have just been killed counts as
// running for a moment, but nothing starts in it. That alone proves nothing: a tool that was killed may have left it
// without room for a process.
func (e *Executor) goes(ctx context.Context, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	if e.helper(ctx, kind, "ready") == nil {
		return nil
	}
	for {
		if err := e.Alive(ctx, kind); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gonePoll):
		}
	}
}

// codeKilled is the exit code of what SIGKILL ended, goneTime how long a container may take from the death of its
// processes until the engine knows of it, and gonePoll how often it is asked.
const (
	codeKilled = 137
	goneTime   = 2 * time.Second
	gonePoll   = 50 * time.Millisecond
)

func hasEnded(kind string) error {
	return fmt.Errorf("the %s has ended; start the session again", place(kind))
}

// Alive returns an error when the sidecar of kind does not run.
func (e *Executor) Alive(ctx context.Context, kind string) error {
	running, err := e.Docker.ContainerRunning(ctx, e.Container(kind))
	if err == nil && !running {
		return hasEnded(kind)
	}
	return err
}

// place names a container in messages.
func place(kind string) string {
	if kind == plan.KindAgent {
		return "agent's container"
	}
	return kind + " sidecar"
}

// end ends the processes of a call: INT, TERM, then KILL.
func (e *Executor) end(ctx context.Context, kind, id string) {
	ctx, cancel := context.WithTimeout(ctx, 3*e.Grace+endSlack)
	defer cancel()
	// Nothing is left to do about a failure: the sidecar is gone, and the call with it.
	_ = e.helper(ctx, kind, "end", "--id", id, "--grace", e.Grace.String())
}

// exitNoProcess is what the signal program exits with when the call has no process.
const exitNoProcess = 3

// Signal implements execproxy.Executor. A call that has no process yet is
// asked again until it has: its docker exec may still be on its way. The proxy
// ends ctx when the call is over.
func (e *Executor) Signal(ctx context.Context, kind, id, signal string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, errors.New("the call did not start"))
	defer cancel()
	for {
		err := e.helper(ctx, kind, "signal", "--id", id, "--signal", signal)
		var exit *proc.ExitError
		if !errors.As(err, &exit) || exit.Code != exitNoProcess {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Open waits until the boot program has prepared the sidecar's container.
func (e *Executor) Open(ctx context.Context, kind string) error {
	return e.helper(ctx, kind, "ready", "--wait")
}

// Offers reports whether the image of a kind has the tool.
func (e *Executor) Offers(ctx context.Context, kind, tool string) (bool, error) {
	out, err := proc.Output(ctx, e.Docker.Cmd(e.helperArgv(kind, "which", tool)))
	var exit *proc.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	return strings.TrimSpace(string(out)) == tool, e.checkProbe(ctx, kind, exit)
}

func (e *Executor) checkProbe(ctx context.Context, kind string, exit *proc.ExitError) error {
	if exit == nil {
		return nil
	}
	return e.checkCode(ctx, kind, exit.Code)
}

func (e *Executor) helper(ctx context.Context, kind string, args ...string) error {
	return proc.Run(ctx, e.Docker.Cmd(e.helperArgv(kind, args...)))
}

func (e *Executor) helperArgv(kind string, args ...string) []string {
	return dockerargs.Exec{
		User: e.User(kind), Container: e.Container(kind),
		Args: append([]string{execproto.ShimBinary}, args...),
	}.Argv()
}
