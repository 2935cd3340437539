//go:build linux

// Package toolrun is the part of aifo-shim that works inside a sidecar: it
// starts a tool ("run") once the container is ready ("ready"), finds and
// signals the processes of a call ("signal", "end") and tells which tools
// there are ("which", "tools"). A call is known by the environment variable
// AIFO_EXEC_ID, which its processes inherit; one that clears its environment is
// found through its process group only.
//
// "run" replaces itself by the tool, so nothing stands between the tool and
// whoever started it.
package toolrun

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/boot/ready"
	"github.com/aifo-coder/aifo-coder/internal/caps"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// ExitUsage is the exit code for a wrong command line of a subcommand.
const ExitUsage = 2

// Run is the subcommand "run [--cwd DIR] [--kind KIND] [--hex] -- TOOL ARGS…".
// With --hex the directory, the tool and its arguments are in hexadecimal. It
// returns an exit code only when the tool was not started: 125 when the
// sidecar never became ready, 126 when the tool or its directory cannot be
// used, 127 when there is no such tool.
func Run(args []string) int {
	var cwd, kind string
	var inHex bool
	flags := newFlags("run")
	flags.StringVar(&cwd, "cwd", "", "")
	flags.StringVar(&kind, "kind", "", "")
	flags.BoolVar(&inHex, "hex", false, "")
	err := flags.Parse(args)
	words := append([]string{cwd}, flags.Args()...)
	if err == nil && inHex {
		words, err = unhex(words)
	}
	if err != nil || flags.NArg() == 0 {
		return usage("run [--cwd DIR] [--kind KIND] [--hex] -- TOOL [ARGS...]", err)
	}
	if err := LimitRoot(); err != nil {
		fmt.Fprintf(os.Stderr, "aifo-shim: %v\n", err)
		return execproto.ExitLost
	}
	f := start(words[1:], words[0], Place(kind))
	fmt.Fprintf(os.Stderr, "aifo-shim: %s\n", f.Message)
	return f.Code
}

// Place is how messages call the container of a toolchain, or the agent's.
func Place(kind string) string {
	if kind == "agent" {
		return "agent's container"
	}
	return strings.TrimSpace(kind + " sidecar")
}

// LimitRoot takes from root what the container was started with and a tool has
// no use for. Docker gives it to whoever is root in a docker exec; others have
// nothing. It works on the calling thread and what that executes.
func LimitRoot() error {
	if os.Geteuid() != 0 {
		return nil
	}
	runtime.LockOSThread()
	return errors.Join(caps.LimitBounding(caps.Root), caps.Limit(caps.Root))
}

func unhex(words []string) ([]string, error) {
	plain := make([]string, len(words))
	for i, w := range words {
		b, err := hex.DecodeString(w)
		if err != nil {
			return nil, err
		}
		plain[i] = string(b)
	}
	return plain, nil
}

// Failure says why a tool was not started.
type Failure struct {
	Code    int
	Message string
}

// start executes argv and returns only when it cannot. The place is how
// messages call the container.
func start(argv []string, cwd, place string) Failure {
	if !ready.Wait(ready.Limit) {
		return Failure{execproto.ExitLost, fmt.Sprintf("the %s is not ready after %v", place, ready.Limit)}
	}
	if cwd != "" {
		err := StaysInside(cwd, execproto.WorkspaceOf(os.Environ()))
		if err == nil {
			err = os.Chdir(cwd)
		}
		if err != nil {
			return CannotEnter(cwd, place, err)
		}
	}
	ownSession()
	cmd, env, err := Prepare(argv, cwd, callerEnv(os.Environ()))
	if err == nil {
		err = Exec(cmd.Path, cmd.Argv, env)
	}
	return Explain(argv[0], place, err)
}

// Prepare decides what a call of argv in cwd executes, and with which
// environment: env, with the directories searched for the tool also searched by
// the tool, and its virtual environment on.
func Prepare(argv []string, cwd string, env []string) (Command, []string, error) {
	dirs := SearchPath(getenv(env, "PATH"), getenv(env, "HOME"), getenv(env, "GOPATH"))
	cmd, err := Resolve(argv, cwd, Lookups{Dirs: dirs, Workspace: execproto.WorkspaceOf(env), Executable: func(path string) error {
		if cwd != "" && !filepath.IsAbs(path) { // by a relative element of PATH
			path = filepath.Join(cwd, path)
		}
		return Executable(path)
	}})
	if err != nil {
		return Command{}, nil, err
	}
	if cwd != "" && !filepath.IsAbs(cmd.Path) {
		cmd.Path = filepath.Join(cwd, cmd.Path)
	}
	return cmd, environ(env, cmd, dirs), nil
}

// ownSession makes sure that the tool leads a process group, so that a signal
// to the group reaches the tool's children and nothing else. Processes that
// docker exec starts do already; the call fails for a group leader, which
// is what we want to be.
func ownSession() {
	if sid, err := unix.Getsid(0); err == nil && sid == os.Getpid() {
		return
	}
	_, _ = unix.Setsid()
}

// environ returns env for a command. A virtual environment that the caller has
// activated is one for the tool's children as well.
func environ(env []string, cmd Command, dirs []string) []string {
	path := strings.Join(dirs, ":")
	venv := cmd.Venv
	if venv != "" {
		env = setenv(env, "VIRTUAL_ENV", venv)
	} else {
		venv = getenv(env, "VIRTUAL_ENV")
	}
	if venv != "" && execproto.Within(venv, execproto.WorkspaceOf(env)) {
		path = venv + "/bin:" + path
	}
	return setenv(env, "PATH", path)
}

// Exec replaces this process.
func Exec(path string, argv, env []string) error {
	return Execute(path, argv, func(path string, argv []string) error {
		return syscall.Exec(path, argv, env)
	})
}

// errInterpreter says that a program is there but not what its first line or its
// ELF header names.
var errInterpreter = errors.New("its interpreter is missing")

// Execute runs exec, which is to execute its arguments. As in a shell, a script
// without an interpreter line is given to sh.
func Execute(path string, argv []string, exec func(path string, argv []string) error) error {
	err := exec(path, argv)
	if errors.Is(err, syscall.ENOEXEC) && !binary(path) {
		err = exec("/bin/sh", append([]string{"sh", path}, argv[1:]...))
	}
	if errors.Is(err, syscall.ENOENT) && Executable(path) == nil {
		return fmt.Errorf("%s: %w", path, errInterpreter)
	}
	return err
}

// binary reports whether a file that cannot be executed is no script either: its
// first line has a NUL, which is what bash looks for.
func binary(path string) bool {
	const enough = 80
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head, _ := io.ReadAll(io.LimitReader(f, enough)) // a file that cannot be read is for sh to tell of
	line, _, _ := bytes.Cut(head, []byte("\n"))
	return bytes.IndexByte(line, 0) >= 0
}

// CannotEnter is the failure of a call whose directory cannot be entered.
func CannotEnter(cwd, place string, err error) Failure {
	return Failure{execproto.ExitNotExecutable, fmt.Sprintf("cannot enter %s in the %s: %v", cwd, place, cause(err))}
}

// Explain turns the error of a lookup or an execve into what the user sees.
func Explain(tool, place string, err error) Failure {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Failure{execproto.ExitNotFound, fmt.Sprintf("%s: not found in the %s", tool, place)}
	case errors.Is(err, errInterpreter):
		return Failure{execproto.ExitNotFound, fmt.Sprintf("%s: cannot be executed in the %s: %v", tool, place, err)}
	case errors.Is(err, unix.E2BIG):
		return Failure{execproto.ExitNotExecutable, tool + ": argument list too long"}
	default:
		return Failure{execproto.ExitNotExecutable, fmt.Sprintf("%s: cannot be executed in the %s: %v", tool, place, cause(err))}
	}
}

// cause returns the system's words for a failed call on a path that the
// message names anyway.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Ready is the subcommand "ready [--wait]". It returns 0 when the boot of the
// container is over, else 1; with --wait it waits for that first.
func Ready(args []string) int {
	flags := newFlags("ready")
	wait := flags.Bool("wait", false, "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return usage("ready [--wait]", err)
	}
	limit := ready.Limit
	if !*wait {
		limit = 0
	}
	if !ready.Wait(limit) {
		return ExitFailed
	}
	return 0
}

// Which is the subcommand "which TOOL…": it prints those of the tools that a
// call could run here, one a line, whatever a project has of its own.
func Which(args []string, out io.Writer) int {
	dirs := SearchPath(os.Getenv("PATH"), os.Getenv("HOME"), os.Getenv("GOPATH"))
	l := Lookups{Dirs: dirs, Workspace: execproto.WorkspaceOf(os.Environ()), Executable: Executable}
	for _, tool := range args {
		if _, err := Resolve([]string{tool}, "/", l); err == nil {
			fmt.Fprintln(out, tool)
		}
	}
	return 0
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func usage(synopsis string, err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "aifo-shim: %v\n", err)
	}
	fmt.Fprintf(os.Stderr, "usage: aifo-shim %s\n", synopsis)
	return ExitUsage
}
