//go:build linux

package shim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
)

// The shim and the real proxy, with an executor that runs shell scripts here.

// localExecutor runs "tool SCRIPT" as sh -c SCRIPT, with the caller's files, a
// terminal or pipes.
type localExecutor struct {
	files   bool
	bare    atomic.Bool // there are no terminals
	signals chan string // what was sent

	mu     sync.Mutex
	groups map[string]int // process groups by exec id
	calls  []execproxy.Call
}

func (e *localExecutor) TakesFiles(string) bool { return e.files }
func (e *localExecutor) GivesTerminals() bool   { return !e.bare.Load() }

func (e *localExecutor) Run(ctx context.Context, c execproxy.Call) (int, error) {
	cmd := exec.Command("/bin/sh", "-c", c.Argv[1])
	cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, c.Env...)
	e.mu.Lock() // until it is known to Signal
	finish, err := e.start(cmd, c)
	if err == nil {
		e.calls = append(e.calls, c)
		e.groups[c.ID] = cmd.Process.Pid
	}
	e.mu.Unlock()
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })()
	_ = cmd.Wait()
	finish()
	e.mu.Lock()
	delete(e.groups, c.ID)
	e.mu.Unlock()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func (e *localExecutor) start(cmd *exec.Cmd, c execproxy.Call) (finish func(), err error) {
	if c.Terminal != nil {
		return startOnTerminal(cmd, c)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.Files == nil {
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		go func() { io.Copy(in, c.Stdin); in.Close() }()
		cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
		return func() {}, cmd.Start()
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Files[0], c.Files[1], c.Files[2]
	err = cmd.Start()
	for _, f := range c.Files {
		f.Close()
	}
	return func() {}, err
}

// startOnTerminal gives the program a terminal for the streams that shall have one.
func startOnTerminal(cmd *exec.Cmd, c execproxy.Call) (finish func(), err error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: c.Terminal.Size.Rows, Cols: c.Terminal.Size.Cols}); err != nil {
		return nil, err
	}
	shown, err := connect(cmd, c, master, slave)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done, copied := make(chan bool), make(chan bool)
	var resizing sync.WaitGroup
	resizing.Go(func() {
		for {
			select {
			case s := <-c.Terminal.Resized:
				pty.Setsize(master, &pty.Winsize{Rows: s.Rows, Cols: s.Cols})
			case <-done:
				return
			}
		}
	})
	go func() { io.Copy(shown, master); close(copied) }()
	return func() { <-copied; close(done); resizing.Wait(); master.Close() }, nil
}

// connect connects the program's streams, and returns where to show what comes
// from the terminal.
func connect(cmd *exec.Cmd, c execproxy.Call, master, slave *os.File) (shown io.Writer, err error) {
	streams := c.Terminal.Streams
	cmd.Stdout, cmd.Stderr, shown = c.Stdout, c.Stderr, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
	if streams.Has(2) {
		cmd.Stderr = slave
	}
	if streams.Has(1) {
		cmd.Stdout, shown, cmd.SysProcAttr.Ctty = slave, c.Stdout, 1
	}
	if streams.Has(0) {
		cmd.Stdin, cmd.SysProcAttr.Ctty = slave, 0
		go io.Copy(master, c.Stdin)
		return shown, nil
	}
	modes, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	modes.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, modes); err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	go func() { io.Copy(in, c.Stdin); in.Close() }()
	return shown, err
}

func (e *localExecutor) Signal(_ context.Context, _, id, name string) error {
	sig, _ := execproto.ParseSignal(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	group, ok := e.groups[id]
	if !ok {
		return errors.New("no such call")
	}
	err := syscall.Kill(-group, sig)
	select {
	case e.signals <- name:
	default:
	}
	return err
}

type sidecars struct{}

func (sidecars) Has(string) bool                                      { return true }
func (sidecars) Ready(context.Context, string) error                  { return nil }
func (sidecars) Offers(context.Context, string, string) (bool, error) { return true, nil }

// realProxy is a running proxy.
type realProxy struct {
	*localExecutor
	*execproxy.Proxy
	url string
}

func newRealProxy(t *testing.T, network string) *realProxy {
	t.Helper()
	e := &localExecutor{files: network == "unix", groups: map[string]int{}, signals: make(chan string, 64)}
	p := &realProxy{e, execproxy.New(execproxy.Config{
		Token: "tok", Executor: e, Sidecars: sidecars{},
		Candidates: func(string) []string { return []string{"rust"} },
	}), ""}
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
		p.url = "unix://" + address
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if network == "tcp" {
		p.url = "http://" + l.Addr().String() + "/exec"
	}
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Shutdown(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
	return p
}

// tool is a call of the shim that runs a script.
func (p *realProxy) tool(t *testing.T, script string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	cmd, out, errs = shimCmd(t, p.url, "cargo", script)
	cmd.Env = append(cmd.Env, envPretend+"=1")
	return cmd, out, errs
}

// through runs a script of the caller in which "$T" SCRIPT is the tool.
func (p *realProxy) through(t *testing.T, caller string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	shim, _, _ := p.tool(t, "")
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = exec.Command("/bin/sh", "-c", caller)
	cmd.Dir, cmd.Stdout, cmd.Stderr = shim.Dir, out, errs
	cmd.Env = append(shim.Env, "T="+shim.Path, "PATH=/usr/bin:/bin")
	return cmd, out, errs
}

// TestNative: the tool has the caller's own streams, over a unix socket.
func TestNative(t *testing.T) {
	for _, tt := range []struct{ name, caller, want string }{
		{"pipes", `echo in | "$T" 'cat; echo err >&2; exit 3'; echo $?`, "in\n3\n"},
		{"input is left to others", `printf 'a\nb\nc\n' > list; while read f; do "$T" "echo got $f"; done < list`, "got a\ngot b\ngot c\n"},
		{"a tool takes no more than it reads", `printf 'a\nb\nc\n' | { "$T" 'read x; echo $x'; cat; }`, "a\nb\nc\n"},
		{"offsets are shared", `printf 'abcdef' > f; { head -c 0; dd bs=1 count=2 2>/dev/null; "$T" 'dd bs=1 count=2 2>/dev/null'; cat; } < f`, "abcdef"},
		{"append", `echo 1 > log; "$T" 'echo 2' >> log; "$T" 'echo 3; readlink /proc/self/fd/1' >> log; grep -c /log log; head -3 log`, "1\n1\n2\n3\n"},
		{"same pipe", `"$T" 'echo o; echo e >&2; echo o' 2>&1`, "o\ne\no\n"},
		{"closed", `"$T" 'cat; echo out; echo err >&2; exit 4' <&- >&- 2>&-; echo $?`, "4\n"},
		{"closed input", `"$T" 'cat; echo $?' <&-`, "0\n"},
		{"no output", `"$T" 'echo x' >&-; echo $?`, "0\n"},
		{"codes", `for c in 0 1 126 127 129 130 139 255; do "$T" "exit $c"; echo $?; done`, "0\n1\n126\n127\n129\n130\n139\n255\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newRealProxy(t, "unix")
			cmd, out, errs := p.through(t, tt.caller)
			if c := code(t, cmd); c != 0 || out.String() != tt.want {
				t.Errorf("exit %d, stdout %q, stderr %q", c, out, errs)
			}
			for _, c := range p.calls {
				if c.Files == nil || c.Stdin != nil || c.Stdout != nil {
					t.Error("the call had streams")
				}
			}
		})
	}
}

// TestNativeEarlyClose: a reader sees the end of the tool's output, not ours.
func TestNativeEarlyClose(t *testing.T) {
	p := newRealProxy(t, "unix")
	cmd, _, _ := p.tool(t, `echo x; exec >&-; read y; exit 9`)
	cmd.Stdout, cmd.Stderr = nil, nil
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(out); err != nil || string(b) != "x\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := io.WriteString(in, "y\n"); err != nil {
		t.Error(err)
	}
	if c := wait(t, cmd); c != 9 {
		t.Errorf("exit %d", c)
	}
}

// TestNativeReaderLeaves is "cargo test | head -1" with the tool's own SIGPIPE.
func TestNativeReaderLeaves(t *testing.T) {
	p := newRealProxy(t, "unix")
	cmd, _, errs := p.tool(t, "exec yes")
	readerLeaves(t, cmd, errs, 2)
}

// TestNativeSignals: what the shim gets, the tool gets.
func TestNativeSignals(t *testing.T) {
	p := newRealProxy(t, "unix")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		cmd, _, _ := p.tool(t, "ulimit -c 0; echo ready; read forever")
		keep, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		startReady(t, cmd)
		kill(t, cmd, s)
		if got := wait(t, cmd); got != -int(s) {
			t.Errorf("%v: ended by %d", s, got)
		}
		keep.Close()
	}
}

// TestNativeClientKilled: nothing is left of a tool whose shim was killed.
func TestNativeClientKilled(t *testing.T) {
	p := newRealProxy(t, "unix")
	cmd, _, _ := p.tool(t, "echo ready; read forever")
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	keep, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	kill(t, cmd, syscall.SIGKILL)
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 { // ends when the tool has
		t.Errorf("%q, %v", rest, err)
	}
	_ = cmd.Wait()
}

// TestEnvRule: what the caller set reaches the tool, the agent's secrets do not.
func TestEnvRule(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		p := newRealProxy(t, network)
		note := filepath.Join(t.TempDir(), "note")
		if err := os.WriteFile(note, []byte("OPENAI_API_KEY=secret\x00EDITOR=vi\x00TERM=xterm\x00PATH=/usr/bin:/bin\x00"), 0o644); err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string][]string{
			note:           {"BYTES=\xff", "CFLAGS=-O2 -g", "EDITOR=ed", "FOO=1", "TERM=xterm"},
			"/nonexistent": {"TERM=xterm"},
		} {
			cmd, out, errs := p.through(t, `export CFLAGS='-O2 -g' EDITOR=ed LD_X=1 SHLVL=7; FOO=1 exec "$T" 'env | grep -v -e ^PWD= -e ^_= -e ^PATH='`)
			cmd.Env = append(cmd.Env, envNote+"="+file, "OPENAI_API_KEY=secret", "TERM=xterm", "BYTES=\xff")
			if c := code(t, cmd); c != 0 {
				t.Fatalf("exit %d: %s", c, errs)
			}
			got := strings.Split(strings.TrimSpace(out.String()), "\n")
			got = slices.DeleteFunc(got, func(v string) bool { return strings.HasPrefix(v, "T=") || strings.HasPrefix(v, "GORACE=") })
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q", network, file, got)
			}
		}
	}
}

// TestTooLong is what a shell says for a program that gets too much.
func TestTooLong(t *testing.T) {
	p := newRealProxy(t, "tcp")
	cmd, _, errs := p.tool(t, "true")
	for range 17 { // more than the proxy takes, less than the kernel with a larger stack
		cmd.Args = append(cmd.Args, strings.Repeat("x", execproto.MaxArgLen))
	}
	var stack syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &stack); err != nil {
		t.Fatal(err)
	}
	wide := stack
	wide.Cur = 32 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_STACK, &wide); err != nil {
		t.Skip(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_STACK, &stack)
	if c := code(t, cmd); c != execproto.ExitNotExecutable || errs.String() != "aifo-shim: cargo: argument list too long\n" {
		t.Errorf("exit %d: %s", c, errs)
	}
}
