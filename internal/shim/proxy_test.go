//go:build linux

package shim

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// envWorkspace makes the test binary the shim, for the tool in its argv[0].
// envPretend makes it say that it is in /workspace, which a real proxy wants.
// envNote is where the agent's first environment is.
const (
	envWorkspace = "AIFO_TEST_SHIM_WORKSPACE"
	envPretend   = "AIFO_TEST_SHIM_PRETEND"
	envNote      = "AIFO_TEST_SHIM_NOTE"
	envFilename  = "AIFO_TEST_SHIM_FILENAME" // print execFilename
)

func TestMain(m *testing.M) {
	if os.Getenv(envFilename) != "" {
		_, _ = os.Stdout.WriteString(execFilename())
		os.Exit(0)
	}
	if ws := os.Getenv(envWorkspace); ws != "" {
		c := newCall(os.Args)
		c.workspace = ws
		c.envFiles = []string{os.Getenv(envNote)}
		switch {
		case c.tool == execproto.NameMCP:
			os.Exit(c.serveMCP())
		case c.url == "" || c.token == "":
			os.Exit(c.runLocal())
		case os.Getenv(envPretend) != "":
			os.Exit(c.runIn(execproto.Workspace))
		}
		os.Exit(c.run())
	}
	// Where HUP is ignored, as under nohup, the shim would ignore it too; a caught
	// signal it gets back with its usual meaning.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

// proxy is a fake toolchain proxy. Its script plays one call.
type proxy struct {
	t     *testing.T
	url   string
	calls atomic.Int32
	done  chan struct{} // closed when the script has returned
}

// peer is the proxy's end of one call.
type peer struct {
	t       *testing.T
	conn    net.Conn
	request *http.Request
	form    url.Values
	body    []byte
	frames  *execproto.FrameReader
	out     *execproto.FrameWriter
}

func newProxy(t *testing.T, network string, script func(*peer)) *proxy {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{t: t, url: "http://" + l.Addr().String() + "/exec", done: make(chan struct{})}
	if network == "unix" {
		p.url = "unix://" + address
	}
	go p.serve(l, script)
	return p
}

func (p *proxy) serve(l net.Listener, script func(*peer)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if p.calls.Add(1) > 1 {
			conn.Close()
			continue
		}
		script(newPeer(p.t, conn))
		conn.Close()
		close(p.done)
	}
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	t.Helper()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Errorf("read request: %v", err)
		return &peer{t: t, conn: conn}
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(req.Body); err != nil {
		t.Errorf("read body: %v", err)
	}
	form, err := url.ParseQuery(body.String())
	if err != nil {
		t.Errorf("parse body: %v", err)
	}
	return &peer{t, conn, req, form, body.Bytes(), execproto.NewFrameReader(r), execproto.NewFrameWriter(conn)}
}

func (p *peer) say(s string) { _, _ = p.conn.Write([]byte(s)) }

func (p *peer) upgrade() {
	p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: aifo-exec/3\r\nX-Exec-Id: 1\r\n\r\n")
}

func (p *peer) exit(code int) {
	if err := p.out.WriteUint32(execproto.FrameExit, uint32(code)); err != nil {
		p.t.Errorf("send exit: %v", err)
	}
}

func (p *peer) write(t execproto.FrameType, s string) {
	if err := p.out.Write(t, []byte(s)); err != nil {
		p.t.Errorf("send %q: %v", byte(t), err)
	}
}

// next returns the next frame other than the end of input, which comes at any
// time when the input is /dev/null.
func (p *peer) next() execproto.Frame {
	for {
		f, err := p.frames.Read()
		if err != nil {
			p.t.Errorf("read frame: %v", err)
			return f
		}
		if f.Type != execproto.FrameStdinEOF {
			return f
		}
	}
}

// readerLeaves starts cmd with its output read by somebody who leaves after n
// bytes, and wants it to die of SIGPIPE without a word.
func readerLeaves(t *testing.T, cmd *exec.Cmd, errs *bytes.Buffer, n int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := r.Read(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if c := wait(t, cmd); c != -int(syscall.SIGPIPE) || errs.Len() > 0 {
		t.Errorf("ended by %d, printed %q", c, errs)
	}
}

// shimCmd is the shim as a command, called by argv[0], in a workspace.
func shimCmd(t *testing.T, url string, argv ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ws, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = exec.Command(exe)
	cmd.Args = argv
	cmd.Dir = ws
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = []string{"PATH=/nonexistent", "GORACE=atexit_sleep_ms=0", envWorkspace + "=" + ws, execproto.EnvToken + "=tok"}
	if url != "" {
		cmd.Env = append(cmd.Env, execproto.EnvURL+"="+url)
	}
	return cmd, out, errs
}

// code runs cmd and returns its exit code, or -n when signal n ended it.
func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return wait(t, cmd)
}
