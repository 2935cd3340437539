package session

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/samehost"
)

func TestLocated(t *testing.T) {
	f := hostfacts.Facts{Workspace: "/src", Endpoint: docker.Endpoint{Host: "tcp://far:1"}}
	here := samehost.Where{Boot: "a", Files: []string{"file 1 2", "file 1 3"}}
	other, err := located(f, here, here)
	require.NoError(t, err)
	require.False(t, other)

	other, err = located(f, here, samehost.Where{Boot: "b", Files: []string{"file 9 9", "file 9 8"}})
	require.NoError(t, err)
	require.True(t, other, "numbers of files say nothing on another kernel")

	_, err = located(f, here, samehost.Where{Boot: "a", Files: []string{"file 1 4", "file 1 3"}})
	require.EqualError(t, err, "the engine at tcp://far:1 is on another machine than your files: what it has at /src is something else")
	require.EqualError(t, &RemoteError{Reason: "x"}, "podman's engine is on another machine than your files: x")
}

// TestRefusal: what docker of several versions says when it does not start a container.
func TestRefusal(t *testing.T) {
	const want = `Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /a.`
	for _, text := range []string{
		want,
		"docker: " + want + "\nSee 'docker run --help'.",
		"docker: " + want + "\n\nRun 'docker run --help' for more information",
		"WARNING: something\ndocker: " + want + "\n",
	} {
		require.Equal(t, want, refusal(text))
	}
	require.Equal(t, "Error: statfs /a: no such file or directory", refusal("Error: statfs /a: no such file or directory\n"))
}
