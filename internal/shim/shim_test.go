//go:build linux

package shim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

func wait(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return -int(ws.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

func TestExitCodes(t *testing.T) {
	for sent, want := range map[int]int{0: 0, 1: 1, 101: 101, 124: 124, 127: 127, 130: 130, 143: 143, 255: 255, 256: 1, -1: 255} {
		p := newProxy(t, "tcp", func(p *peer) { p.upgrade(); p.exit(sent) })
		cmd, out, errs := shimCmd(t, p.url, "cargo")
		if got := code(t, cmd); got != want {
			t.Errorf("exit %d: got %d, want %d", sent, got, want)
		}
		if out.Len()+errs.Len() > 0 {
			t.Errorf("exit %d: printed %q, %q", sent, out, errs)
		}
	}
}

func TestRequest(t *testing.T) {
	big := strings.Repeat("x", 120<<10)
	args := []string{"", "a b&c=d+%", "h\xc3\xa9llo", "\xff\xfe\x80", "line\nline", "--", big, big, big, big, big, big, big, big, big}
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			var got *peer
			p := newProxy(t, network, func(p *peer) { got = p; p.upgrade(); p.exit(0) })
			cmd, _, errs := shimCmd(t, p.url, append([]string{"/opt/aifo/bin/cargo"}, args...)...)
			if c := code(t, cmd); c != 0 {
				t.Fatalf("exit %d: %s", c, errs)
			}
			<-p.done
			if !reflect.DeepEqual(got.form["arg"], args) {
				t.Error("arguments changed on the way")
			}
			if got.form.Get("tool") != "cargo" || got.form.Get("cwd") != cmd.Dir {
				t.Errorf("tool %q, cwd %q", got.form.Get("tool"), got.form.Get("cwd"))
			}
			h := got.request.Header
			for name, want := range map[string]string{
				"Authorization": "Bearer tok", "X-Aifo-Proto": "3", "Connection": "Upgrade", "Upgrade": "aifo-exec/3",
				"Content-Type": "application/x-www-form-urlencoded",
			} {
				if h.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, h.Get(name), want)
				}
			}
			if id := h.Get("X-Aifo-Exec-Id"); !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
				t.Errorf("exec id %q", id)
			}
			if got.request.Method != "POST" || got.request.URL.Path != "/exec" {
				t.Errorf("%s %s", got.request.Method, got.request.URL)
			}
		})
	}
}

func TestStreamsApart(t *testing.T) {
	p := newProxy(t, "unix", func(p *peer) {
		p.upgrade()
		p.write(execproto.FrameStdout, "out1 ")
		p.write(execproto.FrameStderr, "err1 ")
		p.write(execproto.FrameStdout, "out2")
		p.write(execproto.FrameStderr, "err2\n")
		p.write(execproto.FrameError, "the sidecar is gone")
		p.exit(125)
	})
	cmd, out, errs := shimCmd(t, p.url, "cargo")
	if c := code(t, cmd); c != 125 {
		t.Errorf("exit %d", c)
	}
	if out.String() != "out1 out2" || errs.String() != "err1 err2\naifo-shim: cargo: the sidecar is gone\n" {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
}

// TestLargeOutput: pieces of all sizes arrive whole and in order, in a pipe and in
// a file, also when the connection brings them in parts.
func TestLargeOutput(t *testing.T) {
	for name, output := range map[string]func(t *testing.T, cmd *exec.Cmd) (written func() []byte){
		"pipe": func(_ *testing.T, cmd *exec.Cmd) func() []byte { return cmd.Stdout.(*bytes.Buffer).Bytes },
		"file": func(t *testing.T, cmd *exec.Cmd) func() []byte {
			f, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = f
			return func() []byte {
				f.Close()
				b, _ := os.ReadFile(f.Name()) // nothing is not what the test wants
				return b
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, "tcp", func(p *peer) {
				p.upgrade()
				_ = p.conn.(*net.TCPConn).SetWriteBuffer(8 << 10)
				for _, piece := range largePieces() {
					p.write(execproto.FrameStdout, piece)
				}
				p.exit(7)
			})
			cmd, _, errs := shimCmd(t, p.url, "cargo")
			written := output(t, cmd)
			c, got, want := code(t, cmd), written(), strings.Join(largePieces(), "")
			if c != 7 || errs.Len() > 0 || string(got) != want {
				t.Errorf("exit %d, %d bytes of %d, stderr %q", c, len(got), len(want), errs)
			}
		})
	}
}

func largePieces() (pieces []string) {
	for i, n := range []int{
		execproto.MaxOutput, 1, 2*headBuffer - 1, 2 * headBuffer, 2*headBuffer + 1, headBuffer,
		execproto.MaxOutput, execproto.MaxOutput, execproto.MaxPayload, 100,
	} {
		pieces = append(pieces, strings.Repeat(string(rune('a'+i)), n))
	}
	return pieces
}

// TestInput sends 64 MiB through small credits and checks that the shim never
// sends more than it may.
func TestInput(t *testing.T) {
	const size = 64 << 20
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(data)
	var sum [32]byte
	p := newProxy(t, "tcp", func(p *peer) {
		p.upgrade()
		sum = p.drain(200 << 10)
		p.exit(0)
	})
	cmd, _, errs := shimCmd(t, p.url, "gcc")
	cmd.Stdin = bytes.NewReader(data)
	if c := code(t, cmd); c != 0 {
		t.Fatalf("exit %d: %s", c, errs)
	}
	if sum != sha256.Sum256(data) {
		t.Error("the input changed on the way")
	}
}

// drain reads all input, with new credit each time that the old is used up.
func (p *peer) drain(step int) (sum [32]byte) {
	h := sha256.New()
	credit := execproto.InitialCredit
	for {
		f, err := p.frames.Read()
		if err != nil || f.Type == execproto.FrameStdinEOF {
			if err != nil {
				p.t.Errorf("read input: %v", err)
			}
			h.Sum(sum[:0])
			return sum
		}
		h.Write(f.Payload)
		if credit -= len(f.Payload); credit < 0 {
			p.t.Errorf("%d bytes more than credited", -credit)
		}
		if credit == 0 {
			credit += step
			if err := p.out.WriteUint32(execproto.FrameCredit, uint32(step)); err != nil {
				p.t.Errorf("send credit: %v", err)
			}
		}
	}
}

func TestNoInput(t *testing.T) {
	for _, stdin := range []string{"<&-", "</dev/null"} {
		p := newProxy(t, "tcp", func(p *peer) {
			p.upgrade()
			if f, err := p.frames.Read(); err != nil || f.Type != execproto.FrameStdinEOF {
				t.Errorf("%s: frame %q, %v", stdin, byte(f.Type), err)
			}
			p.exit(0)
		})
		shim, _, errs := shimCmd(t, p.url, "cargo")
		cmd := exec.Command("/bin/sh", "-c", `exec "$0" `+stdin, shim.Path)
		cmd.Dir, cmd.Env, cmd.Stderr = shim.Dir, shim.Env, errs
		if c := code(t, cmd); c != 0 {
			t.Errorf("%s: exit %d: %s", stdin, c, errs)
		}
	}
}

// TestReaderLeaves is "cargo test | head -1".
func TestReaderLeaves(t *testing.T) {
	for _, piece := range []string{"line\n", strings.Repeat("line\n", execproto.MaxOutput/5)} {
		closed := make(chan error, 1)
		p := newProxy(t, "tcp", func(p *peer) {
			p.upgrade()
			var err error
			for err == nil {
				err = p.out.Write(execproto.FrameStdout, []byte(piece))
			}
			closed <- err
		})
		cmd, _, errs := shimCmd(t, p.url, "cargo")
		readerLeaves(t, cmd, errs, 5)
		<-closed
	}
}

// started is a running shim whose tool has told that it runs.
func started(t *testing.T, script func(p *peer)) (*proxy, *exec.Cmd) {
	t.Helper()
	p := newProxy(t, "tcp", func(p *peer) {
		p.upgrade()
		p.write(execproto.FrameStdout, "ready\n")
		script(p)
	})
	cmd, _, _ := shimCmd(t, p.url, "cargo")
	return p, startReady(t, cmd)
}

func startReady(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("no start: %q, %v", line, err)
	}
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd, s syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) wantSignal(name string) {
	if f := p.next(); f.Type != execproto.FrameSignal || string(f.Payload) != name {
		p.t.Errorf("frame %q %q, want signal %s", byte(f.Type), f.Payload, name)
	}
}

func TestSignals(t *testing.T) {
	for name, s := range map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT} {
		for exit, want := range map[int]int{128 + int(s): -int(s), 7: 7, 0: 0, 137: 137} {
			_, cmd := started(t, func(p *peer) { p.wantSignal(name); p.exit(exit) })
			kill(t, cmd, s)
			if got := wait(t, cmd); got != want {
				t.Errorf("%s, then exit %d: got %d, want %d", name, exit, got, want)
			}
		}
	}
}

func TestThirdIntLeaves(t *testing.T) {
	ints := make(chan bool)
	_, cmd := started(t, func(p *peer) {
		for range 2 {
			p.wantSignal("INT")
			ints <- true
		}
		for {
			f, err := p.frames.Read()
			if f.Type == execproto.FrameStdinEOF && err == nil {
				continue
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("after the third INT: %v", err)
			}
			return
		}
	})
	for range 2 {
		kill(t, cmd, syscall.SIGINT)
		<-ints
	}
	kill(t, cmd, syscall.SIGINT)
	if got := wait(t, cmd); got != -int(syscall.SIGINT) {
		t.Errorf("got %d", got)
	}
}

// TestSignalBeforeAnswer: until there is a tool, the shim ends like any program.
func TestSignalBeforeAnswer(t *testing.T) {
	asked := make(chan bool)
	p := newProxy(t, "tcp", func(p *peer) {
		close(asked)
		if _, err := p.frames.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("read: %v", err)
		}
	})
	cmd, _, _ := shimCmd(t, p.url, "cargo")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	kill(t, cmd, syscall.SIGQUIT)
	if got := wait(t, cmd); got != -int(syscall.SIGQUIT) {
		t.Errorf("got %d", got)
	}
}

// TestWait: a call that has to wait says so, and goes on.
func TestWait(t *testing.T) {
	p := newProxy(t, "unix", func(p *peer) {
		p.say("HTTP/1.1 102 Processing\r\nX-Aifo-Notice: aifo-shim: waiting\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
		p.upgrade()
		p.exit(4)
	})
	cmd, out, errs := shimCmd(t, p.url, "cargo")
	if c := code(t, cmd); c != 4 || out.Len() > 0 || errs.String() != "aifo-shim: waiting\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", c, out, errs)
	}
}

// TestIgnoredSignal is "nohup cargo build".
func TestIgnoredSignal(t *testing.T) {
	p := newProxy(t, "tcp", func(p *peer) {
		p.upgrade()
		p.write(execproto.FrameStdout, "ready\n")
		p.wantSignal("TERM")
		p.exit(3)
	})
	shim, _, _ := shimCmd(t, p.url, "cargo")
	cmd := exec.Command("/bin/sh", "-c", `trap "" HUP; exec "$0"`, shim.Path)
	cmd.Dir, cmd.Env = shim.Dir, shim.Env
	startReady(t, cmd)
	kill(t, cmd, syscall.SIGHUP)
	kill(t, cmd, syscall.SIGTERM)
	if got := wait(t, cmd); got != 3 {
		t.Errorf("got %d", got)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
		stderr string
	}{
		{"HTTP/1.1 403 Forbidden\r\nX-Exit-Code: 86\r\nContent-Length: 10\r\nConnection: close\r\n\r\nforbidden\n", 86, "aifo-shim: cargo: forbidden\n"},
		{"HTTP/1.1 401 Unauthorized\r\n\r\nunauthorized\n", 86, "aifo-shim: cargo: unauthorized\n"},
		{"HTTP/1.1 409 Conflict\nx-exit-code: 86\n\n\r\ntool 'a' not available\nstart it\n", 86, "aifo-shim: cargo: tool 'a' not available\naifo-shim: cargo: start it\n"},
		{"HTTP/1.1 504 Gateway Timeout\r\nX-Exit-Code: 124\r\n\r\ntimeout\n", 124, "aifo-shim: cargo: timeout\n"},
		{"HTTP/1.1 500 Oops\r\nX-Exit-Code: 0\r\nContent-Length: 0\r\n\r\n", 86, "aifo-shim: cargo: refused by aifo-coder with status 500\n"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 125, "aifo-shim: cargo: " + lostMessage + "\n"},
		{"HTTP/1.1 200 OK\r\nX-Exit-Code: 0\r\nContent-Length: 9\r\n\r\nhalf", 125, "aifo-shim: cargo: " + lostMessage + "\n"},
	} {
		p := newProxy(t, "tcp", func(p *peer) { p.say(tt.answer) })
		cmd, _, errs := shimCmd(t, p.url, "cargo")
		if c := code(t, cmd); c != tt.code || errs.String() != tt.stderr {
			t.Errorf("%q: exit %d, stderr %q", tt.answer, c, errs)
		}
	}
}

func TestLostConnection(t *testing.T) {
	lost := "aifo-shim: cargo: " + lostMessage + "\n"
	for name, tt := range map[string]struct {
		script func(*peer)
		stderr string
	}{
		"no answer":            {func(*peer) {}, lost},
		"half a head":          {func(p *peer) { p.say("HTTP/1.1 101 Switch") }, lost},
		"no HTTP":              {func(p *peer) { p.say("SSH-2.0-x\r\n\r\n") }, lost},
		"before exit":          {func(p *peer) { p.upgrade(); p.write(execproto.FrameStdout, "x") }, lost},
		"inside a frame":       {func(p *peer) { p.upgrade(); p.say("q\x00\x00") }, lost},
		"inside a large frame": {func(p *peer) { p.upgrade(); p.say("o\x00\x02\x00\x00" + strings.Repeat("x", 100000)) }, lost},
		"after an error":       {func(p *peer) { p.upgrade(); p.write(execproto.FrameError, "ended") }, "aifo-shim: cargo: ended\n"},
		"unknown frame":        {func(p *peer) { p.upgrade(); p.say("?\x00\x00\x00\x00") }, "aifo-shim: cargo: malformed frame: unknown type '?' from aifo-coder; the tool was ended\n"},
		"short exit":           {func(p *peer) { p.upgrade(); p.write(execproto.FrameExit, "0") }, "aifo-shim: cargo: malformed frame: 1 bytes where a number was expected from aifo-coder; the tool was ended\n"},
	} {
		p := newProxy(t, "tcp", tt.script)
		cmd, _, errs := shimCmd(t, p.url, "cargo")
		if c := code(t, cmd); c != execproto.ExitLost || errs.String() != tt.stderr {
			t.Errorf("%s: exit %d, stderr %q", name, c, errs)
		}
		if n := p.calls.Load(); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
}

func TestUnreachable(t *testing.T) {
	p := newProxy(t, "tcp", func(*peer) {})
	dead := "http://127.0.0.1:1/exec" // tcpmux, which nobody runs
	for url, want := range map[string]string{
		dead:                      "cannot reach aifo-coder at 127.0.0.1:1: connect: connection refused (has aifo-coder ended? if a firewall keeps containers from the host, start it with --toolchain-unix-socket)",
		"unix:///nonexistent/s":   "cannot reach aifo-coder at /nonexistent/s: connect: no such file or directory (has aifo-coder ended?)",
		"https://example.org/":    `AIFO_TOOLEEXEC_URL is neither http://HOST:PORT/exec nor unix:///SOCKET: "https://example.org/"`,
		"http://a\r\nX: y:1/exec": `AIFO_TOOLEEXEC_URL is neither http://HOST:PORT/exec nor unix:///SOCKET: "http://a\r\nX: y:1/exec"`,
	} {
		cmd, _, errs := shimCmd(t, url, "cargo")
		if c := code(t, cmd); c != execproto.ExitRefused || errs.String() != "aifo-shim: cargo: "+want+"\n" {
			t.Errorf("%s: exit %d, stderr %q", url, c, errs)
		}
	}
	cmd, _, errs := shimCmd(t, p.url, "cargo")
	cmd.Dir = "/"
	if c := code(t, cmd); c != execproto.ExitRefused || !strings.Contains(errs.String(), "the working directory / is outside "+execWorkspace(cmd)) {
		t.Errorf("outside: exit %d, stderr %q", c, errs)
	}
	if p.calls.Load() > 0 {
		t.Error("a call from outside the workspace was sent")
	}
}

func execWorkspace(cmd *exec.Cmd) string {
	for _, e := range cmd.Env {
		if ws, ok := strings.CutPrefix(e, envWorkspace+"="); ok {
			return ws
		}
	}
	return ""
}

// TestRealDirectory: a link into the workspace leads in, one out of it leads out.
func TestRealDirectory(t *testing.T) {
	var cwd string
	p := newProxy(t, "tcp", func(p *peer) { cwd = p.form.Get("cwd"); p.upgrade(); p.exit(0) })
	cmd, _, _ := shimCmd(t, p.url, "cargo")
	ws := cmd.Dir
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(ws+"/sub", 0o755), os.Symlink(ws+"/sub", link)); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = link
	cmd.Env = append(cmd.Env, "PWD="+link)
	if c := code(t, cmd); c != 0 || cwd != ws+"/sub" {
		t.Errorf("exit %d, cwd %q", c, cwd)
	}
}

func TestNotification(t *testing.T) {
	for _, name := range []string{"say", "notifications-cmd"} {
		var got *peer
		p := newProxy(t, "tcp", func(p *peer) {
			got = p
			p.say("HTTP/1.1 200 OK\r\nX-Exit-Code: 4\r\nContent-Length: 6\r\n\r\nspoken")
		})
		cmd, out, _ := shimCmd(t, p.url, name, "hello there")
		cmd.Dir = "/"
		if c := code(t, cmd); c != 4 || out.String() != "spoken" {
			t.Errorf("%s: exit %d, stdout %q", name, c, out)
		}
		<-p.done
		if got.request.URL.Path != "/notify" || got.form.Get("cmd") != name || got.form.Get("arg") != "hello there" || got.form.Has("cwd") || got.request.Header.Get("X-Aifo-Proto") != "2" {
			t.Errorf("%s %v", got.request.URL, got.form)
		}
	}
}

// TestVariable: what a caller lacks is what the agent was started with.
func TestVariable(t *testing.T) {
	const unset = "unset"
	note := filepath.Join(t.TempDir(), "note")
	if err := os.WriteFile(note, []byte("A=1\x00AIFO_TOOLEEXEC_URL=noted\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	for own, want := range map[string]string{unset: "noted", "": "", " own\n": "own"} {
		t.Setenv(execproto.EnvURL, own)
		if own == unset {
			_ = os.Unsetenv(execproto.EnvURL)
		}
		if got := (call{envFiles: []string{note}}).variable(execproto.EnvURL); got != want {
			t.Errorf("%q: %q", own, got)
		}
	}
}

func TestNoProxy(t *testing.T) {
	cmd, _, errs := shimCmd(t, "", "no-such-tool")
	want := "aifo-shim: no-such-tool: no toolchain proxy is configured; start the agent with aifo-coder --toolchain <kind>\n"
	if c := code(t, cmd); c != execproto.ExitRefused || errs.String() != want {
		t.Errorf("exit %d, stderr %q", c, errs)
	}
}

// TestLocalTool: without a proxy the image's own tool runs, not the shim again.
func TestLocalTool(t *testing.T) {
	shimDir, ownDir := t.TempDir(), t.TempDir()
	cmd, out, errs := shimCmd(t, "", "aifo-test-tool", "a", "b c")
	err := errors.Join(
		os.Symlink(cmd.Path, shimDir+"/aifo-test-tool"),
		os.WriteFile(ownDir+"/aifo-test-tool", []byte("#!/bin/sh\necho \"$#:$2\"\nexit 9\n"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PATH="+shimDir+":"+ownDir)
	if c := code(t, cmd); c != 9 || out.String() != "2:b c\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", c, out, errs)
	}
}

func TestFindLocal(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"plain": 0o644, "tool": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"plain": "", "dir": "", "none": "", "tool": dir + "/tool"} {
		if got := findLocal(name, []string{"/nonexistent", dir}, nil); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestParseURL(t *testing.T) {
	for url, want := range map[string]endpoint{
		"http://host.docker.internal:4711/exec": {"tcp", "host.docker.internal:4711", "host.docker.internal:4711", "/exec"},
		"http://h:1":                            {"tcp", "h:1", "h:1", "/exec"},
		"http://h":                              {"tcp", "h:80", "h", "/exec"},
		"http://[::1]:9/x":                      {"tcp", "[::1]:9", "[::1]:9", "/x"},
		"http://[::1]/":                         {"tcp", "[::1]:80", "[::1]", "/exec"},
		"unix:///run/aifo/toolexec.sock":        {"unix", "/run/aifo/toolexec.sock", "localhost", "/exec"},
	} {
		if got, err := parseURL(url); err != nil || got != want {
			t.Errorf("%s: %+v, %v", url, got, err)
		}
	}
	for _, url := range []string{"", "http://", "http:///exec", "unix://x", "ftp://h/"} {
		if e, err := parseURL(url); err == nil {
			t.Errorf("%q: %+v", url, e)
		}
	}
}

func TestCreditGivenInParts(t *testing.T) {
	c := newCredit(1)
	c.take(1)
	got := make(chan int)
	go func() { got <- c.wait() }()
	c.add(0) // wakes the waiter, for nothing
	c.add(5)
	if n := <-got; n != 5 {
		t.Error(fmt.Sprint("credit ", n))
	}
}
