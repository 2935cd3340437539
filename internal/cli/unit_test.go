package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
)

func TestUnixSocketIsForLinux(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, tt := range []struct {
			flags flags
			env   hostfacts.Env
		}{
			{flags: flags{unixSocket: true}},
			{env: hostfacts.Env{"AIFO_TOOLEEXEC_USE_UNIX": "1"}},
		} {
			o, err := tt.flags.options(tt.env)
			require.NoError(t, err)
			err = checkOptions(o, tt.env, goos)
			if goos == "linux" {
				require.NoError(t, err)
				require.True(t, o.UnixSocket)
				continue
			}
			require.ErrorContains(t, err, "Linux only", goos)
		}
		env := hostfacts.Env{"AIFO_TOOLEEXEC_USE_UNIX": "0"}
		o, err := (&flags{}).options(env)
		require.NoError(t, errors.Join(err, checkOptions(o, env, goos)), goos)
	}
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{errors.New("anything"), 1},
		{&UsageError{Err: errors.New("x")}, 2},
		{&hostfacts.WorkspaceError{}, 2},
		{&proc.NotFoundError{Program: "docker"}, 127},
		{&docker.EngineError{Err: errors.New("x")}, 125},
		{&sessionError{err: errors.New("x")}, 125},
		{&sessionError{err: &lock.HeldError{}}, 1},
		{&sessionError{err: &proc.ExitError{Program: "docker", Code: 3}}, 125},
		{fmt.Errorf("wrapped: %w", &UsageError{Err: errors.New("x")}), 2},
		{errors.Join(&lock.HeldError{}, errors.New("and more")), 1},
	} {
		require.Equal(t, tt.want, exitCode(tt.err), "%T %v", tt.err, tt.err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"toolchain", "dry-run", "image", "flavor", "json"}
	for asked, want := range map[string]string{
		"toolchian": "toolchain", "dryrun": "dry-run", "dry_run": "dry-run", "imgae": "image", "flavour": "flavor", "jsn": "json",
		"something-else": "", "completely-different": "",
	} {
		require.Equal(t, want, nearest(asked, names), asked)
	}
	require.Empty(t, nearest("x", nil))
}

func TestSessionID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id, err := sessionID(nil)
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-z]{8}$`, id)
		require.False(t, seen[id])
		seen[id] = true
	}
	for _, id := range []string{"a", "0", "a-b", "a23456789012345678901234"} {
		got, err := sessionID(hostfacts.Env{envSessionID: id})
		require.NoError(t, err)
		require.Equal(t, id, got)
	}
	for _, id := range []string{"-a", "A", "a b", "a/b", "..", "a.b", "a\n", "ä", "a234567890123456789012345"} {
		_, err := sessionID(hostfacts.Env{envSessionID: id})
		require.ErrorAs(t, err, new(*UsageError), "%q", id)
	}
}

func TestJoinedErrorsAreToldOneByOne(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), fmt.Errorf("c: %w", errors.Join(errors.New("d")))
	require.Equal(t, []error{a, b, c}, parts(&sessionError{errors.Join(a, errors.Join(b, c))}))
}

// TestOutputThatCannotBeWritten: what scripts read must not be cut off in silence.
func TestOutputThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = full.Close() }()
	for _, args := range [][]string{{"version"}, {"--version"}, {"--help"}, {"shell", "--help"}, {"completion", "bash"}} {
		messages, err := os.Create(filepath.Join(t.TempDir(), "messages"))
		require.NoError(t, err)
		require.Equal(t, 1, Main(args, session.Streams{In: os.Stdin, Out: full, Err: messages}), args)
		text, err := os.ReadFile(messages.Name())
		require.NoError(t, err)
		require.Contains(t, string(text), "print the result", args)
		require.NoError(t, messages.Close())
	}
}
