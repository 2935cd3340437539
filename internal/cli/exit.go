package cli

import (
	"errors"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/git"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/panes"
	"github.com/aifo-coder/aifo-coder/internal/ports"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/shimbuild"
)

// Exit codes of our own (docs/exit-codes.md). Any other is the agent's or the tool's.
const (
	exitFailure  = 1 // anything else, a held lock among it
	exitUsage    = 2 // the command line is wrong; nothing was done
	exitTimeout  = execproto.ExitTimeout
	exitSession  = 125 // the session could not be run: engine, image, network, sidecar
	exitNoDocker = 127 // docker is not installed
)

// sessionError marks errors of a session, as opposed to those of other commands.
type sessionError struct{ err error }

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// exit prints err, if any, and returns the exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return a.code
	}
	told := map[string]bool{} // an engine that is gone fails every step of a removal alike
	for _, e := range parts(err) {
		if !told[e.Error()] && !is[*session.SignalError](e) { // whoever sent the signal knows
			a.printer.Error(e, hint(e))
		}
		told[e.Error()] = true
	}
	return exitCode(err)
}

// parts takes joined errors apart, each to be told on a line of its own.
func parts(err error) []error {
	if s, ok := err.(*sessionError); ok { //nolint:errorlint // the outermost error itself
		err = s.err
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, e := range joined.Unwrap() {
		list = append(list, parts(e)...)
	}
	return list
}

// exitCode is the only place where an error becomes an exit code.
func exitCode(err error) int {
	switch {
	case is[*UsageError](err), is[*fork.SIDError](err), is[*fork.RunnerError](err), is[*git.NotRepositoryError](err), is[*hostfacts.WorkspaceError](err), is[*hostfacts.EnvError](err):
		return exitUsage
	case is[*proc.NotFoundError](err), is[*panes.TmuxMissingError](err):
		return exitNoDocker
	case is[*docker.EngineError](err), is[*hostfacts.RenamedEngineError](err), is[*session.RemoteError](err):
		return exitSession
	case is[*lock.HeldError](err), is[*ports.ListenError](err):
		return exitFailure
	case is[*session.SignalError](err):
		signal, _ := asType[*session.SignalError](err)
		return signal.Code()
	case is[*session.TimeLimitError](err):
		return exitTimeout
	case is[*sessionError](err):
		return exitSession
	}
	return exitFailure
}

// hint says what to do about err, or "".
func hint(err error) string {
	if h, ok := asType[interface {
		error
		Hint() string
	}](err); ok {
		return h.Hint()
	}
	switch {
	case isMissing(err, shimbuild.Go):
		return "install Go (https://go.dev/dl/), or a release of aifo-coder, which has its shims"
	case isMissing(err, git.Program):
		return "install git (on Debian: apt-get install git)"
	case isMissing(err, docker.Podman):
		return "install podman (on Debian: apt-get install podman catatonit), or choose docker: --engine docker"
	case is[*proc.NotFoundError](err):
		return "install Docker (on Debian: apt-get install docker.io), or in a checkout of aifo-coder run: scripts/engine ensure"
	case is[*lock.HeldError](err):
		return "wait until it ends, or let several agents work at once: --fork N"
	}
	return ""
}

func asType[T error](err error) (T, bool) {
	var target T
	ok := errors.As(err, &target)
	return target, ok
}

// isMissing reports whether err says that the program is not installed.
func isMissing(err error, program string) bool {
	missing, ok := asType[*proc.NotFoundError](err)
	return ok && missing.Program == program
}

func is[T error](err error) bool {
	_, ok := asType[T](err)
	return ok
}
