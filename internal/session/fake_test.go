package session_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answer is what the fake docker says to one argument vector.
type answer struct {
	Argv     []string
	Out, Err string
	Code     int
}

const envAnswers = "AIFO_TEST_ANSWERS"

// TestMain also is the fake docker, under that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "docker" {
		os.Exit(fakeDocker(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func fakeDocker(argv []string) int {
	path := os.Getenv(envAnswers)
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var answers []answer
	if err := json.Unmarshal(data, &answers); err != nil {
		panic(err)
	}
	i := slices.IndexFunc(answers, func(a answer) bool { return slices.Equal(a.Argv, argv) })
	log, err := os.OpenFile(path+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(log, "%q\n", argv)
	if i < 0 {
		return 99
	}
	fmt.Print(answers[i].Out)
	fmt.Fprint(os.Stderr, answers[i].Err)
	return answers[i].Code
}

// fake puts a docker on PATH that gives the answers. The test fails on a
// command without an answer and on an answer that nobody asked for.
func fake(t *testing.T, answers ...answer) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, "docker")))
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
		require.Equal(t, want, slices.Compact(got))
	})
}

func words(s string) []string { return strings.Fields(s) }
