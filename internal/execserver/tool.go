//go:build linux

package execserver

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// tool is a started process, the leader of a session and process group of its own.
type tool struct {
	streams
	pid   int
	pidfd *os.File // readable when it has ended; nil where the kernel has none
}

// launch starts the tool of a call.
func launch(st execproto.Start, s streams) (*tool, toolrun.Failure) {
	place := toolrun.Place(st.Kind)
	if err := canEnter(st.Cwd); err != nil {
		return nil, toolrun.CannotEnter(st.Cwd, place, err)
	}
	t := &tool{streams: s}
	cmd, env, err := toolrun.Prepare(st.Argv, st.Cwd, environment(st))
	if err == nil {
		err = toolrun.Execute(cmd.Path, cmd.Argv, func(path string, argv []string) error {
			return t.start(path, argv, env, st.Cwd)
		})
	}
	if err != nil {
		return nil, toolrun.Explain(st.Argv[0], place, err)
	}
	return t, toolrun.Failure{}
}

// canEnter finds out whether a tool could make cwd its working directory, which
// is done where an error could not be told from others.
func canEnter(cwd string) error {
	if cwd == "" {
		return nil
	}
	info, err := os.Stat(cwd)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return unix.ENOTDIR
	}
	if err := unix.Faccessat(unix.AT_FDCWD, cwd, unix.X_OK, unix.AT_EACCESS); err != nil {
		return err
	}
	return toolrun.StaysInside(cwd, execproto.WorkspaceOf(os.Environ()))
}

// environment returns ours with what comes with the call.
func environment(st execproto.Start) []string {
	extra := slices.Clip(st.Env)
	if st.Cwd != "" {
		extra = append(extra, "PWD="+st.Cwd)
	}
	extra = append(extra, execproto.EnvExecID+"="+st.ID)
	env := merge(os.Environ(), extra)
	if st.TTY != 0 && !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		env = append(env, "TERM=xterm") // as docker exec has it
	}
	return env
}

// merge returns env with extra, of which the last value of a name counts.
func merge(env, extra []string) []string {
	at := make(map[string]int, len(env)+len(extra))
	out := make([]string, 0, len(env)+len(extra))
	for _, list := range [][]string{env, extra} {
		for _, e := range list {
			name, _, _ := strings.Cut(e, "=")
			if i, ok := at[name]; ok {
				out[i] = e
				continue
			}
			at[name] = len(out)
			out = append(out, e)
		}
	}
	return out
}

func (t *tool) start(path string, argv, env []string, cwd string) error {
	pidfd := -1
	pid, _, err := syscall.StartProcess(path, argv, &syscall.ProcAttr{
		Dir:   cwd,
		Env:   env,
		Files: []uintptr{uintptr(t.tool[0]), uintptr(t.tool[1]), uintptr(t.tool[2])},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: t.tty != nil, Ctty: t.terminal(), PidFD: &pidfd},
	})
	if err != nil {
		return err
	}
	t.pid = pid
	if pidfd >= 0 {
		// Only a non-blocking one can be waited for without a thread.
		_ = unix.SetNonblock(pidfd, true)
		t.pidfd = os.NewFile(uintptr(pidfd), "process")
	}
	return nil
}

// terminal returns which of the tool's descriptors is its terminal. Without one it
// is of no use.
func (t *tool) terminal() int { return max(0, slices.Index(t.tool[:], t.slave)) }

// wait returns when the process has ended. It does not reap it.
func (t *tool) wait() {
	if t.pidfd != nil {
		conn, err := t.pidfd.SyscallConn()
		if err == nil {
			err = conn.Read(func(uintptr) bool { return t.dead(unix.WNOHANG) })
		}
		if err == nil {
			return
		}
	}
	t.dead(0)
}

func (t *tool) dead(options int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, t.pid, &info, unix.WEXITED|unix.WNOWAIT|options, nil)
		if err != unix.EINTR {
			return err != nil || info.Signo != 0
		}
	}
}

// reap takes the ended process out of the process table and returns its exit code.
func (t *tool) reap() int {
	if t.pidfd != nil {
		_ = t.pidfd.Close()
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(t.pid, &status, 0, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return execproto.ExitLost
		case status.Signaled():
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
}

// hurry makes readers of the output look up after the given time.
func (t *tool) hurry(after time.Duration) {
	for _, f := range t.outs {
		_ = f.SetReadDeadline(time.Now().Add(after))
	}
}

// endInput tells the tool that its input has ended.
func (t *tool) endInput() {
	if t.in != t.tty {
		_ = t.in.Close()
		return
	}
	_, _ = t.tty.Write(endOfInput(t.tty))
}

// closeInput ends the input for good, and with it a terminal.
func (t *tool) closeInput() {
	if t.in != nil {
		_ = t.in.Close()
	}
}
