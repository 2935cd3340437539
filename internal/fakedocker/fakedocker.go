// Package fakedocker is a docker command for tests: it gives the answers that a
// test expects to be asked for, and fails the test on any other question.
package fakedocker

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Answer is what the fake docker says to one argument vector. Of several answers to one vector each is given once, in
// order, and the last from then on.
type Answer struct {
	Argv     []string
	Out, Err string
	Code     int
	Block    bool // wait for SIGTERM before the end
}

const envAnswers = "AIFO_TEST_ANSWERS"

// Main runs the tests of m, or is the fake docker when the test binary was
// started under that name. It returns the exit code for TestMain.
func Main(m *testing.M) int {
	if name := filepath.Base(os.Args[0]); name == "docker" || name == "podman" {
		return answerTo(os.Args[1:])
	}
	return m.Run()
}

func answerTo(argv []string) int {
	path := os.Getenv(envAnswers)
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var answers []Answer
	if err := json.Unmarshal(data, &answers); err != nil {
		panic(err)
	}
	asked, _ := os.ReadFile(path + ".log") // not there at first
	before := strings.Count("\n"+string(asked), fmt.Sprintf("\n%q\n", argv))
	i := -1
	for j, a := range answers {
		if !slices.Equal(a.Argv, argv) {
			continue
		}
		if i >= 0 {
			before-- // one that has been given
		}
		if i < 0 || before >= 0 {
			i = j
		}
	}
	log, err := os.OpenFile(path+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(log, "%q\n", argv)
	if i < 0 {
		return 99
	}
	ch := make(chan os.Signal, 1)
	if answers[i].Block {
		signal.Notify(ch, syscall.SIGTERM)
	}
	fmt.Print(answers[i].Out)
	fmt.Fprint(os.Stderr, answers[i].Err)
	if answers[i].Block {
		<-ch
	}
	return answers[i].Code
}

// Install puts a docker on PATH that gives the answers. The test fails on a
// command without an answer and on an answer that nobody asked for.
func Install(t *testing.T, answers ...Answer) {
	t.Helper()
	InstallAs(t, "docker", answers...)
}

// InstallAs is Install for a command of another name, podman.
func InstallAs(t *testing.T, name string, answers ...Answer) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, name)))
	data, err := json.Marshal(answers)
	require.NoError(t, err)
	path := filepath.Join(dir, "answers")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	t.Setenv("PATH", dir)
	t.Setenv(envAnswers, path)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a second at the end of each program otherwise
	t.Cleanup(func() {
		asked, err := os.ReadFile(path + ".log")
		require.NoError(t, err, "nothing was asked")
		var want []string
		for _, a := range answers {
			want = append(want, fmt.Sprintf("%q", a.Argv))
		}
		got := strings.Split(strings.TrimSpace(string(asked)), "\n")
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(t, slices.Compact(want), slices.Compact(got))
	})
}

// Words splits a command as a test writes it, at its spaces.
func Words(s string) []string { return strings.Fields(s) }
