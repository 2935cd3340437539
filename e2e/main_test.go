//go:build linux

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
)

// wait is how long a condition may take to come true before a test fails.
const wait = 60 * time.Second

var (
	program string // the binary under test, built with the race detector
	skip    string // why the tests skip; empty: they run
	must    bool   // whether all tests must run, as in continuous integration
)

func TestMain(m *testing.M) {
	// Where HUP is ignored, as under nohup, our children would ignore it too;
	// caught signals they get back with their usual meaning.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	mode := os.Getenv("AIFO_TEST_DOCKER")
	must = mode == "require"
	if mode == "off" {
		skip = "AIFO_TEST_DOCKER=off"
		return m.Run()
	}
	if err := exec.Command("docker", "info").Run(); err != nil {
		if must {
			fmt.Fprintln(os.Stderr, "the Docker engine is required and does not answer; run: scripts/engine ensure")
			return 1
		}
		skip = "no Docker engine answers; run: scripts/engine ensure"
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "aifo-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "aifo-coder")
	build := exec.Command("go", "build", "-race", "-o", program, "../cmd/aifo-coder")
	build.Stderr = os.Stderr
	if err := errors.Join(build.Run(), os.Chmod(dir, 0o755)); err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return m.Run()
}

// lacking ends a test for which this machine lacks something: where all tests must
// run it fails, elsewhere it is skipped.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if must {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// hostProgram returns the path of a program of this machine that the test needs.
func hostProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		lacking(t, "%s is not installed", name)
	}
	return path
}

// caller is a user of the machine who runs aifo-coder in a workspace of his own.
type caller struct {
	t         *testing.T
	uid, gid  int
	groups    []uint32
	home      string
	runtime   string
	workspace string
	env       []string
	program   string // in place of the usual one, if set
}

// needEngine skips the test where there is no engine; where one is required, no test
// begins without it.
func needEngine(t *testing.T) {
	t.Helper()
	if skip != "" {
		t.Skip(skip)
	}
}

// callers runs f as root and as an ordinary user in the docker group, or only
// as ourselves where we are not root.
func callers(t *testing.T, f func(t *testing.T, c *caller)) {
	t.Helper()
	if os.Getuid() != 0 {
		f(t, newCaller(t, os.Getuid(), os.Getgid()))
		return
	}
	t.Run("root", func(t *testing.T) { f(t, newCaller(t, 0, 0)) })
	t.Run("user", func(t *testing.T) { f(t, newCaller(t, 1000, 1000)) })
}

// self returns the user that runs the tests as a caller.
func self(t *testing.T) *caller {
	t.Helper()
	return newCaller(t, os.Getuid(), os.Getgid())
}

func newCaller(t *testing.T, uid, gid int) *caller {
	t.Helper()
	needEngine(t)
	// Short names: a unix socket's path has 107 bytes.
	base, err := os.MkdirTemp("/tmp", "e2e") //nolint:usetesting // its names are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(base)) })
	require.NoError(t, os.Chmod(base, 0o755))
	c := &caller{t: t, uid: uid, gid: gid}
	for name, dir := range map[string]*string{"home": &c.home, "run": &c.runtime, "ws": &c.workspace} {
		*dir = filepath.Join(base, name)
		require.NoError(t, os.Mkdir(*dir, 0o700))
		require.NoError(t, os.Chown(*dir, uid, gid))
	}
	if uid != os.Getuid() {
		g, err := user.LookupGroup("docker")
		require.NoError(t, err, "the ordinary user of these tests is in the group docker")
		n, err := strconv.Atoi(g.Gid)
		require.NoError(t, err)
		c.groups = []uint32{uint32(n)}
	}
	require.NoError(t, os.WriteFile(filepath.Join(c.home, ".gitconfig"),
		[]byte("[user]\n\tname = Ann Example\n\temail = ann@example.org\n"), 0o644))
	c.own(c.home)
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "XDG_RUNTIME_DIR=" + c.runtime, "TERM=xterm", "LANG=C.UTF-8",
		"GORACE=atexit_sleep_ms=0", // a second at the end of each program otherwise
	}
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"} {
		if v := os.Getenv(name); v != "" {
			c.env = append(c.env, name+"="+v)
		}
	}
	t.Cleanup(func() { c.requireNothingLeft() })
	return c
}

// with returns the caller for a subtest.
func (c *caller) with(t *testing.T) *caller {
	copied := *c
	copied.t = t
	return &copied
}

// examples copies the project's examples into the workspace.
func (c *caller) examples(names ...string) {
	c.t.Helper()
	for _, name := range names {
		require.NoError(c.t, os.CopyFS(filepath.Join(c.workspace, name), os.DirFS(filepath.Join("..", "examples", name))))
	}
	c.own(c.workspace)
}

func (c *caller) own(dir string) {
	c.t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, c.uid, c.gid))
	})
	require.NoError(c.t, err)
}

// command returns aifo-coder with args, unstarted, in the caller's workspace.
func (c *caller) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, cmp.Or(c.program, program), args...)
	cmd.Dir, cmd.Env = c.workspace, c.env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = wait
	if c.uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(c.uid), Gid: uint32(c.gid), Groups: c.groups,
		}}
	}
	return cmd
}

// result is what a run of the program gave.
type result struct {
	stdout, stderr string
	code           int
}

// run runs aifo-coder to its end with the input.
func (c *caller) run(input string, args ...string) result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := c.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatalf("run %q: %v", args, err)
	}
	r := result{stdout: out.String(), stderr: errOut.String(), code: cmd.ProcessState.ExitCode()}
	c.t.Logf("aifo-coder %q: exit code %d\nstdout:\n%s\nstderr:\n%s", args, r.code, clip(r.stdout), clip(r.stderr))
	return r
}

func clip(s string) string {
	if len(s) > 4000 {
		return s[:2000] + "\n[...]\n" + s[len(s)-2000:]
	}
	return s
}

// script runs a shell script in the agent's container with the given flags.
func (c *caller) script(script string, flags ...string) result {
	c.t.Helper()
	return c.run("", append(flags, "shell", "--", "bash", "-c", script)...)
}

// requireOwned checks that everything below dir belongs to the caller.
func (c *caller) requireOwned(dir string) {
	c.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if int(st.Uid) != c.uid || int(st.Gid) != c.gid {
			return fmt.Errorf("%s belongs to %d:%d, not to the caller %d:%d", path, st.Uid, st.Gid, c.uid, c.gid)
		}
		return nil
	})
	require.NoError(c.t, err)
}

// requireNothingLeft checks that no container, network, lock or socket of the
// caller's sessions is left.
func (c *caller) requireNothingLeft() {
	c.t.Helper()
	require.Empty(c.t, c.containers(), "containers left")
	require.Empty(c.t, docker(c.t, "network", "ls", "--quiet", "--filter", "label=dev.aifo-coder.workspace="+c.canonical()), "networks left")
	entries, err := os.ReadDir(filepath.Join(c.runtime, "aifo-coder"))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(c.t, err)
	}
	require.Empty(c.t, entries, "left in the runtime directory")
}

func (c *caller) canonical() string {
	path, err := filepath.EvalSymlinks(c.workspace)
	require.NoError(c.t, err)
	return path
}

// containers returns the ids of all containers of the caller's workspace, with
// further filters.
func (c *caller) containers(filters ...string) []string {
	c.t.Helper()
	args := []string{"container", "ls", "--all", "--quiet", "--filter", "label=dev.aifo-coder.workspace=" + c.canonical()}
	for _, f := range filters {
		args = append(args, "--filter", f)
	}
	return strings.Fields(docker(c.t, args...))
}

// runsIn reports whether a process whose command line holds text runs in the
// sidecar of a kind.
func (c *caller) runsIn(kind, text string) bool {
	c.t.Helper()
	ids := c.containers("label=dev.aifo-coder.kind=" + kind)
	if len(ids) != 1 {
		return false
	}
	out, err := exec.Command("docker", "top", ids[0]).CombinedOutput() // it may end meanwhile
	return err == nil && strings.Contains(string(out), text)
}

// docker runs a docker command and returns its output.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	require.NoError(t, err, "docker %q: %s", args, out)
	return strings.TrimSpace(string(out))
}

// eventually waits until cond holds.
func eventually(t *testing.T, cond func() bool, what string) {
	t.Helper()
	require.Eventually(t, cond, wait, 50*time.Millisecond, what)
}

// session is a running aifo-coder whose agent is a script that said "READY".
type session struct {
	cmd  *exec.Cmd
	in   io.WriteCloser // stays open, as a terminal would
	out  *syncbuf.Buffer
	done chan error
}

// start starts aifo-coder and waits until it printed READY.
func (c *caller) start(args ...string) *session {
	c.t.Helper()
	s := c.begin(args...)
	eventually(c.t, func() bool { return strings.Contains(s.out.String(), "READY") }, "the session is ready")
	return s
}

// begin starts aifo-coder.
func (c *caller) begin(args ...string) *session {
	c.t.Helper()
	s := &session{cmd: c.command(c.t.Context(), args...), out: &syncbuf.Buffer{}, done: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	in, err := s.cmd.StdinPipe()
	require.NoError(c.t, err)
	s.in = in
	require.NoError(c.t, s.cmd.Start())
	go func() { s.done <- s.cmd.Wait() }()
	return s
}

// kill kills aifo-coder and waits until it is gone, which its output need not be: the engine's command
// may outlive it.
func (s *session) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	eventually(t, func() bool { return errors.Is(syscall.Kill(s.cmd.Process.Pid, 0), syscall.ESRCH) }, "aifo-coder has been killed")
}

// end waits for the session's end and returns its exit code.
func (s *session) end(t *testing.T) int {
	t.Helper()
	return s.endWithin(t, wait)
}

func (s *session) endWithin(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("the session did not end; it printed:\n%s", s.out.String())
		return -1
	}
}
