package plan_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// podman returns the host of facts with podman for its engine, by root or by its user.
func podman(rootless bool) hostfacts.Facts {
	f := facts()
	f.Program = docker.Podman
	f.Engine = &docker.Info{Engine: docker.Podman, Architecture: "amd64", SecurityOptions: []string{"name=seccomp"}, MemoryLimit: true, PidsLimit: true}
	if rootless {
		f.Engine.SecurityOptions = append(f.Engine.SecurityOptions, "name=rootless")
	}
	return f
}

func TestPodman(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust", "node=corp/node:1")}
	p := plan.Build(o, podman(false), "id")
	text := lines(p)
	for line := range strings.Lines(text) {
		require.True(t, strings.HasPrefix(line, "podman "), line)
	}
	require.Equal(t, []string{"docker.io/corp/node:1"}, p.Pulls)
	require.Equal(t, plan.Proxy{Gateway: true}, *p.Proxy)
	require.Equal(t, "http://host.containers.internal:1234/exec", plan.ProxyEnv(*p.Proxy, 1234, "")["AIFO_TOOLEEXEC_URL"])
	require.NotContains(t, text, "host-gateway", "podman 4.3 does not know it, and gives a name by itself")
	require.NotContains(t, text, "--log-driver local")
	for _, run := range []string{strings.Join(p.Agent.Argv(), " "), strings.Join(p.Sidecars[0].Run.Argv(), " ")} {
		require.Contains(t, run, " --http-proxy=false ", "podman would pass the host's proxies on")
		require.Contains(t, run, " --pids-limit 8192 ")
		require.Contains(t, run, " --user 0:0 ")
	}
	require.Contains(t, strings.Join(p.Agent.Argv(), " "), "boot --user 1000:1000")

	o.Exec, o.Egress = plan.ExecStream, allClosed
	require.Contains(t, lines(plan.Build(o, podman(false), "id")), "--tmpfs /run/aifo:mode=1777,size=65536 ", "podman takes no owner")
	o.Exec, o.Egress = plan.ExecResident, plan.Egress{}

	bare := podman(false)
	bare.Engine = nil
	require.Contains(t, lines(plan.Build(o, bare, "id")), "podman network create", "a preview without an answer")
}

// TestRootlessPodman: uid 0 in a container is the caller, no address leads to this host, and
// a limit that cannot be had is told of.
func TestRootlessPodman(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust"), Limits: plan.Limits{Each: plan.Limit{Memory: 1 << 30}}}
	p := plan.Build(o, podman(true), "id")
	require.Equal(t, "/run/user/1000/aifo-coder/aifo-id/agent", p.Proxy.SocketDir)
	require.False(t, p.Proxy.TCP())
	require.Contains(t, strings.Join(p.Agent.Argv(), " "), "boot --user 0:0")
	require.Contains(t, strings.Join(p.Agent.Argv(), " "), "--memory 1073741824")
	require.Empty(t, p.Warnings)

	f := podman(true)
	f.Engine.MemoryLimit, f.Engine.PidsLimit = false, false
	p = plan.Build(o, f, "id")
	require.NotContains(t, lines(p), "--memory")
	require.NotContains(t, lines(p), "--pids-limit")
	require.Len(t, p.Warnings, 1)
}

func TestSELinux(t *testing.T) {
	for _, f := range []hostfacts.Facts{facts(), podman(false)} {
		f.Engine.SecurityOptions = append(f.Engine.SecurityOptions, "name=selinux")
		p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust")}, f, "id")
		require.Contains(t, p.Agent.Security, "label=disable")
		require.Contains(t, p.Sidecars[0].Run.Security, "label=disable")
		require.Len(t, p.Warnings, 1)
	}
}

// TestChecksMounts: where containers see files by other numbers than this host, they are told none.
func TestChecksMounts(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*hostfacts.Facts)
		want   bool
	}{
		"linux":        {func(*hostfacts.Facts) {}, true},
		"nvidia":       {func(f *hostfacts.Facts) { f.Engine = &docker.Info{DefaultRuntime: "nvidia"} }, true},
		"gVisor":       {func(f *hostfacts.Facts) { f.Engine = &docker.Info{DefaultRuntime: "runsc"} }, false},
		"other kernel": {func(f *hostfacts.Facts) { f.OtherKernel = true }, false},
		"macOS":        {func(f *hostfacts.Facts) { f.GOOS = "darwin" }, false},
		"Desktop":      {func(f *hostfacts.Facts) { f.Engine = &docker.Info{OperatingSystem: "Docker Desktop"} }, false},
	} {
		f := facts()
		tc.change(&f)
		p := plan.Build(plan.Options{Agent: mustAgent(t, agent.Shell), Toolchains: selected(t, "rust")}, f, "id")
		require.Equal(t, tc.want, p.ChecksMounts, name)
		for _, secrets := range []map[string]string{p.Secrets, p.Sidecars[0].Secrets} {
			_, told := secrets[execproto.EnvMounts]
			require.Equal(t, tc.want, told, name)
		}
	}
}

// TestOtherKernel: an engine of which is known only that it mounts our files has no address
// of this host, and no socket that leads here.
func TestOtherKernel(t *testing.T) {
	f := facts()
	f.OtherKernel = true
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust")}, f, "id")
	require.Empty(t, p.SocketDirs())
	require.True(t, p.Proxy.Tunnel)
	require.Len(t, p.Tunnels, 1)
	require.Equal(t, []string{"toolexec.sock"}, p.Tunnels[0].Sockets)
	require.NotContains(t, lines(p), "host-gateway")
	require.NotEqual(t, "none", p.Agent.Network)
}

func TestWhere(t *testing.T) {
	require.Equal(t, strings.Fields("run --rm --init --pull=never --name aifo-engine-1 --network none "+
		"--label dev.aifo-coder.owner-host=box --label dev.aifo-coder.owner-pid=4242 --label dev.aifo-coder.owner-start=boot.99 "+
		"--label dev.aifo-coder.session=engine-1 --label dev.aifo-coder.workspace=/home/ann/src/app "+
		"--user 0:0 --cap-drop ALL --security-opt no-new-privileges --pids-limit 8192 --log-driver none "+
		"--mount type=bind,source=/home/ann/src/app,target=/workspace,readonly "+
		"--mount type=bind,source=/home/ann/.cache/aifo-coder/shims/0123456789abcdef/aifo-shim,target=/opt/aifo/bin/aifo-shim,readonly "+
		"--mount type=bind,source=/cache/engine-1,target=/aifo-where,readonly "+
		"--entrypoint /opt/aifo/bin/aifo-shim img where /workspace /aifo-where"), plan.Where(facts(), "engine-1", "img", "/cache/engine-1").Argv())
}

func TestPassableOfPodman(t *testing.T) {
	for _, name := range []string{"CONTAINER_HOST", "CONTAINERS_CONF", "STORAGE_OPTS", "REGISTRY_AUTH_FILE"} {
		require.False(t, plan.Passable(name), name)
	}
	require.True(t, plan.Passable("STORAGE_BUCKET"))
}
