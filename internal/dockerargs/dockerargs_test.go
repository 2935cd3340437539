package dockerargs_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
)

func TestRunArgv(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  dockerargs.Run
		want []string
	}{
		{
			"least", dockerargs.Run{Image: "i"},
			[]string{"run", "--init", "--pull=never", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "i"},
		},
		{
			"everything",
			dockerargs.Run{
				Detach: true, Remove: true, Interactive: true, TTY: true,
				Name: "n", Hostname: "h", Network: "net", AddHosts: []string{"a:1", "b:2"},
				Labels: map[string]string{"z": "1", "a": "x=y,z", "m": ""},
				Mounts: []dockerargs.Mount{
					dockerargs.Bind("/w s", "/workspace"), dockerargs.BindRO("/b", "/c"), dockerargs.Volume("v", "/d"), {Type: "tmpfs", Target: "/t"},
				},
				Tmpfs:   []dockerargs.Tmpfs{{Target: "/u", UID: 3, GID: 4, Size: 5}},
				Workdir: "/workspace", Env: []dockerargs.Env{{Name: "B", Value: "1"}, {Name: "A", Value: ""}, {Name: "S", Value: "never shown", Secret: true}},
				User: "1:2", CapAdd: []string{"CHOWN", "KILL"}, Security: []string{"apparmor=x"}, PidsLimit: 7, LogDriver: "none",
				Entrypoint: "/e", Image: "i:1", Args: []string{"-x", "", "a b", "--"},
			},
			[]string{
				"run", "--detach", "--rm", "--interactive", "--tty", "--init", "--pull=never",
				"--name", "n", "--hostname", "h", "--network", "net", "--add-host", "a:1", "--add-host", "b:2",
				"--label", "a=x=y,z", "--label", "m=", "--label", "z=1", "--user", "1:2",
				"--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "KILL",
				"--security-opt", "no-new-privileges", "--security-opt", "apparmor=x",
				"--pids-limit", "7", "--log-driver", "none",
				"--mount", "type=bind,source=/w s,target=/workspace", "--mount", "type=bind,source=/b,target=/c,readonly",
				"--mount", "type=volume,source=v,target=/d", "--mount", "type=tmpfs,target=/t", "--tmpfs", "/u:mode=0700,uid=3,gid=4,size=5",
				"--env", "B=1", "--env", "A=", "--env", "S",
				"--workdir", "/workspace", "--entrypoint", "/e", "i:1", "-x", "", "a b", "--",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Empty(t, cmp.Diff(tt.want, tt.run.Argv()))
			require.Empty(t, cmp.Diff(tt.run.Argv(), tt.run.Argv()), "the same spec gives the same bytes")
		})
	}
}

func TestExecArgv(t *testing.T) {
	require.Equal(t, []string{"exec", "c", "x"}, dockerargs.Exec{Container: "c", Args: []string{"x"}}.Argv())
	require.Equal(t,
		[]string{"exec", "--interactive", "--tty", "--user", "1:2", "--env", "A=b", "--env", "S", "c", "-x", ""},
		dockerargs.Exec{
			Interactive: true, TTY: true, User: "1:2",
			Env:       []dockerargs.Env{{Name: "A", Value: "b"}, {Name: "S", Value: "never shown", Secret: true}},
			Container: "c", Args: []string{"-x", ""},
		}.Argv())
}

func TestSmallVectors(t *testing.T) {
	require.Equal(t, []string{"network", "create", "--driver", "bridge", "--label", "a=1", "--label", "b=", "n"},
		dockerargs.NetworkCreate("n", map[string]string{"b": "", "a": "1"}))
	require.Equal(t, []string{"network", "rm", "n"}, dockerargs.NetworkRemove("n"))
	require.Equal(t, []string{"rm", "--force", "--volumes", "a", "b"}, dockerargs.Remove("a", "b"))
	require.Equal(t, []string{"volume", "rm", "v"}, dockerargs.VolumeRemove("v"))
	require.Equal(t, []string{"pull", "i"}, dockerargs.Pull("i"))
}

// mountValue returns the value of the --mount option of m.
func mountValue(t *testing.T, m dockerargs.Mount) string {
	t.Helper()
	argv := dockerargs.Run{Image: "i", Mounts: []dockerargs.Mount{m}}.Argv()
	for i, w := range argv {
		if w == "--mount" {
			return argv[i+1]
		}
	}
	t.Fatal("no --mount in the vector")
	return ""
}

// parsed reads a --mount value as docker does: one CSV record.
func parsed(t *testing.T, value string) []string {
	t.Helper()
	fields, err := csv.NewReader(strings.NewReader(value)).Read()
	require.NoError(t, err, value)
	return fields
}

var oddPaths = []string{
	"/plain", "/with space", "/with,comma", `/with"quote`, `/a","b`, "/with'quote", "/with:colon", "/-dash", "-dash", "--privileged",
	"/ünïcödé/日本", "/new\nline", "/carriage\rreturn", "/tab\t", `/back\slash`, `\.`, "/=", "/a=b,readonly", "/a,source=/etc", " leading", "trailing ", `"`, ",", "/not-utf8-\xff\xfe",
}

func TestMountValue(t *testing.T) {
	require.Equal(t, `type=bind,"source=/a,b",target=/w`, mountValue(t, dockerargs.Bind("/a,b", "/w")))
	require.Equal(t, `type=bind,"source=/a""b",target=/w,readonly`, mountValue(t, dockerargs.BindRO(`/a"b`, "/w")))
	require.Equal(t, `type=bind,source=/a:b c,target=/w`, mountValue(t, dockerargs.Bind("/a:b c", "/w")))
	for _, p := range oddPaths {
		require.Equal(t, []string{"type=bind", "source=" + p, "target=" + p, "readonly"},
			parsed(t, mountValue(t, dockerargs.BindRO(p, p))), "%q", p)
	}
}

func FuzzMountValue(f *testing.F) {
	for _, p := range oddPaths {
		f.Add(p, p)
	}
	f.Fuzz(func(t *testing.T, source, target string) {
		// A path with CR LF loses its CR in any CSV reader; hostfacts refuses
		// control characters in a workspace.
		if strings.Contains(source+target, "\r\n") || source == "" {
			t.Skip()
		}
		got := parsed(t, mountValue(t, dockerargs.Bind(source, target)))
		want := []string{"type=bind", "source=" + source, "target=" + target}
		if diff := cmp.Diff(want, got); diff != "" && utf8.ValidString(source+target) {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
