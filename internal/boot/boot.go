//go:build linux

// Package boot makes a container of any image a place where the user can work:
// an account, a home directory, shared caches, git settings and PATH for login
// shells. It starts as root with a few capabilities, does what needs them,
// gives them up for good and becomes the container's program.
//
// It uses no program of the image, so Debian, Alpine and empty images do. What
// only makes life nicer (account, git settings, PATH) fails with a warning, for
// instance on a read-only root file system; a home directory that cannot be
// used, or a privilege that cannot be dropped, ends the container.
package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/boot/ready"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/relay"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// ExitFailed is the exit code when the container could not be prepared.
const ExitFailed = 125

// StayCommand is the subcommand that boot becomes for --stay.
const StayCommand = "stay"

// Main is the subcommand "boot". It returns an exit code only on failure.
func Main(args []string) int {
	o, err := parse(args)
	if err != nil {
		return fail(ExitFailed, err)
	}
	// Credentials belong to a thread, and execve takes those of its caller.
	runtime.LockOSThread()
	if err := o.prepare(); err != nil {
		return fail(ExitFailed, err)
	}
	if err := o.drop(); err != nil {
		return fail(ExitFailed, fmt.Errorf("drop privileges: %w", err))
	}
	if o.wayOut != nil {
		if err := relay.Start(o.wayOut); err != nil {
			return fail(ExitFailed, fmt.Errorf("start the way out of the container: %w", err))
		}
	}
	o.withoutSandbox(os.Getenv(execproto.EnvURL) != "", namespaces)
	return o.become()
}

// Stay is the subcommand "stay": the first process of a sidecar, which has
// nothing to do but to end when it is told to.
func Stay() int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	<-c
	return 0
}

func fail(code int, err error) int {
	fmt.Fprintf(os.Stderr, "aifo-shim boot: %v\n", err)
	return code
}

func warn(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "aifo-shim boot: warning: %s: %v\n", what, err)
	}
}

// prepare does everything that needs root. The marker comes last: whoever
// sees it may use all of the rest.
func (o *options) prepare() error {
	if os.Geteuid() != 0 {
		return errors.New("must be started as root, which it gives up itself")
	}
	unix.Umask(0o022)
	if err := o.checkMounts(); err != nil { // before anything is read or written where others may write
		return err
	}
	user := o.account()
	if err := o.home(); err != nil {
		return fmt.Errorf("home directory %s: %w", o.Home, err)
	}
	for _, c := range o.Caches {
		warn("cache "+c.Name, o.cache(c))
	}
	if len(o.Git) > 0 {
		warn("git settings", appendTo("/etc/gitconfig", func(old []byte) string { return gitText(string(old), o.Git) }))
	}
	if o.PathFirst != "" {
		warn("PATH of login shells", writeProfile("/etc/profile.d/zz-aifo.sh", o.PathFirst))
	}
	for _, c := range o.Config {
		warn("configuration file "+c.Path, o.asUser(c.copy))
	}
	for _, s := range o.StandIns {
		warn("shims in "+s.Dir, s.link(o.PathFirst))
	}
	if err := o.environment(user); err != nil {
		return err
	}
	if !o.Stay {
		warn("note of the environment; variables set in it will not reach tools", noteEnvironment(execproto.EnvFiles, os.Environ()))
	}
	if err := o.asUser(func() error { return os.Chdir(o.Workdir) }); err != nil {
		return fmt.Errorf("cannot enter %s: %w", o.Workdir, cause(err))
	}
	if err := o.listen(); err != nil {
		return fmt.Errorf("prepare the way out of the container: %w", err)
	}
	return o.markReady()
}

// listen makes the way out of the container, which begins to serve when the privileges
// are gone.
func (o *options) listen() (err error) {
	if o.Relay {
		o.wayOut, err = relay.Listen()
	}
	return err
}

// markReady fails for a sidecar only, since nobody waits for an agent.
func (o *options) markReady() error {
	err := ready.Mark()
	if err != nil && o.Stay {
		return fmt.Errorf("no place for the ready marker: %w", err)
	}
	return nil
}

// account adds the user and its group where the image has none, and returns
// the user's name.
func (o *options) account() string {
	user := o.Name
	warn("group", appendTo("/etc/group", func(old []byte) string { return groupLine(old, o.Name, o.GID) }))
	warn("account", appendTo("/etc/passwd", func(old []byte) (line string) {
		user, line = passwdLine(old, entry{o.Name, o.UID, o.GID, o.Home, shell()})
		return line
	}))
	return user
}

func shell() string {
	if toolrun.Executable("/bin/bash") == nil {
		return "/bin/bash"
	}
	return "/bin/sh"
}

// environment sets what tells programs whose session this is.
func (o *options) environment(user string) error {
	env := map[string]string{"HOME": o.Home, "USER": user, "LOGNAME": user}
	dir := "/tmp/runtime-" + strconv.Itoa(o.UID)
	if err := o.runtimeDir(dir); err != nil {
		warn("runtime directory "+dir, err)
	} else {
		env["XDG_RUNTIME_DIR"] = dir
	}
	if o.PathFirst != "" {
		env["PATH"] = o.PathFirst + ":" + os.Getenv("PATH")
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// noteEnvironment writes down what the program will begin with, so that the shim
// can tell which variables were set since. It is nothing that the program could
// not read anyway.
func noteEnvironment(places, env []string) error {
	var errs []error
	for _, p := range places {
		_ = os.Remove(p) // of an earlier start, or a link of the image
		err := writeNew(p, strings.Join(env, "\x00")+"\x00")
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeNew writes a file where there must be none, as a whole or not at all: a
// secret that a part of it lacks would count as set later.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// become executes what the container is for. Whether a file may be executed is
// asked after the drop, for it is the user who must be allowed to.
func (o *options) become() int {
	if o.Stay {
		self, err := os.Executable()
		if err == nil {
			err = syscall.Exec(self, []string{"aifo-shim", StayCommand}, os.Environ())
		}
		return fail(ExitFailed, err)
	}
	path, err := o.program()
	if err == nil {
		err = toolrun.Exec(path, o.Argv, os.Environ())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fail(execproto.ExitNotFound, fmt.Errorf("%s: not found in this image", o.Argv[0]))
	}
	return fail(execproto.ExitNotExecutable, fmt.Errorf("%s: cannot be executed: %w", o.Argv[0], cause(err)))
}

func (o *options) program() (string, error) {
	name := o.Argv[0]
	if strings.Contains(name, "/") {
		return name, toolrun.Executable(name)
	}
	return toolrun.LookPath(name, filepath.SplitList(os.Getenv("PATH")), toolrun.Executable)
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
