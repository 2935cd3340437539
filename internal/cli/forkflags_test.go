package cli

import (
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, args ...string) (*flags, *pflag.FlagSet) {
	t.Helper()
	f, cmd := &flags{}, &cobra.Command{Use: "aifo-coder"}
	f.register(cmd)
	require.NoError(t, cmd.ParseFlags(args))
	return f, cmd.Flags()
}

func TestPaneGetsTheFlagsOfTheCommandLine(t *testing.T) {
	_, fs := parsed(t, "--fork", "3", "--toolchain", "rust", "--toolchain=node@20", "--fork-layout=even-h", "--quiet",
		"--toolchain-image", "rust=a,b", "--workspace", "/x", "--dry-run", "--color", "never", "--toolchain-define", "my kinds.yaml")
	argv, err := paneArgv(fs, "aider", []string{"--message", "a b", "--", "-x"})
	require.NoError(t, err)
	file, err := filepath.Abs("my kinds.yaml")
	require.NoError(t, err)
	require.Equal(t, []string{
		"--color=never", "--quiet=true", "--toolchain=rust", "--toolchain=node@20", "--toolchain-define=" + file,
		"--toolchain-image=rust=a,b", "aider", "--", "--message", "a b", "--", "-x",
	}, argv)
	_, fs = parsed(t, argv[:6]...)
	again, err := paneArgv(fs, "aider", nil)
	require.NoError(t, err)
	require.Equal(t, append(argv[:6:6], "aider"), again)
}

func TestForkFlagsThatAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--fork", "0"}, {"--fork", "-1"}, {"--fork", "65"}, {"--fork=2", "--fork-layout=round"},
		{"--fork=2", "--fork-merge-strategy=rebase"}, {"--fork=2", "--fork-runner=screen"},
		{"--fork-include-dirty"}, {"--fork-keep-on-failure=false"},
	} {
		f, fs := parsed(t, args...)
		require.Error(t, f.fork.check(fs), "%q", args)
	}
	for _, args := range [][]string{{}, {"--fork=64"}, {"--fork", "2", "--fork-keep-on-failure=false", "--fork-merge-strategy", "none"}} {
		f, fs := parsed(t, args...)
		require.NoError(t, f.fork.check(fs), "%q", args)
	}
}
