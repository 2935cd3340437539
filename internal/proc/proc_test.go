//go:build unix

package proc_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

const envChild = "AIFO_PROC_TEST_CHILD"

// TestMain also is the programs that the tests run.
func TestMain(m *testing.M) {
	switch os.Getenv(envChild) {
	case "":
		// Where HUP is ignored, as under nohup, children would ignore it too; a
		// caught signal they get back with its usual meaning.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		os.Exit(m.Run())
	case "signals":
		printSignals()
	default:
		panic("unknown child")
	}
}

// printSignals prints the names of the signals that come, until TERM.
func printSignals() {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch)
	fmt.Println("Ready")
	for s := range ch {
		switch s {
		case syscall.SIGURG: // the Go runtime's own
		case syscall.SIGTERM:
			return
		default:
			fmt.Println(s)
		}
	}
}

func sh(script string) proc.Cmd { return proc.Cmd{Argv: []string{"sh", "-c", script}, Detached: true} }

func TestExitCodes(t *testing.T) {
	require.NoError(t, proc.Run(t.Context(), sh("exit 0")))
	for script, want := range map[string]int{
		"exit 1": 1, "exit 7": 7, "exit 126": 126, "exit 255": 255,
		"kill -TERM $$": 143, "kill -KILL $$": 137, "kill -INT $$": 130, "kill -HUP $$": 129,
	} {
		var exit *proc.ExitError
		require.ErrorAs(t, proc.Run(t.Context(), sh(script)), &exit, script)
		require.Equal(t, want, exit.Code, script)
		require.Equal(t, "sh", exit.Program)
	}
}

func TestNotFound(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var notFound *proc.NotFoundError
	err := proc.Run(t.Context(), proc.Cmd{Argv: []string{"aifo-no-such-program"}})
	require.ErrorAs(t, err, &notFound)
	require.Equal(t, "aifo-no-such-program", notFound.Program)
	_, err = proc.Output(t.Context(), proc.Cmd{Argv: []string{"aifo-no-such-program"}})
	require.ErrorAs(t, err, &notFound)
}

func TestCannotStart(t *testing.T) {
	bad := t.TempDir() + "/bad"
	require.NoError(t, os.WriteFile(bad, []byte("\x7fELF not a program"), 0o700))
	for _, c := range []proc.Cmd{
		{Argv: []string{bad}},
		{Argv: []string{"sh", "-c", "exit 0"}, Dir: "/no/such/directory"},
		{Argv: []string{"sh", "-c", strings.Repeat("x", 4<<20)}},
	} {
		err := proc.Run(t.Context(), c)
		require.ErrorContains(t, err, c.Argv[0])
		require.False(t, errors.As(err, new(*proc.NotFoundError)), "%v", err)
		require.False(t, errors.As(err, new(*proc.ExitError)), "%v", err)
	}
}

func TestOutputAndStreams(t *testing.T) {
	c := sh(`read line; echo "out $line $X"; pwd; echo err >&2`)
	dir := t.TempDir()
	var stderr bytes.Buffer
	c.Stdin, c.Stderr, c.Dir, c.Env = strings.NewReader("in\nmore\n"), &stderr, dir, []string{"X=y", "PATH=" + os.Getenv("PATH")}
	out, err := proc.Output(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "out in y\n"+dir+"\n", string(out))
	require.Equal(t, "err\n", stderr.String())

	out, err = proc.Output(t.Context(), sh("cat; echo end"))
	require.NoError(t, err)
	require.Equal(t, "end\n", string(out), "no input is an empty one")
}

func TestBigInputArrivesWhole(t *testing.T) {
	const size = 4 << 20
	c := sh("wc -c")
	c.Stdin = io.LimitReader(zeros{}, size)
	out, err := proc.Output(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(size), strings.TrimSpace(string(out)))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestInputThatNeverEnds: a program that ends without reading its input, while
// the reader blocks for ever, or is without end.
func TestInputThatNeverEnds(t *testing.T) {
	blocked, w := io.Pipe()
	defer w.Close()
	for _, r := range []io.Reader{blocked, zeros{}} {
		c := sh("exit 3")
		c.Stdin = r
		var exit *proc.ExitError
		require.ErrorAs(t, proc.Run(t.Context(), c), &exit)
		require.Equal(t, 3, exit.Code)
	}
}

func TestStderrTail(t *testing.T) {
	fails := func(script string) *proc.ExitError {
		var exit *proc.ExitError
		require.ErrorAs(t, proc.Run(t.Context(), sh(script)), &exit)
		return exit
	}
	e := fails("echo ' reason ' >&2; echo; exit 4")
	require.Equal(t, "reason", e.Stderr)
	require.Equal(t, "reason", e.Error())
	require.Equal(t, "sh ended with exit code 5", fails("exit 5").Error())

	long := fails(`i=0; while [ $i -lt 2000 ]; do echo "line $i of a long story" >&2; i=$((i+1)); done; echo last >&2; exit 1`)
	require.LessOrEqual(t, len(long.Stderr), 4<<10)
	require.True(t, strings.HasSuffix(long.Stderr, "line 1999 of a long story\nlast"), "it is the end that is kept")

	require.NoError(t, proc.Run(t.Context(), sh("echo noise >&2")), "no error without a status")
}

// TestStderrFileIsHandedOn: a program sees the very file, so that a terminal
// stays one.
func TestStderrFileIsHandedOn(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c := sh("echo reason >&2; exit 1")
	c.Stderr = w
	require.Error(t, proc.Run(t.Context(), c))
	require.NoError(t, w.Close())
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "reason\n", string(got))
}

func TestSignalsAreHandedOn(t *testing.T) {
	signals := make(chan os.Signal)
	r, w := io.Pipe()
	c := proc.Cmd{Argv: []string{os.Args[0]}, Env: append(os.Environ(), envChild+"=signals"), Stdout: w, Signals: signals, Detached: true}
	done := make(chan error, 1)
	go func() {
		done <- proc.Run(t.Context(), c)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	require.True(t, lines.Scan())
	require.Equal(t, "Ready", lines.Text())
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGWINCH} {
		signals <- s
		require.True(t, lines.Scan())
		require.Equal(t, s.String(), lines.Text())
	}
	signals <- syscall.SIGTERM
	require.False(t, lines.Scan())
	require.NoError(t, <-done)
}

var errAsked = errors.New("asked to end")

// begin runs the script until its first line of output, which it returns.
func begin(ctx context.Context, t *testing.T, c proc.Cmd) (line string, done <-chan error) {
	t.Helper()
	r, w := io.Pipe()
	c.Stdout = w
	ended := make(chan error, 1)
	go func() {
		ended <- proc.Run(ctx, c)
		_ = w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	go io.Copy(io.Discard, r)
	return strings.TrimSpace(line), ended
}

func TestContextEndsTheProgram(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	_, done := begin(ctx, t, sh("trap 'exit 9' TERM; echo Ready; while :; do sleep 1; done"))
	cancel(errAsked)
	require.ErrorIs(t, <-done, errAsked, "the cause, not the exit code")
}

func TestContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errAsked)
	mark := t.TempDir() + "/started"
	require.ErrorIs(t, proc.Run(ctx, sh("touch "+mark)), errAsked)
	require.NoFileExists(t, mark)
}

func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errAsked)
	defer cancel()
	require.ErrorIs(t, proc.Run(ctx, sh("sleep 60")), errAsked)
}

// bound is what an end may take: the grace period of the package, and slack for
// a busy machine.
const bound = 5*time.Second + 5*time.Second

// TestContextEndsTheGroup: a child of the program goes with it, also when all of
// them ignore the polite signal.
func TestContextEndsTheGroup(t *testing.T) {
	for name, script := range map[string]string{
		"polite":   `sh -c 'echo $$; exec sleep 60' & wait`,
		"stubborn": `trap '' TERM; sh -c 'echo $$; while :; do sleep 1; done' & while :; do sleep 1; done`,
		// The program itself goes at once; its child does not.
		"stubborn child": `sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done' & wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			line, done := begin(ctx, t, sh(script))
			pid, err := strconv.Atoi(line)
			require.NoError(t, err)
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
			start := time.Now()
			cancel(errAsked)
			require.ErrorIs(t, <-done, errAsked)
			require.Less(t, time.Since(start), bound)
			require.Eventually(t, func() bool { return !running(pid) }, 5*time.Second, time.Millisecond,
				"process %d of the group still runs", pid)
		})
	}
}

// running reports whether the process is there and no zombie: in a container
// there may be nobody to reap an orphan.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return syscall.Kill(pid, 0) == nil
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestGroups: without Detached it stays in our group, where a
// terminal's Ctrl-C reaches it.
func TestGroups(t *testing.T) {
	pgrp := func(detached bool) string {
		c := sh(`ps -o pgid= -p $$`)
		c.Detached = detached
		out, err := proc.Output(t.Context(), c)
		require.NoError(t, err)
		return strings.TrimSpace(string(out))
	}
	ours := strconv.Itoa(syscall.Getpgrp())
	require.Equal(t, ours, pgrp(false))
	require.NotEqual(t, ours, pgrp(true))
}
