package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/cutlog"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
	"github.com/aifo-coder/aifo-coder/internal/logs"
	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
)

func TestMain(m *testing.M) { os.Exit(fakedocker.Main(m)) }

func TestTail(t *testing.T) {
	long := strings.Repeat("x", 40<<10)
	for name, tt := range map[string]struct {
		text string
		tail int
		want string
	}{
		"all":                {"a\nb\n", -1, "a\nb\n"},
		"none":               {"a\nb\n", 0, ""},
		"one":                {"a\nb\n", 1, "b\n"},
		"as many as there":   {"a\nb\n", 2, "a\nb\n"},
		"more than there":    {"a\nb\n", 9, "a\nb\n"},
		"an unfinished line": {"a\nb", 1, "b\n"},
		"empty lines":        {"a\n\n\n", 2, "\n\n"},
		"over blocks":        {long + "\n" + long + "\nend\n", 2, long + "\nend\n"},
		"empty":              {"", 3, ""},
		"carriage returns":   {"a\r\nb\r\n", -1, "a\nb\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			var out bytes.Buffer
			require.NoError(t, logs.Show(t.Context(), docker.Client{}, []logs.Source{{Name: "a", File: path}}, logs.Options{Tail: tt.tail}, &out))
			require.Equal(t, tt.want, out.String())
		})
	}
}

// TestSeveral: whole lines, each with its name, and the streams of a container together.
func TestSeveral(t *testing.T) {
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container logs --tail 7 -- one"), Out: "1\n2\n", Err: "3\n"},
		fakedocker.Answer{Argv: fakedocker.Words("container logs --tail 7 -- two"), Out: "\x1b[31mred"},
	)
	var out bytes.Buffer
	line := func(s string) string { return strings.ReplaceAll(s, "\x1b", "ESC") }
	require.NoError(t, logs.Show(t.Context(), docker.Client{}, []logs.Source{{Name: "a", Container: "one"}, {Name: "bcd", Container: "two"}},
		logs.Options{Tail: 7, Line: line}, &out))
	require.ElementsMatch(t, []string{"a   | 1", "a   | 2", "a   | 3", "bcd | ESC[31mred", ""}, strings.Split(out.String(), "\n"))
}

func TestLogThatCannotBeRead(t *testing.T) {
	fakedocker.Install(t, fakedocker.Answer{Argv: fakedocker.Words("container logs -- one"), Code: 1})
	err := logs.Show(t.Context(), docker.Client{}, []logs.Source{{Name: "a", Container: "one"}}, logs.Options{Tail: -1}, &bytes.Buffer{})
	require.ErrorContains(t, err, "read the log of a")
	err = logs.Show(t.Context(), docker.Client{}, []logs.Source{{Name: "b", File: "/no/such/file"}}, logs.Options{Tail: -1}, &bytes.Buffer{})
	require.ErrorContains(t, err, "read the log of b")
}

// following follows the file until ended is called, and tells on done what came of that.
func following(t *testing.T, path string, tail int) (out *syncbuf.Buffer, ended func(), done <-chan error) {
	end := make(chan struct{})
	source := logs.Source{Name: "a", File: path, Ended: func() bool {
		select {
		case <-end:
			return true
		default:
			return false
		}
	}}
	out = &syncbuf.Buffer{}
	result := make(chan error, 1)
	go func() {
		result <- logs.Show(t.Context(), docker.Client{}, []logs.Source{source}, logs.Options{Follow: true, Tail: tail}, out)
	}()
	return out, func() { close(end) }, result
}

// TestFollow: what comes is shown until the writer has ended, its last words among it.
func TestFollow(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	out, ended, done := following(t, f.Name(), -1)
	_, err = f.WriteString("one\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return out.String() == "one\n" }, 10*time.Second, time.Millisecond)
	_, err = f.WriteString("two\nthree")
	require.NoError(t, err)
	ended()
	require.NoError(t, <-done)
	require.Equal(t, "one\ntwo\nthree\n", out.String())
}

// TestFollowOverCuts: a log of a bounded size takes its own place again and again, and who
// follows it goes on.
func TestFollowOverCuts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w, err := cutlog.Open(path)
	require.NoError(t, err)
	out, ended, done := following(t, path, 0)
	for i := range 20 {
		_, err := fmt.Fprintf(w, "%s\nmark %d\n", strings.Repeat(strings.Repeat("x", 9999)+"\n", 100), i)
		require.NoError(t, err)
		if i == 0 {
			continue // the follower may not have begun yet
		}
		require.Eventually(t, func() bool { return strings.HasSuffix(out.String(), fmt.Sprintf("mark %d\n", i)) }, 20*time.Second, 20*time.Millisecond)
	}
	_, err = fmt.Fprintln(w, "last")
	require.NoError(t, err)
	ended()
	require.NoError(t, <-done)
	require.NoError(t, w.Close())
	require.True(t, strings.HasSuffix(out.String(), "mark 19\nlast\n"))
	require.NotContains(t, out.String(), "left out")
	require.Equal(t, 1, strings.Count(out.String(), "mark 10\n"))
}

func TestFollowThatIsInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("a\n"), 0o600))
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	asked := make(chan struct{})
	source := logs.Source{Name: "a", File: path, Ended: func() bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return false
	}}
	go func() { <-asked; cancel(cause) }()
	require.ErrorIs(t, logs.Show(ctx, docker.Client{}, []logs.Source{source}, logs.Options{Follow: true, Tail: -1}, &bytes.Buffer{}), cause)
}
