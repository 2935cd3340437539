package docker_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

var info = []string{"info", "--format", "{{json .}}"}

func TestInfo(t *testing.T) {
	fakedocker.Install(t, fakedocker.Answer{Argv: info, Out: `{"ServerVersion":"29.1","OperatingSystem":"Docker Desktop","OSType":"linux","Architecture":"aarch64","SecurityOptions":["name=seccomp,profile=builtin","name=rootless"],"Unknown":[1]}`})
	got, err := docker.Client{}.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, docker.Info{
		Engine: docker.Program, ServerVersion: "29.1", OperatingSystem: "Docker Desktop", OSType: "linux", Architecture: "aarch64",
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless"},
	}, got)
	require.True(t, got.Rootless())
	require.True(t, got.Desktop())
	require.Equal(t, "arm64", got.GOARCH())
}

func TestInfoPredicates(t *testing.T) {
	for _, tt := range []struct {
		info              docker.Info
		rootless, desktop bool
		arch              string
	}{
		{docker.Info{Architecture: "x86_64", OperatingSystem: "Debian GNU/Linux 12"}, false, false, "amd64"},
		{docker.Info{Architecture: "arm64", SecurityOptions: []string{"name=rootless,x=y"}}, true, false, "arm64"},
		{docker.Info{SecurityOptions: []string{"name=rootlesskit", "rootless", "name=seccomp,profile=rootless"}}, false, false, "amd64"},
		{docker.Info{OperatingSystem: "docker desktop"}, false, false, "amd64"},
	} {
		require.Equal(t, tt.rootless, tt.info.Rootless(), "%+v", tt.info)
		require.Equal(t, tt.desktop, tt.info.Desktop(), "%+v", tt.info)
		require.Equal(t, tt.arch, tt.info.GOARCH(), "%+v", tt.info)
	}
}

func TestNoEngine(t *testing.T) {
	for name, a := range map[string]fakedocker.Answer{
		"exit 1":                 {Err: "Cannot connect to the Docker daemon\n", Code: 1},
		"exit 0 and an error":    {Out: `{"ServerVersion":"","ServerErrors":["Cannot connect to the Docker daemon"]}`},
		"no JSON":                {Out: "Cannot connect to the Docker daemon"},
		"the client alone: JSON": {Out: `{"ServerErrors":["Cannot connect to the Docker daemon"]}`, Err: "Cannot connect to the Docker daemon", Code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			a.Argv = info
			fakedocker.Install(t, a)
			_, err := docker.Client{}.Info(t.Context())
			var engine *docker.EngineError
			require.ErrorAs(t, err, &engine)
		})
	}
}

func TestNoDocker(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := docker.Client{}.Info(t.Context())
	require.ErrorAs(t, err, new(*proc.NotFoundError))
}

func TestPresence(t *testing.T) {
	for code, want := range map[int]bool{0: true, 1: false} {
		fakedocker.Install(t,
			fakedocker.Answer{Argv: fakedocker.Words("image inspect --format {{.Id}} -- -odd:1"), Code: code},
			fakedocker.Answer{Argv: fakedocker.Words("network inspect --format {{.Id}} -- net"), Code: code},
		)
		got, err := docker.Client{}.ImagePresent(t.Context(), "-odd:1")
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = docker.Client{}.NetworkExists(t.Context(), "net")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	fakedocker.Install(t, fakedocker.Answer{Argv: fakedocker.Words("image inspect --format {{.Id}} -- x"), Err: "oh", Code: 125})
	_, err := docker.Client{}.ImagePresent(t.Context(), "x")
	require.ErrorContains(t, err, "oh", "not known is not absent")
}

// TestRemoveNetwork: what is gone, or was never made, needs no removal.
func TestRemoveNetwork(t *testing.T) {
	for name, tt := range map[string]struct {
		inspect fakedocker.Answer
		want    string
	}{
		"gone":     {fakedocker.Answer{Code: 1}, ""},
		"in use":   {fakedocker.Answer{}, "active endpoints"},
		"no reply": {fakedocker.Answer{Code: 125}, "active endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.inspect.Argv = fakedocker.Words("network inspect --format {{.Id}} -- net")
			remove := fakedocker.Answer{Argv: dockerargs.NetworkRemove("net"), Err: "active endpoints", Code: 1}
			fakedocker.Install(t, remove, tt.inspect)
			err := docker.Client{}.RemoveNetwork(t.Context(), "net")
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
	fakedocker.Install(t, fakedocker.Answer{Argv: dockerargs.NetworkRemove("net")})
	require.NoError(t, docker.Client{}.RemoveNetwork(t.Context(), "net"))
}

func TestImagesPresent(t *testing.T) {
	ask := func(refs string) []string {
		return append([]string{"image", "inspect", "--format", "{{json .RepoTags}}", "--"}, fakedocker.Words(refs)...)
	}
	one := func(ref string, code int) fakedocker.Answer {
		return fakedocker.Answer{Argv: fakedocker.Words("image inspect --format {{.Id}} -- " + ref), Code: code}
	}
	for name, tt := range map[string]struct {
		refs    string
		answers []fakedocker.Answer
		want    map[string]bool
	}{
		"all":  {"a b:1 r.x:5/c", []fakedocker.Answer{{Argv: ask("a b:1 r.x:5/c"), Out: `["a:latest"]` + "\n" + `["b:1","z:2"]` + "\n" + `["r.x:5/c:latest"]` + "\n"}}, map[string]bool{"a": true, "b:1": true, "r.x:5/c": true}},
		"some": {"b:1 a a", []fakedocker.Answer{{Argv: ask("a b:1"), Out: `["a:latest"]` + "\n", Code: 1}}, map[string]bool{"a": true, "b:1": false}},
		"none": {"a", []fakedocker.Answer{{Argv: ask("a"), Code: 1}}, map[string]bool{"a": false}},
		"same": {"a b", []fakedocker.Answer{{Argv: ask("a b"), Out: `["b:latest","a:latest"]` + "\n" + `["b:latest","a:latest"]` + "\n"}}, map[string]bool{"a": true, "b": true}},
		"by another name": {"a docker.io/library/b c@sha256:0", []fakedocker.Answer{
			{Argv: ask("a c@sha256:0 docker.io/library/b"), Out: `["a:latest"]` + "\n" + `["b:latest"]` + "\n", Code: 1},
			one("c@sha256:0", 1), one("docker.io/library/b", 0),
		}, map[string]bool{"a": true, "docker.io/library/b": true, "c@sha256:0": false}},
		"without names": {"a", []fakedocker.Answer{{Argv: ask("a"), Out: "null\n"}, one("a", 0)}, map[string]bool{"a": true}},
	} {
		fakedocker.Install(t, tt.answers...)
		got, err := docker.Client{}.ImagesPresent(t.Context(), fakedocker.Words(tt.refs))
		require.NoError(t, err, name)
		require.Equal(t, tt.want, got, name)
	}
	fakedocker.Install(t, fakedocker.Answer{Argv: ask("a"), Err: "oh", Code: 125})
	_, err := docker.Client{}.ImagesPresent(t.Context(), []string{"a"})
	require.ErrorContains(t, err, "oh", "not known is not absent")
}

func TestBridge(t *testing.T) {
	ask := fakedocker.Words("network inspect --format FORMAT -- bridge")
	ask[3] = "{{json .IPAM.Config}}"
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fd00::7"), netip.MustParseAddr("172.17.0.9")}
	for out, want := range map[string]string{
		`[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]`:       "172.17.0.1",
		`[{"Gateway":"fd00::1"},{"Gateway":"10.0.0.1"}]`:            "10.0.0.1",
		`[{"Subnet":"172.17.0.0/16"},{"Gateway":"172.18.0.1"}]`:     "172.18.0.1",
		`[{"Subnet":"fd00::/64"},{"Subnet":"172.17.0.0/16"}]`:       "172.17.0.9",
		`[{"Subnet":"172.19.0.0/16"},{"Subnet":"no","Gateway":""}]`: "",
		`[]`: "", `null`: "", `[{"Gateway":"fd00::1"}]`: "",
	} {
		fakedocker.Install(t, fakedocker.Answer{Argv: ask, Out: out})
		bridge, err := docker.Client{}.Bridge(t.Context(), "bridge")
		require.NoError(t, err)
		got, ok := bridge.HostAddress(own)
		require.Equal(t, want != "", ok, out)
		if ok {
			require.Equal(t, want, got.String(), out)
		}
	}
	fakedocker.Install(t, fakedocker.Answer{Argv: ask, Out: "no JSON"})
	_, err := docker.Client{}.Bridge(t.Context(), "bridge")
	require.Error(t, err)
}

// TestContainers: a label may hold what separates labels in a table; a
// container may go between two questions.
func TestContainers(t *testing.T) {
	inspect := func(noun, format string, ids ...string) []string {
		return append([]string{noun, "inspect", "--format", "{{.Id}} " + format}, ids...)
	}
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container ls --all --no-trunc --filter label=k=v --filter label=w --format {{.ID}}"), Out: "one\ngone\ntwo\n"},
		fakedocker.Answer{
			Argv: inspect("container", "{{json .Config.Labels}}", "one", "gone", "two"),
			Out:  `one {"k":"v","w":"/a,b=c \"d\""}` + "\n\ntwo null\n", Err: "no such container", Code: 1,
		},
		fakedocker.Answer{Argv: fakedocker.Words("network ls --no-trunc --filter label=k --format {{.ID}}"), Out: "net\n"},
		fakedocker.Answer{Argv: inspect("network", "{{json .Labels}}", "net"), Out: `net {"k":""}`},
	)
	var c docker.Client
	got, err := c.Containers(t.Context(), "k=v", "w")
	require.NoError(t, err)
	require.Equal(t, []docker.Object{{ID: "one", Labels: map[string]string{"k": "v", "w": `/a,b=c "d"`}}, {ID: "two"}}, got)
	got, err = c.Networks(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, []docker.Object{{ID: "net", Labels: map[string]string{"k": ""}}}, got)
}

func TestVolumes(t *testing.T) {
	fakedocker.Install(t, fakedocker.Answer{Argv: fakedocker.Words("volume ls --format {{.Name}}"), Out: "b\nother\na\nab\n"})
	got, err := docker.Client{}.Volumes(t.Context(), []string{"a", "b", "c"})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, got)
}

func TestContainerRunning(t *testing.T) {
	ask := fakedocker.Words("container inspect --format {{.State.Running}} -- c")
	for want, a := range map[bool]fakedocker.Answer{true: {Out: "true\n"}, false: {Out: "false\n"}} {
		a.Argv = ask
		fakedocker.Install(t, a)
		got, err := docker.Client{}.ContainerRunning(t.Context(), "c")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	fakedocker.Install(t, fakedocker.Answer{Argv: ask, Out: "true\n", Code: 1})
	got, err := docker.Client{}.ContainerRunning(t.Context(), "c")
	require.NoError(t, err)
	require.False(t, got, "a container that is gone does not run")
}

func TestLogsAndPull(t *testing.T) {
	fakedocker.Install(t,
		fakedocker.Answer{Argv: fakedocker.Words("container logs --tail 20 -- c"), Out: "out\n", Err: "\nreason\n"},
		fakedocker.Answer{Argv: fakedocker.Words("pull i")},
		fakedocker.Answer{Argv: fakedocker.Words("rm x"), Err: "refused\n", Code: 1},
	)
	var traced [][]string
	c := docker.Client{Trace: func(argv []string) { traced = append(traced, argv) }}
	reason, err := c.Logs(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, "reason", reason)
	require.NoError(t, c.Pull(t.Context(), "i", nil))
	require.EqualError(t, c.Do(t.Context(), fakedocker.Words("rm x")), "refused")
	require.Equal(t, [][]string{fakedocker.Words("docker pull i"), fakedocker.Words("docker rm x")}, traced, "commands that change something, and no others")
}

// TestPullShowsOnTheTerminal: docker shows how it goes on where its result goes, podman beside it.
func TestPullShowsOnTheTerminal(t *testing.T) {
	for engine, want := range map[string]string{docker.Program: "result\n", docker.Podman: "progress\n"} {
		t.Run(engine, func(t *testing.T) {
			fakedocker.InstallAs(t, engine, fakedocker.Answer{Argv: fakedocker.Words("pull i"), Out: "result\n", Err: "progress\n"})
			terminal, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
			require.NoError(t, err)
			require.NoError(t, docker.Client{Engine: engine}.Pull(t.Context(), "i", terminal))
			shown, err := os.ReadFile(terminal.Name())
			require.NoError(t, err)
			require.Equal(t, want, string(shown))
		})
	}
}

// TestDoGivesNoAdvice: whoever typed no docker command has no use for its help.
func TestDoGivesNoAdvice(t *testing.T) {
	for _, advice := range []string{"\n\nRun 'docker run --help' for more information", ".\nSee 'docker run --help'."} {
		fakedocker.Install(t, fakedocker.Answer{Argv: []string{"run", "i"}, Err: "docker: no such thing" + advice, Code: 125})
		err := docker.Client{}.Do(t.Context(), []string{"run", "i"})
		require.ErrorContains(t, err, "docker: no such thing")
		require.NotContains(t, err.Error(), "help")
	}
}
