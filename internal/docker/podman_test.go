package docker_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
)

// rootful is what Debian's podman 4.3 answers to root, without what nobody asks for.
const rootful = `{"host":{"arch":"amd64","buildahVersion":"1.28.2","cgroupManager":"cgroupfs","cgroupVersion":"v1",
"cgroupControllers":["cpuset","cpu","memory","pids"],"conmon":{"version":"2.1.6"},"distribution":{"distribution":"debian","version":"12"},
"hostname":"vm","kernel":"6.18.44","memTotal":25276026880,"os":"linux","security":{"apparmorEnabled":true,"rootless":false,"seccompEnabled":true,"selinuxEnabled":false},
"serviceIsRemote":false},"version":{"APIVersion":"4.3.1","Version":"4.3.1"}}`

func TestPodmanInfo(t *testing.T) {
	fakedocker.InstallAs(t, docker.Podman, fakedocker.Answer{Argv: info, Out: rootful})
	got, err := docker.Client{Engine: docker.Podman}.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, docker.Info{
		Engine: docker.Podman, ServerVersion: "4.3.1", OperatingSystem: "debian 12", OSType: "linux", Architecture: "amd64",
		SecurityOptions: []string{"name=apparmor", "name=seccomp"}, MemTotal: 25276026880, MemoryLimit: true, PidsLimit: true,
		Name: "vm", KernelVersion: "6.18.44",
	}, got)
	require.True(t, got.Podman())
	require.True(t, got.AppArmor())
	require.True(t, got.Seccomp())
	require.False(t, got.Rootless())
	require.False(t, got.SELinux())
}

// TestPodmanInfoRootless: as an ordinary user with cgroups of version 1, and of another machine.
func TestPodmanInfoRootless(t *testing.T) {
	fakedocker.InstallAs(t, docker.Podman, fakedocker.Answer{
		Argv: info,
		Out:  `{"host":{"os":"linux","arch":"arm64","cgroupControllers":[],"serviceIsRemote":true,"security":{"rootless":true,"selinuxEnabled":true}}}`,
	})
	got, err := docker.Client{Engine: docker.Podman}.Info(t.Context())
	require.NoError(t, err)
	require.True(t, got.Rootless())
	require.True(t, got.SELinux())
	require.True(t, got.Remote)
	require.False(t, got.MemoryLimit)
	require.False(t, got.PidsLimit)
	require.Equal(t, "arm64", got.GOARCH())
}

// TestDockerIsPodman: the answer tells, whatever the command is called.
func TestDockerIsPodman(t *testing.T) {
	fakedocker.Install(t, fakedocker.Answer{Argv: info, Out: rootful})
	got, err := docker.Client{}.Info(t.Context())
	require.NoError(t, err)
	require.True(t, got.Podman())
}

// TestPodmanAnswers: what podman says in other words than docker, or with another exit code.
func TestPodmanAnswers(t *testing.T) {
	const failed = 125
	fakedocker.InstallAs(
		t, docker.Podman,
		fakedocker.Answer{Argv: []string{"network", "inspect", "--format", "{{json .Subnets}}", "--", "net"}, Out: `[{"subnet":"10.89.0.0/24","gateway":"10.89.0.1"}]`},
		fakedocker.Answer{Argv: fakedocker.Words("network inspect --format {{.Id}} -- none"), Out: "[]\n", Err: "network not found", Code: failed},
		fakedocker.Answer{Argv: fakedocker.Words("container inspect --format {{.State.Running}} -- none"), Err: "no such container", Code: failed},
		fakedocker.Answer{
			Argv: []string{"image", "inspect", "--format", "{{json .RepoTags}}", "--", "absent", "built", "corp/pulled:1", "rust:1"},
			Out:  `["localhost/built:latest"]` + "\n" + `["docker.io/corp/pulled:1"]` + "\n" + `["docker.io/library/rust:1"]` + "\n", Code: failed,
		},
	)
	c := docker.Client{Engine: docker.Podman}
	bridge, err := c.Bridge(t.Context(), "net")
	require.NoError(t, err)
	require.Equal(t, netip.MustParseAddr("10.89.0.1"), bridge.Gateway)
	exists, err := c.NetworkExists(t.Context(), "none")
	require.NoError(t, err)
	require.False(t, exists)
	running, err := c.ContainerRunning(t.Context(), "none")
	require.NoError(t, err)
	require.False(t, running)
	present, err := c.ImagesPresent(t.Context(), []string{"built", "corp/pulled:1", "rust:1", "absent"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"built": true, "corp/pulled:1": true, "rust:1": true, "absent": false}, present)
	sizes, err := c.VolumeSizes(t.Context())
	require.NoError(t, err)
	require.Empty(t, sizes, "podman has no sizes for programs")
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		asked     string
		installed []string
		want      string
	}{
		{"", []string{"docker", "podman"}, "docker"},
		{"", []string{"podman"}, "podman"},
		{"", nil, "docker"},
		{"podman", []string{"docker"}, "podman"},
		{"docker", []string{"podman"}, "docker"},
	} {
		got := docker.Choose(tt.asked, func(name string) bool {
			for _, i := range tt.installed {
				if i == name {
					return true
				}
			}
			return false
		})
		require.Equal(t, tt.want, got, "%+v", tt)
	}
	require.NoError(t, docker.CheckEngine(""))
	require.NoError(t, docker.CheckEngine("podman"))
	require.Error(t, docker.CheckEngine("nerdctl"))
}
