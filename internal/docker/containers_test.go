package docker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
)

func TestMemory(t *testing.T) {
	fakedocker.Install(t, fakedocker.Answer{
		Argv: []string{"stats", "--no-stream", "--no-trunc", "--format", "[{{json .ID}},{{json .MemUsage}}]", "a", "b", "c", "d"},
		Out:  "[\"a\",\"1.5MiB / 2GiB\"]\n[\"b\",\"756KiB / 23.54GiB\"]\n[\"c\",\"0B / 0B\"]\n[\"d\",\"--\"]\n\n",
	})
	used, err := docker.Client{}.Memory(t.Context(), []string{"a", "b", "c", "d"})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"a": 3 << 19, "b": 756 << 10}, used, "what an engine does not know is none")
}

func TestPath(t *testing.T) {
	for out, want := range map[string]string{`["A=b","PATH=/a:/b"]`: "/a:/b", `["XPATH=/a"]`: "", `null`: ""} {
		t.Run(want, func(t *testing.T) {
			fakedocker.Install(t, fakedocker.Answer{Argv: []string{"container", "inspect", "--format", "{{json .Config.Env}}", "--", "c"}, Out: out})
			path, err := docker.Client{}.Path(t.Context(), "c")
			require.NoError(t, err)
			require.Equal(t, want, path)
		})
	}
}
