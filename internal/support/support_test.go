package support

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

const envChild = "SUPPORT_TEST_CHILD"

// TestMain also is the program whose sessions are run.
func TestMain(m *testing.M) {
	switch os.Getenv(envChild) {
	case "":
		os.Exit(m.Run())
	case "prints":
		dir, _ := os.Getwd()
		_, _ = os.Stdout.WriteString(filepath.Base(dir) + "\nwords: " + strings.Join(os.Args[1:], " "))
		os.Exit(0)
	case "fails":
		_, _ = os.Stderr.WriteString("no such image\n")
		os.Exit(125)
	case "waits":
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM)
		_, _ = os.Stdout.WriteString("ready\n")
		<-ch
		_, _ = os.Stdout.WriteString("removed what it had started\n")
		os.Exit(143)
	}
}

var matrix = Matrix{
	Agents:     []Agent{{"codex", "i-codex"}, {"shell", "i-shell"}},
	Transports: []Transport{TCP, Unix},
	Columns:    []Column{{"rust", "rust@1.80", "cargo --version"}, {"go", "go", "go version"}},
}

func TestRun(t *testing.T) {
	var mu sync.Mutex
	var vectors []string
	var told []Cell
	cells := matrix.Run(t.Context(), func(_ context.Context, args []string, line func(string)) (int, error) {
		mu.Lock()
		vectors = append(vectors, strings.Join(args, " "))
		mu.Unlock()
		switch i := slices.Index(args, "support"); {
		case slices.Contains(args, "codex"):
			return 127, errors.New("no\nsuch program")
		case i < 0:
			line("bash 5.2")
			line("more")
		case slices.Contains(args, "i-codex"):
			line("0\tcargo 1.96.0 (x)")
			return 125, errors.New("the engine is gone")
		default:
			line("0\tcargo 1.96.0 (x)")
			line("1\tgo: broken")
			line("0\ttoo much")
		}
		return 0, nil
	}, func(c Cell) { told = append(told, c) })
	assert.ElementsMatch(t, told, cells)
	var got []string
	for _, c := range matrix.Sorted(cells) {
		got = append(got, strings.Join([]string{c.Agent, string(c.Transport), c.Runs, c.Short(), c.Output}, "|"))
	}
	assert.Equal(t, []string{
		"codex|tcp|agent|FAILED (127)|no such program",
		"codex|tcp|rust|1.96.0|cargo 1.96.0 (x)",
		"codex|tcp|go|FAILED (-1)|the engine is gone the session ended without having run it",
		"codex|unix|agent|FAILED (127)|no such program",
		"codex|unix|rust|1.96.0|cargo 1.96.0 (x)",
		"codex|unix|go|FAILED (-1)|the engine is gone the session ended without having run it",
		"shell|tcp|agent|5.2|bash 5.2",
		"shell|tcp|rust|1.96.0|cargo 1.96.0 (x)",
		"shell|tcp|go|FAILED (1)|go: broken",
		"shell|unix|agent|5.2|bash 5.2",
		"shell|unix|rust|1.96.0|cargo 1.96.0 (x)",
		"shell|unix|go|FAILED (1)|go: broken",
	}, got)
	passed, failed := Count(cells)
	assert.Equal(t, []int{6, 6}, []int{passed, failed})
	assert.Contains(t, vectors, "--quiet --image i-codex --toolchain rust@1.80 --toolchain-unix-socket=false codex -- --version")
	assert.Contains(t, vectors, "--quiet --image i-shell --toolchain rust@1.80 --toolchain go --toolchain-unix-socket=true shell -- sh -c "+
		script+" support cargo --version go version")
	assert.Len(t, vectors, 8)
}

// TestRunIsInterrupted: cells that were not come to are none, and no session begins.
func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	one := Matrix{Agents: matrix.Agents, Transports: []Transport{TCP}, Columns: matrix.Columns}
	begun := 0
	cells := one.Run(ctx, func(_ context.Context, args []string, line func(string)) (int, error) {
		if begun++; begun == 2 {
			line("0\tcargo 1.96.0")
			cancel()
			return -1, ErrInterrupted
		}
		line("v 1")
		return 0, nil
	}, func(Cell) {})
	assert.Len(t, cells, 2)
	assert.Equal(t, 2, begun)
}

func TestToolCellOfWhatIsNoResult(t *testing.T) {
	for _, line := range []string{"", "hello", "x\ty", "0"} {
		assert.False(t, toolCell(Cell{}, line).OK(), "%q", line)
	}
}

func TestNewColumn(t *testing.T) {
	for _, k := range (toolchain.Set{}).Kinds() {
		assert.NotEmpty(t, commands[k.Name], k.Name)
	}
	assert.Equal(t, "java -version", NewColumn(toolchain.Kind{Name: "java", Probe: []string{"java", "-version"}}, "java").Command)
	assert.Equal(t, "zig --version", NewColumn(toolchain.Kind{Name: "zig", Tools: []string{"zig"}}, "zig").Command)
}

func TestParseTransports(t *testing.T) {
	both, err := ParseTransports("both")
	require.NoError(t, err)
	assert.Equal(t, []Transport{TCP, Unix}, both)
	one, err := ParseTransports("unix")
	require.NoError(t, err)
	assert.Equal(t, []Transport{Unix}, one)
	_, err = ParseTransports("x")
	assert.ErrorContains(t, err, "tcp, unix or both")
}

func child(t *testing.T, what string) Session {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return Program(self, []string{"--flag"}, append(os.Environ(), envChild+"="+what))
}

func TestProgram(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var got []string
	code, err := child(t, "prints")(t.Context(), []string{"a", "b"}, func(l string) { got = append(got, l) })
	require.NoError(t, err)
	require.Zero(t, code)
	require.Len(t, got, 2)
	assert.Contains(t, got[0], "aifo-support", "in a workspace of its own")
	assert.Equal(t, "words: --flag a b", got[1], "also without a newline at its end")
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left)

	code, err = child(t, "fails")(t.Context(), nil, func(string) {})
	assert.Equal(t, 125, code)
	assert.ErrorContains(t, err, "no such image")
}

// TestProgramIsAskedToEnd: a session removes what it started, so it is waited for.
func TestProgramIsAskedToEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	_, err := child(t, "waits")(ctx, nil, func(l string) {
		got = append(got, l)
		cancel()
	})
	require.ErrorIs(t, err, ErrInterrupted)
	assert.Equal(t, []string{"ready", "removed what it had started"}, got)
}
