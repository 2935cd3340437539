package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// A busy machine must not make an engine that answers one that does not.
func init() { engineTime = time.Minute }

func TestKindVersions(t *testing.T) {
	refs := []string{
		"rust:1.79-slim", "rust:1.81-slim", "rust:latest", "evil/rust:1.0-slim", "rust:1.79-slim-bookworm",
		"node:20-bookworm-slim", "aifo-cpp-toolchain:2", "aifo-cpp-toolchain:latest", "golang:1.23-bookworm",
	}
	for kind, want := range map[string][]string{
		"rust": {"1.79", "1.80", "1.81"}, "node": {"20", "22"}, "go": {"1.22", "1.23"}, "python": {"3.12"}, "c-cpp": {"2", "latest"},
	} {
		k, ok := toolchain.Set{}.Lookup(kind)
		require.True(t, ok)
		require.Equal(t, want, kindVersions(k, refs), kind)
	}
}

// TestCompletionAsksTheChosenEngine: the images are those of the engine that the command line names.
func TestCompletionAsksTheChosenEngine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	dir := t.TempDir()
	for _, engine := range []string{"docker", "podman"} {
		script := "#!/bin/sh\necho " + engine + ":latest\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, engine), []byte(script), 0o700))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv(envEngine, "")
	require.Equal(t, []string{"docker:latest"}, (&flags{}).images(t.Context()))
	require.Equal(t, []string{"podman:latest"}, (&flags{engine: "podman"}).images(t.Context()))
	t.Setenv(envEngine, "podman")
	require.Equal(t, []string{"podman:latest"}, (&flags{}).images(t.Context()))
}

// TestEngineThatDoesNotAnswer: a completion is done without it in time, whatever becomes of the command.
func TestEngineThatDoesNotAnswer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	before := engineTime
	engineTime = 50 * time.Millisecond
	t.Cleanup(func() { engineTime = before })
	dir := t.TempDir()
	script := "#!/bin/sh\ntrap '' TERM\nwhile [ ! -e " + filepath.Join(dir, "end") + " ]; do sleep 0.05; done\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Cleanup(func() { _ = os.WriteFile(filepath.Join(dir, "end"), nil, 0o600) })
	t.Setenv("HOME", dir)
	a := &app{}
	for name, complete := range map[string]func() []string{
		"images":   func() []string { return fromEngine(context.Background(), docker.Client{}, docker.Client.ImageRefs) },
		"sessions": func() []string { return a.completeSessionIDs(context.Background(), nil) },
		"kinds":    func() []string { return a.completeSessionKinds(context.Background(), "") },
	} {
		start := time.Now()
		require.Nil(t, complete(), name)
		require.Less(t, time.Since(start), 4*time.Second, "%s: the docker command has five to end", name)
	}
}

// TestAnEngineThatKeptUsWaitingIsNotAskedAgain: a person has waited long enough.
func TestAnEngineThatKeptUsWaitingIsNotAskedAgain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program is a shell script")
	}
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n[ $1 != info ] || touch "+asked+"\n"), 0o700))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	err := sessionHost{}.explain(t.Context(), fmt.Errorf("ask: %w", &docker.NoAnswerError{After: time.Second}))
	require.ErrorAs(t, err, new(*docker.EngineError))
	require.ErrorContains(t, err, "does not answer: no answer within 1s")
	require.NoFileExists(t, asked)
}
