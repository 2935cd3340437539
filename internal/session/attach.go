package session

import (
	"context"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerexec"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Attached is one command in a container of a session that another process runs.
type Attached struct {
	Facts   hostfacts.Facts
	Docker  docker.Client
	Streams Streams
	Kinds   toolchain.Set
	// Notice tells the caller, in one line, about something that takes long.
	Notice func(string)

	Session   string // its id
	Container string
	User      string // uid:gid
	Path      string // PATH of the command; empty: the container's own
	Call      plan.Call
	Limit     time.Duration // ends the command; 0: never
	Grace     time.Duration // between INT, TERM and KILL when it is ended
}

// Argv returns the vector of the docker command.
func (a Attached) Argv() []string {
	return plan.AttachedExec(a.Container, a.User, a.Path, a.Call).Argv()
}

// Run runs the command to its end and returns its exit code. It returns a
// *TimeLimitError when that ended it, and an error when the container is gone.
func (a Attached) Run(ctx context.Context) (int, error) {
	w := watchSignals(ctx)
	defer w.stop()
	e := &dockerexec.Executor{
		Docker: a.Docker, Grace: a.Grace,
		User: func(string) string { return a.User }, Container: func(string) string { return a.Container },
	}
	call := execproxy.Call{Kind: a.Call.Kind, Cwd: a.Call.Cwd, Argv: a.Call.Argv}
	if err := newCompleter(a.Kinds, e).complete(w.starting, call, a.Notice); err != nil {
		return unlessSignalled(0, err)
	}
	defer joinCalls(a.Facts.RuntimeDir, a.Session, a.Call.Kind)()
	return unlessSignalled(command{
		exec: e, call: a.Call, limit: a.Limit, cmd: onStreams(a.Docker, a.Facts, a.Streams, a.Argv()),
	}.run(ctx, w))
}
