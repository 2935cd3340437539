package docker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
)

func TestVolumeSizes(t *testing.T) {
	argv := []string{"system", "df", "--verbose", "--format", "{{json .Volumes}}"}
	fakedocker.Install(t, fakedocker.Answer{Argv: argv, Out: `[{"Name":"a","Size":"1.2GB","Links":"0"},{"Name":"b","Size":"0B"}]`})
	sizes, err := docker.Client{}.VolumeSizes(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "1.2GB", "b": "0B"}, sizes)
}

func TestVolumeUsers(t *testing.T) {
	const format = `["{{.Id}}",{{json .Config.Labels}},{{json .Mounts}}]`
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter volume=a --filter volume=b --format {{.ID}}"), Out: "one\ntwo\ngone\n"},
		// One that has gone meanwhile makes docker fail, after it has told the rest.
		fakedocker.Answer{Argv: []string{"container", "inspect", "--format", format, "one", "two", "gone"}, Code: 1, Out: `["one",{"k":"v, w"},[{"Type":"bind"},{"Type":"volume","Name":"b"},{"Name":"c"}]]
["two",null,[{"Name":"a"},{"Name":"b"}]]
`})
	users, err := docker.Client{}.VolumeUsers(t.Context(), []string{"a", "b"})
	require.NoError(t, err)
	require.Equal(t, []docker.VolumeUser{
		{Object: docker.Object{ID: "one", Labels: map[string]string{"k": "v, w"}}, Volumes: []string{"b"}},
		{Object: docker.Object{ID: "two"}, Volumes: []string{"a", "b"}},
	}, users)

	users, err = docker.Client{}.VolumeUsers(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, users, "nothing is asked about no volumes")
}

func TestWith(t *testing.T) {
	c := docker.Client{Env: []string{"A=1"}}
	require.Equal(t, []string{"A=1", "B=2", "C=3"}, c.With(map[string]string{"C": "3", "B": "2"}).Env)
	require.Equal(t, []string{"A=1"}, c.Env)
	t.Setenv("AIFO_TEST_WITH", "x")
	require.Subset(t, docker.Client{}.With(map[string]string{"B": "2"}).Env, []string{"AIFO_TEST_WITH=x", "B=2"})
}
