//go:build linux

package shim

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// screen is a terminal with somebody before it.
type screen struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	seen   string
	shown  chan string
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, master: master, slave: slave, shown: make(chan string, 64)}
	s.resize(33, 99)
	fd, err := syscall.Dup(int(master.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	go s.watch(fd)
	t.Cleanup(func() { slave.Close(); master.Close() })
	return s
}

// watch reads what is shown until nobody has the terminal any more.
func (s *screen) watch(fd int) {
	defer syscall.Close(fd)
	b := make([]byte, 4096)
	for {
		n, err := syscall.Read(fd, b)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
		if n > 0 {
			s.shown <- string(b[:n])
		}
	}
}

// on makes the terminal the three streams of cmd: in the same session as the
// test, so that its parent could continue it, or as the terminal of a new one.
func (s *screen) on(cmd *exec.Cmd, own bool) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.slave, s.slave, s.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !own, Setsid: own, Setctty: own}
}

func (s *screen) start(cmd *exec.Cmd) {
	s.t.Helper()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
}

func (s *screen) typeIn(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, text); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until text has appeared, and forgets it and what was before.
func (s *screen) await(text string) {
	s.t.Helper()
	for !strings.Contains(s.seen, text) {
		select {
		case more := <-s.shown:
			s.seen += more
		case <-time.After(30 * time.Second):
			s.t.Fatalf("waiting for %q, seen %q", text, s.seen)
		}
	}
	_, s.seen, _ = strings.Cut(s.seen, text)
}

func (s *screen) resize(rows, cols uint16) {
	s.t.Helper()
	if err := pty.Setsize(s.master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) modes() unix.Termios {
	s.t.Helper()
	m, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *m
}

func (s *screen) wantRaw(want bool) {
	s.t.Helper()
	if raw := s.modes().Lflag&unix.ICANON == 0; raw != want {
		s.t.Errorf("raw: %v, want %v", raw, want)
	}
}

// stopped waits until the process was stopped.
func stopped(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() || ws.StopSignal() != syscall.SIGTSTP {
		t.Fatalf("not stopped by TSTP: %v, %v", ws, err)
	}
}

// TestTerminal: the tool has a terminal of its own, of the right size, and the
// caller's is as it was in the end.
func TestTerminal(t *testing.T) {
	p := newRealProxy(t, "tcp")
	s := newScreen(t)
	before := s.modes()
	cmd, _, _ := p.tool(t, `test -t 0 -a -t 1 -a -t 2 && stty size && echo $TERM; trap 'echo size; stty size' WINCH; trap 'echo int' INT; while echo ready; do read x && test "$x" = q && exit 5; done`)
	cmd.Env = append(cmd.Env, "TERM=vt100")
	s.on(cmd, true)
	s.start(cmd)
	s.await("33 99\r\nvt100\r\nready\r\n")
	s.wantRaw(true)
	s.typeIn("\x03")
	s.await("int\r\n")
	s.resize(24, 80)
	s.await("size\r\n24 80\r\n")
	s.typeIn("q\r")
	if c := wait(t, cmd); c != 5 {
		t.Errorf("exit %d", c)
	}
	if after := s.modes(); after != before {
		t.Errorf("modes changed: %+v, %+v", before, after)
	}
}

// TestTerminalInPart: a stream that goes elsewhere is no terminal of the tool's
// either. Without its input or output the keys are left alone.
func TestTerminalInPart(t *testing.T) {
	p := newRealProxy(t, "tcp")
	for fd, want := range []struct {
		raw                bool
		out, errs, display string
	}{
		{raw: false, display: "out 12\r\nerr 12\r\n33 99\r\n"},
		{raw: false, out: "out 2\n", display: "err 2\r\n33 99\r\n"},
		{raw: true, errs: "err 01\n", display: "out 01\r\n33 99\r\n"},
	} {
		s := newScreen(t)
		before := s.modes()
		cmd, out, errs := p.tool(t, `t=; for i in 0 1 2; do test -t $i && t=$t$i; done; echo "out $t"; echo "err $t" >&2; stty size < /dev/tty > /dev/tty; read x; exit 3`)
		s.on(cmd, true)
		switch fd {
		case 0:
			cmd.Stdin, cmd.SysProcAttr.Ctty = nil, 1
		case 1:
			cmd.Stdout = out
		case 2:
			cmd.Stderr = errs
		}
		s.start(cmd)
		s.await(want.display)
		s.wantRaw(want.raw)
		s.typeIn("x\r")
		if c := wait(t, cmd); c != 3 || out.String() != want.out || errs.String() != want.errs {
			t.Errorf("%d: exit %d, stdout %q, stderr %q", fd, c, out, errs)
		}
		if after := s.modes(); after != before {
			t.Errorf("%d: modes changed: %+v, %+v", fd, after, before)
		}
	}
}

// TestTerminalNotGiven: where the tool cannot have one, keys still mean what they
// mean in the caller's.
func TestTerminalNotGiven(t *testing.T) {
	p := newRealProxy(t, "tcp")
	p.bare.Store(true)
	s := newScreen(t)
	cmd, _, _ := p.tool(t, `test -t 0 || echo ready; read x; echo got-$x; read x`)
	s.on(cmd, true)
	s.start(cmd)
	s.await("ready\r\n")
	s.wantRaw(false)
	s.typeIn("word\n")
	s.await("got-word\r\n")
	s.typeIn("\x03")
	if c := wait(t, cmd); c != -int(syscall.SIGINT) {
		t.Errorf("ended by %d", c)
	}
}

// TestTerminalRestored: whatever ends the call, the terminal is as it was.
func TestTerminalRestored(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(p *peer, pid int)
		code   int
		screen string
	}{
		"error":      {func(p *peer, _ int) { p.write(execproto.FrameError, "no sidecar"); p.exit(86) }, 86, "aifo-shim: cargo: no sidecar\r\n"},
		"connection": {func(*peer, int) {}, 125, "lost the connection to aifo-coder; the tool was ended\r\n"},
		"nonsense":   {func(p *peer, _ int) { p.say("?????") }, 125, "malformed frame"},
		"signal":     {func(p *peer, pid int) { syscall.Kill(pid, syscall.SIGTERM); p.wantSignal("TERM"); p.exit(143) }, -15, ""},
		"hangup":     {func(p *peer, pid int) { syscall.Kill(pid, syscall.SIGHUP); p.wantSignal("HUP"); p.exit(129) }, -1, ""},
		"three INT": {func(p *peer, pid int) {
			for range 2 {
				syscall.Kill(pid, syscall.SIGINT)
				p.wantSignal("INT")
			}
			syscall.Kill(pid, syscall.SIGINT)
			_, _ = p.frames.Read()
		}, -2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pid := make(chan int)
			p := newProxy(t, "tcp", func(p *peer) {
				p.upgradeTerminal()
				p.write(execproto.FrameStdout, "ready")
				tt.end(p, <-pid)
			})
			s := newScreen(t)
			before := s.modes()
			cmd, _, _ := shimCmd(t, p.url, "cargo")
			s.on(cmd, true)
			s.start(cmd)
			s.await("ready")
			s.wantRaw(true)
			pid <- cmd.Process.Pid
			s.await(tt.screen)
			if c := wait(t, cmd); c != tt.code {
				t.Errorf("exit %d, want %d", c, tt.code)
			}
			if after := s.modes(); after != before {
				t.Errorf("modes changed: %+v, %+v", before, after)
			}
		})
	}
}

// TestTerminalPanic: not even a mistake of ours leaves a raw terminal.
func TestTerminalPanic(t *testing.T) {
	s := newScreen(t)
	before := s.modes()
	term := &terminal{streams: execproto.TTYAll, fd: int(s.slave.Fd())}
	term.makeRaw()
	s.wantRaw(true)
	func() {
		defer func() {
			if e := recover(); e != "mistake" {
				t.Errorf("recovered %v", e)
			}
		}()
		term.guard(func() { panic("mistake") })
	}()
	if s.modes() != before {
		t.Error("modes changed")
	}
	term.restore()
}

// TestTerminalStops: the terminal is the shell's while the shim is stopped, and
// what became of it meanwhile counts afterwards.
func TestTerminalStops(t *testing.T) {
	p := newProxy(t, "tcp", func(p *peer) {
		p.upgradeTerminal()
		p.write(execproto.FrameStdout, "ready")
		p.wantSignal("TSTP")
		p.wantSignal("CONT")
		if f := p.next(); f.Type != execproto.FrameResize || string(f.Payload) != "\x00\x07\x00\x09" {
			p.t.Errorf("frame %q %q", byte(f.Type), f.Payload)
		}
		p.write(execproto.FrameStdout, "again")
		p.wantInput("q")
		p.exit(0)
	})
	s := newScreen(t)
	cmd, _, _ := shimCmd(t, p.url, "cargo")
	s.on(cmd, false)
	s.start(cmd)
	s.await("ready")
	s.wantRaw(true)
	kill(t, cmd, syscall.SIGTSTP)
	stopped(t, cmd)
	s.wantRaw(false)
	s.resize(7, 9)
	modes := s.modes()
	modes.Lflag &^= unix.ECHOE
	if err := unix.IoctlSetTermios(int(s.slave.Fd()), unix.TCSETS, &modes); err != nil {
		t.Fatal(err)
	}
	kill(t, cmd, syscall.SIGCONT)
	s.await("again")
	s.wantRaw(true)
	s.typeIn("q")
	if c := wait(t, cmd); c != 0 {
		t.Errorf("exit %d", c)
	}
	if s.modes() != modes {
		t.Error("modes changed")
	}
}

func (p *peer) upgradeTerminal() {
	p.say("HTTP/1.1 101 Switching Protocols\r\nX-Aifo-Terminal: 1\r\n\r\n")
}

// wantInput skips to input.
func (p *peer) wantInput(text string) {
	for {
		f, err := p.frames.Read()
		if err != nil {
			p.t.Errorf("read frame: %v", err)
			return
		}
		if f.Type == execproto.FrameStdin {
			if string(f.Payload) != text {
				p.t.Errorf("input %q, want %q", f.Payload, text)
			}
			return
		}
	}
}

// TestStops: TSTP stops the tool and then the shim, CONT lets both go on.
func TestStops(t *testing.T) {
	p := newRealProxy(t, "unix")
	cmd, _, _ := p.tool(t, "echo ready; read x; echo $x")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	startReady(t, cmd)
	kill(t, cmd, syscall.SIGTSTP)
	stopped(t, cmd)
	if name := <-p.signals; name != "TSTP" {
		t.Errorf("got %s", name)
	}
	p.wantStopped(t)
	kill(t, cmd, syscall.SIGCONT)
	if name := <-p.signals; name != "CONT" {
		t.Errorf("got %s", name)
	}
	in.Close()
	if c := wait(t, cmd); c != 0 {
		t.Errorf("exit %d", c)
	}
}

// wantStopped waits until the first process of each call is stopped.
func (p *realProxy) wantStopped(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	groups := maps.Clone(p.groups)
	p.mu.Unlock()
	if len(groups) == 0 {
		t.Error("no call")
	}
	for _, pid := range groups {
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() {
			t.Errorf("%v: %v, not stopped", ws, err)
		}
	}
}

// TestStopsUnlessOrphaned: where nobody could continue it, a program is not stopped.
func TestStopsUnlessOrphaned(t *testing.T) {
	p := newProxy(t, "tcp", func(p *peer) {
		p.upgradeTerminal()
		p.write(execproto.FrameStdout, "ready\n")
		p.wantSignal("TSTP")
		p.wantSignal("CONT")
		p.exit(6)
	})
	cmd, _, _ := shimCmd(t, p.url, "cargo")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	startReady(t, cmd)
	kill(t, cmd, syscall.SIGTSTP)
	if c := wait(t, cmd); c != 6 {
		t.Errorf("exit %d", c)
	}
}

// TestStopsBeforeAnswer: a call that waits can be stopped like any program.
func TestStopsBeforeAnswer(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	p := newProxy(t, "tcp", func(p *peer) {
		close(asked)
		<-answer
		p.upgradeTerminal()
		p.exit(2)
	})
	cmd, _, _ := shimCmd(t, p.url, "cargo")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	kill(t, cmd, syscall.SIGTSTP)
	stopped(t, cmd)
	close(answer)
	kill(t, cmd, syscall.SIGCONT)
	if c := wait(t, cmd); c != 2 {
		t.Errorf("exit %d", c)
	}
}

// TestIgnoredStop: a TSTP that the caller ignores is not taken.
func TestIgnoredStop(t *testing.T) {
	p := newProxy(t, "tcp", func(p *peer) {
		p.upgradeTerminal()
		p.write(execproto.FrameStdout, "ready\n")
		p.wantSignal("TERM")
		p.exit(3)
	})
	shim, _, _ := shimCmd(t, p.url, "cargo")
	cmd := exec.Command("/bin/sh", "-c", `trap "" TSTP; exec "$0"`, shim.Path)
	cmd.Dir, cmd.Env = shim.Dir, shim.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	startReady(t, cmd)
	kill(t, cmd, syscall.SIGTSTP)
	kill(t, cmd, syscall.SIGTERM)
	if c := wait(t, cmd); c != 3 {
		t.Errorf("exit %d", c)
	}
}

// TestNativeTerminal: with its files handed over the tool uses the caller's
// terminal itself. The shim leaves its modes alone and passes on what the
// terminal's kernel tells only the shim.
func TestNativeTerminal(t *testing.T) {
	p := newRealProxy(t, "unix")
	s := newScreen(t)
	cmd, _, _ := p.tool(t, `test -t 0 -a -t 1 -a -t 2 && stty size; trap 'stty size' WINCH; trap 'exit 5' INT; stty -echo; while echo ready; do read x; done`)
	s.on(cmd, true)
	s.start(cmd)
	s.await("33 99\r\nready\r\n")
	s.wantRaw(false)
	if s.modes().Lflag&unix.ECHO != 0 {
		t.Error("the tool could not set the terminal's modes")
	}
	s.resize(24, 80)
	s.await("24 80\r\n")
	s.typeIn("\x03")
	if c := wait(t, cmd); c != 5 {
		t.Errorf("exit %d", c)
	}
}

// TestShell is a person with bash: jobs in the background, Ctrl-Z and fg.
func TestShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			p := newRealProxy(t, network)
			shim, _, _ := p.tool(t, "")
			s := newScreen(t)
			cmd := exec.Command(bash, "--norc", "--noediting", "-i")
			cmd.Dir = shim.Dir
			cmd.Env = append(shim.Env, "T="+shim.Path, "PATH=/usr/bin:/bin", "PS1=> ", "TERM=dumb", "HISTFILE=")
			s.on(cmd, true)
			s.start(cmd)
			s.await("> ")

			// In the background: it writes, has no input, and ends.
			s.typeIn("\"$T\" 'cat; echo from''-background' & wait; echo wait''ed\n")
			s.await("from-background")
			s.await("waited")

			// In the foreground it is stopped, continued and used.
			s.typeIn("\"$T\" 'echo rea''dy; while read x; do echo got-$x; done'\n")
			s.await("ready\r\n")
			if network == "unix" {
				s.typeIn("\x1a")
			} else {
				s.kill(syscall.SIGTSTP) // the key is the tool's
			}
			s.await("Stopped")
			s.await("> ")
			if network == "unix" {
				p.wantStopped(t) // until then it may read what is typed
			}
			s.wantRaw(false)
			s.typeIn("jobs; echo here; fg\n")
			s.await("here")
			s.await("\"$T\"") // what fg says
			s.typeIn("hello\r")
			s.await("got-hello")
			s.typeIn("\x04")
			s.await("> ")
			s.typeIn("echo code=$?; exit 3\n")
			s.await("code=0")
			if c := wait(t, cmd); c != 3 {
				t.Errorf("exit %d", c)
			}
		})
	}
}

// kill sends a signal to the job in the foreground.
func (s *screen) kill(sig syscall.Signal) {
	s.t.Helper()
	pgrp, err := unix.IoctlGetInt(int(s.master.Fd()), unix.TIOCGPGRP)
	if err = errors.Join(err, syscall.Kill(-pgrp, sig)); err != nil {
		s.t.Fatal(err)
	}
}

// TestProxyKilled: the end of the proxy leaves no raw terminal.
func TestProxyKilled(t *testing.T) {
	p := newRealProxy(t, "tcp")
	s := newScreen(t)
	cmd, _, _ := p.tool(t, "echo ready; read x")
	s.on(cmd, true)
	s.start(cmd)
	s.await("ready")
	s.wantRaw(true)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = p.Shutdown(ended) // does not wait
	s.await("the session is ending")
	if c := wait(t, cmd); c != execproto.ExitRefused {
		t.Errorf("exit %d", c)
	}
	s.wantRaw(false)
}
