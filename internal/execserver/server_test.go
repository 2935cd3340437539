//go:build linux

package execserver

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/caps"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	p := connected(t)
	var calls []*client
	for code := range 256 {
		calls = append(calls, p.call(sh("exit $1", strconv.Itoa(code))))
	}
	for code, c := range calls {
		c.must(code, "", "")
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	p := connected(t)
	for name, n := range map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15} {
		// Without exec, dash forgets an INT that comes just before it forks.
		c := p.call(sh("ulimit -c 0; echo ready; exec sleep 1000"))
		c.expect("ready")
		c.write(execproto.MuxSignal, name)
		c.must(128+n, "ready\n", "")
	}
	c := p.call(sh("trap 'echo size; exit 4' WINCH; echo ready; while :; do sleep 0.01; done"))
	c.expect("ready")
	c.write(execproto.MuxSignal, "NONSENSE")
	c.write(execproto.MuxSignal, "WINCH")
	c.must(4, "ready\nsize\n", "")
}

// TestSignalAtOnce: one that comes before the tool is there waits for it.
func TestSignalAtOnce(t *testing.T) {
	t.Parallel()
	p := connected(t)
	for range 50 {
		c := p.call(execproto.Start{Argv: []string{"sleep", "1000"}})
		c.write(execproto.MuxSignal, "TERM")
		c.must(128+15, "", "")
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	p := connected(t)
	// No child: a shell whose child is stopped between vfork and execve waits in
	// state D, not T.
	c := p.call(sh("echo $$; exec sleep 600"))
	c.expect("\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(c.out.String()))
	c.write(execproto.MuxSignal, "TSTP")
	stat := fmt.Sprintf("/proc/%d/stat", pid)
	awaitState(t, stat, "T")
	c.write(execproto.MuxSignal, "CONT")
	awaitState(t, stat, "SR")
	c.write(execproto.MuxSignal, "TSTP")
	awaitState(t, stat, "T")
	c.write(execproto.MuxEnd, "")
	if code := c.wait(); code != 128+2 && code != 128+15 {
		t.Errorf("exit %d", code)
	}
}

func awaitState(t *testing.T, stat, states string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		b, _ := os.ReadFile(stat)
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 0 && strings.Contains(states, f[0]) {
			return
		}
	}
	t.Fatalf("not in state %s", states)
}

func TestStreams(t *testing.T) {
	t.Parallel()
	p := connected(t)
	p.call(sh("echo out; echo err >&2; cat")).must(0, "out\n", "err\n")
	c := p.call(withInput(sh("read a; echo got $a; cat; echo end")))
	c.send([]byte("x\n"))
	c.expect("got x") // before the end of the input
	c.send([]byte("y\xff\x00z"))
	c.write(execproto.MuxStdinEOF, "")
	c.must(0, "got x\ny\xff\x00zend\n", "")
}

// TestBulk sends 64 MiB both ways at once, with a reader that takes little at a
// time on one of two links.
func TestBulk(t *testing.T) {
	t.Parallel()
	size := 64 << 20
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprint("slow ", slow), func(t *testing.T) {
			t.Parallel()
			p := connected(t)
			got, n, sent := sha256.New(), 0, sha256.New()
			c := p.call(withInput(sh("tee /dev/stderr")), func(c *client) {
				c.hold = slow
				c.sink = func(typ execproto.MuxType, b []byte) {
					if typ == execproto.MuxStdout {
						got.Write(b)
					}
					n += len(b)
				}
			})
			if slow {
				go trickle(c)
			}
			src := rand.NewChaCha8([32]byte{1})
			buf := make([]byte, 1<<20)
			for range size / len(buf) {
				_, _ = src.Read(buf)
				sent.Write(buf)
				c.send(buf)
			}
			c.write(execproto.MuxStdinEOF, "")
			c.must(0, "", "")
			if n != 2*size || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
				t.Errorf("%d bytes came back", n)
			}
		})
	}
}

// trickle grants a little whenever all that was granted has come.
func trickle(c *client) {
	for granted := execproto.MuxWindow; ; granted = 7001 {
		c.mu.Lock()
		for c.held < execproto.MuxWindow && c.exit == nil {
			c.changed.Wait()
		}
		over := c.exit != nil
		if !over {
			c.grant(min(granted, c.held))
		}
		c.mu.Unlock()
		if over {
			return
		}
	}
}

// TestNoReader: a client that takes nothing gets a window's worth and holds up
// nobody else.
func TestNoReader(t *testing.T) {
	t.Parallel()
	p := connected(t)
	c := p.call(withEnv(execproto.Start{Argv: []string{self(t)}, GraceMS: 100}, as("flood")...), func(c *client) { c.hold = true })
	c.until("a window's worth", func() bool { return c.held == execproto.MuxWindow })
	p.call(sh("echo other")).must(0, "other\n", "")
	c.write(execproto.MuxEnd, "")
	c.wait()
	if c.held != execproto.MuxWindow {
		t.Errorf("%d bytes", c.held)
	}
}

// TestOverrun: input that was not granted ends the call.
func TestOverrun(t *testing.T) {
	t.Parallel()
	p := connected(t)
	c := p.call(withInput(sh("sleep 1000")))
	_ = p.w.Write(execproto.MuxStdin, c.id, make([]byte, execproto.MuxWindow+66000)) // a pipe holds 64 KiB
	c.until("exit", func() bool { return c.exit != nil })
	if c.failure != "more input came than was granted" {
		t.Errorf("%q, %d", c.failure, *c.exit)
	}
}

// TestDeafTool: a tool that closes its input, or has none, does not stop its
// client from sending.
func TestDeafTool(t *testing.T) {
	t.Parallel()
	p := connected(t)
	c := p.call(withInput(sh("exec <&-; echo closed; sleep 1000")))
	c.expect("closed")
	c.send(make([]byte, 5<<20))
	c.write(execproto.MuxSignal, "TERM")
	c.must(128+15, "closed\n", "")
}

func TestArguments(t *testing.T) {
	t.Parallel()
	p := connected(t)
	args := []string{"", "a b", "\xff\xfe", "$x\n"}
	for range 10 {
		args = append(args, strings.Repeat("x", 100<<10))
	}
	c := p.call(withEnv(execproto.Start{Argv: append([]string{self(t)}, args...)}, as("argv")...))
	c.must(0, strings.Join(args, "\x00"), "")
	for range 10 {
		args = append(args, strings.Repeat("x", 100<<10), strings.Repeat("y", 100<<10))
	}
	c = p.call(execproto.Start{Argv: append([]string{"true"}, args...)})
	c.until("exit", func() bool { return c.exit != nil })
	if !strings.HasPrefix(c.failure, "the call is longer than ") {
		t.Errorf("%q", c.failure)
	}
	// Few are enough for the kernel, whose limit for one is 128 KiB.
	p.call(execproto.Start{Argv: []string{"true", strings.Repeat("x", 200<<10)}}).
		must(126, "", "aifo-shim: true: argument list too long\n")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("AIFO_TEST_A", "server's")
	t.Setenv("AIFO_TEST_B", "server's")
	p := connected(t)
	st := withEnv(sh(`echo "$AIFO_TEST_A,$AIFO_TEST_B,$AIFO_TEST_C,$AIFO_EXEC_ID,$PWD"; ulimit -Sn`),
		"AIFO_TEST_B=call's", "AIFO_TEST_C=1", "AIFO_TEST_C=2=3", "AIFO_EXEC_ID=other")
	st.ID, st.Cwd = "the-id", "/usr"
	p.call(st).must(0, "server's,call's,2=3,the-id,/usr\n"+softLimit(t), "")
}

// softLimit returns the limit of descriptors that a shell sees here. Go raises
// it for itself only.
func softLimit(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", "ulimit -Sn").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestPlace(t *testing.T) {
	t.Parallel()
	p := connected(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), []byte("pwd -P\n"), 0o755); err != nil { // sh runs it
		t.Fatal(err)
	}
	in := func(cwd string, argv ...string) *client {
		return p.call(execproto.Start{Kind: "rust", Cwd: cwd, Argv: argv})
	}
	in(dir, "pwd").must(0, dir+"\n", "")
	in(dir, "./tool").must(0, dir+"\n", "")
	p.call(withEnv(execproto.Start{Cwd: dir, Argv: []string{"tool"}}, "PATH=:/usr/bin:/bin")).must(0, dir+"\n", "")
	in(dir+"/none", "true").must(126, "", "aifo-shim: cannot enter "+dir+"/none in the rust sidecar: no such file or directory\n")
	in(dir+"/tool", "true").must(126, "", "aifo-shim: cannot enter "+dir+"/tool in the rust sidecar: not a directory\n")
}

// path has only directories that everybody may search: in others there might be
// any tool.
const path = "PATH=/usr/bin:/bin"

func TestNotStarted(t *testing.T) {
	t.Parallel()
	p := connected(t)
	dir := t.TempDir()
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{"data": {"#!/no/interpreter\n", 0o644}, "script": {"#!/no/interpreter\n", 0o755}, "binary": {"\x7fELF\x00\n", 0o755}} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	for tool, want := range map[string]string{
		"no-such-tool":  "127 aifo-shim: no-such-tool: not found in the go sidecar\n",
		dir + "/data":   "126 aifo-shim: " + dir + "/data: cannot be executed in the go sidecar: permission denied\n",
		dir + "/script": "127 aifo-shim: " + dir + "/script: cannot be executed in the go sidecar: " + dir + "/script: its interpreter is missing\n",
		dir + "/binary": "126 aifo-shim: " + dir + "/binary: cannot be executed in the go sidecar: exec format error\n",
		dir:             "126 aifo-shim: " + dir + ": cannot be executed in the go sidecar: permission denied\n",
	} {
		c := p.call(withEnv(execproto.Start{Kind: "go", Argv: []string{tool}}, path))
		if got := fmt.Sprint(c.wait(), " ", c.err.String()); got != want {
			t.Errorf("%s: %q, want %q", tool, got, want)
		}
	}
	c := p.call(execproto.Start{ID: "a b", Argv: []string{"true"}})
	c.until("exit", func() bool { return c.exit != nil })
	if c.failure == "" {
		t.Error("an id that cannot be one")
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	p := connected(t)
	p.call(onTerminal(sh("test -t 0 && test -t 1 && test -t 2 && stty size && : </dev/tty && echo yes"))).
		must(0, "33 111\r\nyes\r\n", "")
	c := p.call(onTerminal(sh("trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.01; done")))
	c.expect("ready")
	_ = p.w.Write(execproto.MuxResize, c.id, execproto.EncodeSize(5, 6))
	c.must(3, "ready\r\n5 6\r\n", "")
	c = p.call(onTerminal(sh("echo ready; exec sleep 1000")))
	c.expect("ready")
	c.send([]byte("\x03"))
	c.must(130, "ready\r\n^C", "")
	c = p.call(onTerminal(sh("stty -echo; echo ready; cat; echo and")))
	c.expect("ready")
	c.send([]byte("line\npart"))
	c.write(execproto.MuxStdinEOF, "")
	c.must(0, "ready\r\nline\r\npartand\r\n", "")
	c = p.call(withEnv(onTerminal(execproto.Start{Argv: []string{"no-such-tool"}}), path))
	c.must(127, "", "aifo-shim: no-such-tool: not found in the sidecar\r\n")
}

// TestTerminalInPart: the streams that shall be one terminal are, and the others
// are pipes; the tool is controlled by it, has its size, and ends its lines
// as the caller's terminal wants it.
func TestTerminalInPart(t *testing.T) {
	t.Parallel()
	p := connected(t)
	script := sh(`for i in 0 1 2; do test -t $i && t=$t$i; done; read x
echo "out $t $x"; echo "err $t" >&2; stty size </dev/tty >/dev/tty`)
	for streams, want := range map[execproto.TTY][2]string{
		execproto.TTYIn | execproto.TTYOut:  {"word\r\nout 01 word\r\n33 111\r\n", "err 01\n"},
		execproto.TTYOut | execproto.TTYErr: {"out 12 word\nerr 12\n33 111\n", ""},
		execproto.TTYOut:                    {"out 1 word\n33 111\n", "err 1\n"},
		execproto.TTYErr:                    {"out 2 word\n", "err 2\n33 111\n"},
	} {
		st := onTerminal(script)
		st.TTY = streams
		c := p.call(st)
		c.send([]byte("word\n"))
		c.must(0, want[0], want[1])
	}
}

// TestTerminalInPartEnds: the end of the input is that of a pipe or of a terminal,
// and a child that goes on is hung up.
func TestTerminalInPartEnds(t *testing.T) {
	t.Parallel()
	p := connected(t)
	for _, streams := range []execproto.TTY{execproto.TTYIn | execproto.TTYOut, execproto.TTYOut, execproto.TTYErr} {
		st := onTerminal(sh("cat >/dev/null; sleep 1000 </dev/null >/dev/null 2>&1 & exit 4"))
		st.TTY = streams
		c := p.call(st)
		c.write(execproto.MuxStdinEOF, "")
		c.must(4, "", "")
	}
}

// TestJobControl: an interactive shell can stop and continue a job.
func TestJobControl(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	p := connected(t)
	c := p.call(withEnv(onTerminal(execproto.Start{Argv: []string{bash, "--norc", "--noprofile", "-i"}}), "PS1=+", "HISTFILE="))
	c.expect("+")
	c.send([]byte("sh -c 'echo job-$((1+1)); exec sleep 1000'\n"))
	c.expect("job-2")
	c.send([]byte("\x1a"))
	c.expect("Stopped")
	c.send([]byte("kill -9 %1; fg; echo code-$?; exit 9\n"))
	c.expect("code-1")
	if code := c.wait(); code != 9 {
		t.Errorf("exit %d", code)
	}
}

func TestDescriptors(t *testing.T) {
	t.Parallel()
	p := connected(t)
	for range 20 {
		in, out, errs := pipePair(t), pipePair(t), pipePair(t)
		st := sh("cat; echo err >&2; exit 7")
		c := p.callWith(st, []int{int(in[0].Fd()), int(out[1].Fd()), int(errs[1].Fd())})
		in[0].Close()
		out[1].Close()
		errs[1].Close()
		_, _ = in[1].WriteString("direct")
		in[1].Close()
		stdout, _ := io.ReadAll(out[0])
		stderr, _ := io.ReadAll(errs[0])
		c.must(7, "", "")
		if string(stdout) != "direct" || string(stderr) != "err\n" {
			t.Errorf("%q, %q", stdout, stderr)
		}
		out[0].Close()
		errs[0].Close()
	}
	out := pipePair(t)
	c := p.callWith(withEnv(execproto.Start{Kind: "go", Argv: []string{"no-such-tool"}}, path), []int{0, 1, int(out[1].Fd())})
	out[1].Close()
	stderr, _ := io.ReadAll(out[0])
	c.must(127, "", "")
	if string(stderr) != "aifo-shim: no-such-tool: not found in the go sidecar\n" {
		t.Errorf("%q", stderr)
	}
}

func pipePair(t *testing.T) [2]*os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return [2]*os.File{r, w}
}

func openFiles(t testing.TB) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

var number = regexp.MustCompile(`stubborn (\d+)`)

// TestEndStubborn: a tree whose members ignore INT and TERM, of which one has a
// session of its own and one a cleared environment, is ended.
func TestEndStubborn(t *testing.T) {
	t.Parallel()
	p := connected(t)
	for _, script := range []string{
		`"$1" & "$1" & wait`,
		`setsid "$1" & "$1"`,
		`(setsid "$1" &) ; (setsid sh -c '"$1" & "$1"' sh "$1" &); exec "$1"`,
		`env -i AIFO_TEST_AS=stubborn "$1" & exec "$1"`,
	} {
		c := p.call(withEnv(sh(script, self(t)), as("stubborn")...))
		want := strings.Count(script, `"$1"`)
		if strings.Contains(script, `sh "$1"`) {
			want--
		}
		c.until("processes", func() bool { return len(number.FindAllString(c.out.String(), -1)) == want })
		c.write(execproto.MuxEnd, "")
		if code := c.wait(); code != 128+9 && code != 128+2 && code != 128+15 { // sh itself minds them
			t.Errorf("%s: exit %d", script, code)
		}
		for _, m := range number.FindAllStringSubmatch(c.out.String(), -1) {
			pid, _ := strconv.Atoi(m[1])
			gone(t, pid)
		}
	}
}

// TestEndOutOfReach: a process that nothing connects with the call any more does
// not keep it open, even while it writes.
func TestEndOutOfReach(t *testing.T) {
	t.Parallel()
	p := connected(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	c := p.call(sh(`setsid env -i sh -c 'echo $$ >"$1"; echo stubborn; while :; do echo x; sleep 0.01; done' sh "$1" & exec sleep 1000`, pidFile))
	c.expect("stubborn")
	c.write(execproto.MuxEnd, "")
	begin := time.Now()
	if code := c.wait(); code != 128+2 {
		t.Errorf("exit %d", code)
	}
	if d := time.Since(begin); d > patience/2 {
		t.Errorf("after %v", d)
	}
	b, _ := os.ReadFile(pidFile)
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	_ = syscall.Kill(n, syscall.SIGKILL)
}

// TestEndPolite: a tool that ends by itself when interrupted has its own code.
func TestEndPolite(t *testing.T) {
	t.Parallel()
	p := connected(t)
	st := sh("trap 'echo bye; exit 5' INT; echo ready; while :; do sleep 0.01; done")
	st.GraceMS = uint32(patience / time.Millisecond)
	c := p.call(st)
	c.expect("ready")
	c.write(execproto.MuxEnd, "")
	c.must(5, "ready\nbye\n", "")
}

// TestEndEarly: a call can be ended at any time.
func TestEndEarly(t *testing.T) {
	t.Parallel()
	p := connected(t)
	for range 50 {
		c := p.call(execproto.Start{Argv: []string{"sleep", "1000"}})
		c.write(execproto.MuxEnd, "")
		c.until("exit", func() bool { return c.exit != nil })
		if *c.exit != 128+2 && c.failure != errEnded.Error() {
			t.Errorf("exit %d, %q", *c.exit, c.failure)
		}
	}
	p.mu.Lock()
	c := &client{p: p, id: 4711}
	c.changed.L = &c.mu
	p.calls[c.id] = c
	p.mu.Unlock()
	c.write(execproto.MuxStart, "x")
	c.write(execproto.MuxEnd, "")
	c.until("exit", func() bool { return c.exit != nil })
	c.write(execproto.MuxGo, "\x00") // late
	p.call(sh("echo on")).must(0, "on\n", "")
}

// TestBackground: what a tool leaves in the background neither keeps the call
// open nor loses its standard output; what was written before the end comes.
func TestBackground(t *testing.T) {
	t.Parallel()
	p := connected(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := p.call(sh(`(read x <"$1"; echo discarded; echo alive $? >"$1.out") & head -c 3000000 /dev/zero; echo; echo last`, fifo))
	if code := c.wait(); code != 0 || c.out.Len() != 3000006 || !strings.HasSuffix(c.out.String(), "\nlast\n") {
		t.Errorf("exit %d, %d bytes", code, c.out.Len())
	}
	if err := unix.Mkfifo(fifo+".out", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(fifo + ".out"); string(b) != "alive 0\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLateWriter: whoever is left to finish after the tool's end is waited for.
func TestLateWriter(t *testing.T) {
	t.Parallel()
	p := connected(t)
	c := p.call(sh(`(sleep 0.1; echo one; sleep 0.1; echo two; sleep 0.1; echo three; sleep 0.1; echo four; sleep 0.1; echo five; sleep 0.1; echo six) & exit 3`))
	c.must(3, "one\ntwo\nthree\nfour\nfive\nsix\n", "")
}

func TestThousandCalls(t *testing.T) {
	p := connected(t)
	var calls []*client
	for i := range 1000 {
		calls = append(calls, p.call(withInput(sh("echo out$1; echo err >&2; read x; echo got $x; exit $(($1 % 200))", strconv.Itoa(i)))))
	}
	for _, c := range calls { // all are there at once
		c.expect("out")
	}
	t.Logf("%d descriptors, %d goroutines", openFiles(t), runtime.NumGoroutine())
	for _, c := range calls {
		c.send([]byte("x\n"))
	}
	for i, c := range calls {
		c.must(i%200, fmt.Sprintf("out%d\ngot x\n", i), "err\n")
	}
}

// TestLeaks: many calls of all kinds leave nothing behind.
func TestLeaks(t *testing.T) {
	p := connected(t)
	p.call(sh(":")).wait()
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 50 {
		a, b := p.call(withInput(sh("cat"))), p.call(onTerminal(sh("echo x; exec sleep 1000")))
		c := p.call(execproto.Start{Argv: []string{"no-such-tool"}})
		d := p.callWith(sh("sleep 1000"), []int{0, 1, 2})
		b.expect("x")
		a.write(execproto.MuxStdinEOF, "")
		b.write(execproto.MuxEnd, "")
		d.write(execproto.MuxEnd, "")
		for _, c := range []*client{a, b, c, d} {
			c.until("exit", func() bool { return c.exit != nil })
		}
	}
	for end := time.Now().Add(patience); openFiles(t) > files || runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d descriptors of %d, %d goroutines of %d", openFiles(t), files, runtime.NumGoroutine(), goroutines)
		}
	}
}

// TestLinkLost: all calls are ended, also those that are being ended slowly.
func TestLinkLost(t *testing.T) {
	t.Parallel()
	ours, theirs := socketPair(t)
	over := make(chan struct{})
	go func() {
		_ = serve(newSocketLink(theirs), nil)
		close(over)
	}()
	p := newPeer(t, ours)
	slow := withEnv(sh(`setsid "$1" & exec "$1"`, self(t)), as("stubborn")...)
	slow.GraceMS = 1 << 30
	calls := []*client{p.call(slow), p.call(slow), p.call(onTerminal(slow))}
	for range 50 {
		calls = append(calls, p.call(sh("echo stubborn $$; exec sleep 1000")))
	}
	flood := p.call(withEnv(execproto.Start{Argv: []string{self(t)}}, as("flood")...), func(c *client) { c.hold = true })
	flood.until("a full window", func() bool { return c256(flood) })
	for i, c := range calls {
		n := 1
		if i < 3 {
			n = 2
		}
		c.until("processes", func() bool { return len(number.FindAllString(c.out.String(), -1)) == n })
	}
	calls[0].write(execproto.MuxEnd, "")
	ours.Close()
	await(t, over, "end of the server")
	for _, c := range calls {
		for _, m := range number.FindAllStringSubmatch(c.out.String(), -1) {
			pid, _ := strconv.Atoi(m[1])
			gone(t, pid)
		}
	}
}

func c256(c *client) bool { return c.held == execproto.MuxWindow }

// TestBadLink: who breaks the protocol is not served any more.
func TestBadLink(t *testing.T) {
	t.Parallel()
	for name, bytes := range map[string]string{
		"a type": "\x01\x00\x00\x00\x01\x00\x00\x00\x00", "a length": "i\x00\x00\x00\x01\xff\xff\xff\xff",
		"a count": "g\x00\x00\x00\x01\x00\x00\x00\x01\x02", "no descriptors": "g\x00\x00\x00\x01\x00\x00\x00\x01\x03",
		"half a message": "n\x00\x00",
	} {
		ours, theirs := socketPair(t)
		result := make(chan error, 1)
		go func() { result <- serve(newSocketLink(theirs), nil) }()
		p := newPeer(t, ours)
		_ = p.w.Write(execproto.MuxStart, 1, sh("sleep 1000").Encode())
		_, _ = ours.Write([]byte(bytes))
		_ = ours.CloseWrite()
		await(t, p.ended, "end of the link")
		if err := <-result; err == nil || err == io.EOF { //nolint:errorlint // bare, it would say that the link ended well
			t.Errorf("%s: %v", name, err)
		}
	}
}

// server starts the test program as a server and returns its process, the peer,
// and what ends the link or the launcher.
func startServer(t testing.TB, connect bool) (*exec.Cmd, *peer, io.Closer) {
	t.Helper()
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), as("serve")...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader
	var w io.Writer = stdin
	var conn *net.UnixConn
	var l *net.UnixListener
	if connect {
		path := filepath.Join(t.TempDir(), "s")
		cmd.Args = append(cmd.Args, path)
		if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			t.Fatal(err)
		}
	} else if r, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if connect {
		if conn, err = l.AcceptUnix(); err != nil {
			t.Fatal(err)
		}
		r, w = conn, conn
	}
	p := &peer{t: t, w: execproto.NewMuxWriter(w), conn: conn, calls: map[uint32]*client{}, ended: make(chan struct{})}
	p.listen(execproto.NewMuxReader(bufio.NewReaderSize(r, execproto.MaxPayload)))
	return cmd, p, stdin
}

// TestProcess runs the program itself: over pipes and over a socket, ended by
// the end of standard input and by a signal.
func TestProcess(t *testing.T) {
	t.Parallel()
	for _, connect := range []bool{false, true} {
		for _, sig := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(fmt.Sprint(connect, sig), func(t *testing.T) {
				t.Parallel()
				cmd, p, stdin := startServer(t, connect)
				p.call(sh("echo x; exit 4")).must(4, "x\n", "")
				if os.Geteuid() == 0 {
					all := fmt.Sprintf("%016x", uint64(caps.Root))
					p.call(sh("grep -E 'Cap(Eff|Prm|Bnd)' /proc/self/status | cut -f2")).must(0, strings.Repeat(all+"\n", 3), "")
				}
				c := p.call(withEnv(sh(`setsid "$1" & exec "$1"`, self(t)), as("stubborn")...))
				c.until("processes", func() bool { return len(number.FindAllString(c.out.String(), -1)) == 2 })
				if sig != 0 {
					_ = cmd.Process.Signal(sig)
				} else {
					stdin.Close()
				}
				await(t, p.ended, "end of the link")
				if err := cmd.Wait(); err != nil {
					t.Error(err)
				}
				for _, m := range number.FindAllStringSubmatch(c.out.String(), -1) {
					pid, _ := strconv.Atoi(m[1])
					gone(t, pid)
				}
			})
		}
	}
}

// TestProcessUnread: a proxy that has stopped reading cannot keep the server.
func TestProcessUnread(t *testing.T) {
	t.Parallel()
	ours, theirs := socketPair(t)
	stop, over := make(chan struct{}), make(chan error, 1)
	go func() { over <- serve(newSocketLink(theirs), stop) }()
	w := execproto.NewMuxWriter(ours)
	st := withEnv(execproto.Start{ID: "a", Argv: []string{self(t)}}, as("flood")...)
	for i := range uint32(10) { // more than the socket holds
		_ = w.Write(execproto.MuxStart, i, st.Encode())
		_ = w.Write(execproto.MuxGo, i, []byte{0})
	}
	if _, err := io.ReadFull(ours, make([]byte, 100)); err != nil { // they are writing
		t.Fatal(err)
	}
	close(stop)
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("no end")
	}
}

func TestNotReady(t *testing.T) {
	ours, theirs := socketPair(t)
	defer ours.Close()
	if err := serveWhenReady(newSocketLink(theirs), nil, func() bool { return false }); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Error(err)
	}
	stop := make(chan struct{})
	close(stop)
	if err := serveWhenReady(newSocketLink(theirs), stop, func() bool { select {} }); err != nil {
		t.Error(err)
	}
}

// BenchmarkTrue is what a call costs; BenchmarkForkTrue what it cannot cost less than.
func BenchmarkTrue(b *testing.B) {
	_, p, stdin := startServer(b, true)
	defer stdin.Close()
	for b.Loop() {
		p.call(execproto.Start{Argv: []string{"/bin/true"}}).wait()
	}
}

func BenchmarkForkTrue(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOutput is the throughput of a tool's output.
func BenchmarkOutput(b *testing.B) {
	for _, connect := range []bool{true, false} {
		b.Run(fmt.Sprint("socket ", connect), func(b *testing.B) {
			_, p, stdin := startServer(b, connect)
			defer stdin.Close()
			const size = 1 << 30
			b.SetBytes(size)
			for b.Loop() {
				n := 0
				p.call(sh("head -c 1073741824 /dev/zero"), func(c *client) {
					c.sink = func(_ execproto.MuxType, p []byte) { n += len(p) }
				}).wait()
				if n != size {
					b.Fatal(n)
				}
			}
		})
	}
}

// nowhere is a link that takes everything.
type nowhere struct {
	io.Reader
	take func([]byte)
}

func (l nowhere) Write(p []byte) (int, error) { l.take(p); return len(p), nil }
func (l nowhere) Close() error                { return nil }
func (l nowhere) files(int) []int             { return nil }

// BenchmarkPipe is the same without a server.
func BenchmarkPipe(b *testing.B) {
	const size = 1 << 30
	b.SetBytes(size)
	for b.Loop() {
		if err := exec.Command("sh", "-c", "dd if=/dev/zero bs=64k count=16384 status=none | dd of=/dev/null bs=64k status=none").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServer is the throughput of output up to the link.
func BenchmarkServer(b *testing.B) {
	const size = 1 << 30
	r, w := io.Pipe()
	defer w.Close()
	to := execproto.NewMuxWriter(w)
	over, credit, got := make(chan struct{}), make(chan uint32, 1000), 0
	go func() {
		for n := range credit {
			_ = to.WriteUint32(execproto.MuxCredit, 1, n)
		}
	}()
	go func() {
		_ = serve(nowhere{r, func(p []byte) {
			switch execproto.MuxType(p[0]) {
			case execproto.MuxStdout:
				if got += len(p) - execproto.MuxHeaderLen; got >= execproto.MuxWindow/2 {
					credit <- uint32(got)
					got = 0
				}
			case execproto.MuxExit:
				over <- struct{}{}
			}
		}}, nil)
	}()
	b.SetBytes(size)
	st := execproto.Start{ID: "a", Argv: []string{"dd", "if=/dev/zero", "bs=64k", "count=16384", "status=none"}}
	for b.Loop() {
		_ = to.Write(execproto.MuxStart, 1, st.Encode())
		_ = to.Write(execproto.MuxGo, 1, []byte{0})
		<-over
	}
}
