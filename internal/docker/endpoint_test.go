package docker_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
)

// TestEndpoint: a variable, then a context of the environment, then one of docker's file.
func TestEndpoint(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the usual address is another one")
	}
	usual := docker.Endpoint{Context: "default", Host: "unix:///var/run/docker.sock"}
	config := t.TempDir()
	c := func(env ...string) docker.Client { return docker.Client{Env: append(env, "DOCKER_CONFIG="+config)} }
	at := func(c docker.Client) docker.Endpoint {
		t.Helper()
		e, err := c.Endpoint(t.Context())
		require.NoError(t, err)
		return e
	}
	require.Equal(t, usual, at(c()))
	require.Equal(t, usual, at(c("DOCKER_CONTEXT=default")))
	require.Equal(t, docker.Endpoint{Host: "ssh://far"}, at(c("DOCKER_HOST=ssh://far", "DOCKER_CONTEXT=other")))
	require.Equal(t, docker.Endpoint{}, at(docker.Client{Engine: docker.Podman, Env: []string{"DOCKER_HOST=ssh://far"}}))
	require.Equal(t, docker.Endpoint{Host: "ssh://far"}, at(docker.Client{Engine: docker.Podman, Env: []string{"CONTAINER_HOST=ssh://far"}}))
	require.NoError(t, os.WriteFile(filepath.Join(config, "config.json"), []byte("no JSON"), 0o600))
	require.Equal(t, usual, at(c()))

	ask := []string{"context", "inspect", "--format", "[{{json .Name}},{{json .Endpoints.docker.Host}}]"}
	require.NoError(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"currentContext":"far","auths":{}}`), 0o600))
	fakedocker.Install(t, fakedocker.Answer{Argv: ask, Out: `["far","tcp://192.0.2.1:2376"]`})
	t.Setenv("DOCKER_CONFIG", config)
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("DOCKER_CONTEXT", "")
	require.Equal(t, docker.Endpoint{Context: "far", Host: "tcp://192.0.2.1:2376"}, at(docker.Client{}))
	for _, a := range []fakedocker.Answer{{Out: "no JSON"}, {Err: "no such context", Code: 1}} {
		a.Argv = ask
		fakedocker.Install(t, a)
		_, err := docker.Client{}.Endpoint(t.Context())
		require.Error(t, err)
	}
}

func TestEndpointLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "unix:///run/x.sock": true, "npipe:////./pipe/docker_engine": true,
		"tcp://127.0.0.1:2375": false, "ssh://host": false, "http://host": false, "fd://": false,
	} {
		require.Equal(t, want, docker.Endpoint{Host: host}.Local(), host)
	}
	require.Equal(t, "this machine", docker.Endpoint{}.String())
	require.Equal(t, "tcp://h:1", docker.Endpoint{Host: "tcp://h:1"}.String())
	require.Equal(t, "tcp://h:1 (context far)", docker.Endpoint{Host: "tcp://h:1", Context: "far"}.String())
}
