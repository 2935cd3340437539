package plan_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const canary = "canary-of-a-secret-value"

// facts returns a host on which nothing is odd: Linux, an ordinary user, and
// our own images of rust and the agents.
func facts() hostfacts.Facts {
	return hostfacts.Facts{
		GOOS: "linux", UID: 1000, GID: 1000, Home: "/home/ann",
		Cwd: "/home/ann/src/app/sub", Workspace: "/home/ann/src/app",
		Env:        hostfacts.Env{"TERM": "xterm", "OPENAI_API_KEY": canary, "AIFO_ENV_FOO": canary},
		RuntimeDir: "/run/user/1000/aifo-coder", CacheDir: "/home/ann/.cache/aifo-coder",
		StateDir: "/home/ann/.local/state/aifo-coder", ShimDir: "/home/ann/.cache/aifo-coder/shims/0123456789abcdef",
		Git:    hostfacts.GitIdentity{Name: "Ann Example", Email: "ann@example.org"},
		Owner:  hostfacts.Owner{Host: "box", PID: 4242, Start: "boot.99"},
		Engine: &docker.Info{Architecture: "x86_64", SecurityOptions: []string{"name=seccomp,profile=default"}},
		Images: map[string]bool{"aifo-coder-toolchain-rust:latest": true},
	}
}

func selected(t *testing.T, specs ...string) []toolchain.Selection {
	t.Helper()
	s, err := toolchain.Set{}.Select(toolchain.Flags{Toolchain: specs})
	require.NoError(t, err)
	return s
}

func mustAgent(t *testing.T, name string) *agent.Agent {
	t.Helper()
	a, ok := agent.Lookup(name)
	require.True(t, ok, name)
	return &a
}

func lines(p plan.Plan) string {
	var b strings.Builder
	for _, argv := range p.Commands() {
		b.WriteString(dockerargs.Quote(argv) + "\n")
	}
	return b.String()
}

// TestGolden shows every docker command of a session for each agent and
// transport. Run with -update after a deliberate change, and read the diff.
func TestGolden(t *testing.T) {
	for _, a := range agent.All() {
		for _, unix := range []bool{false, true} {
			name := a.Name + "-tcp"
			if unix {
				name = a.Name + "-unix"
			}
			t.Run(name, func(t *testing.T) {
				f := facts()
				f.Images[a.Name] = true
				f.Images["aifo-coder-"+a.Name+":latest"] = true
				p := plan.Build(plan.Options{
					Agent: &a, Args: []string{"cargo", "build"}, UnixSocket: unix,
					Toolchains: selected(t, "rust", "node@20"),
				}, f, "s0m31d00")
				compareGolden(t, name, lines(p))
			})
		}
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("plan differs from %s (-want +got):\n%s", path, diff)
	}
}

// TestWindows: a session on Windows with Docker Desktop, whatever system the test runs on.
func TestWindows(t *testing.T) {
	const home = `C:\Users\Ann Example`
	f := facts()
	f.GOOS, f.Home = "windows", home
	f.Cwd, f.Workspace = home+`\src\app\sub`, home+`\src\app`
	f.RuntimeDir, f.CacheDir, f.StateDir = home+`\AppData\Local\Temp\aifo-coder`, home+`\AppData\Local\aifo-coder`, home+`\.local\state\aifo-coder`
	f.ShimDir = f.CacheDir + `\shims\0123456789abcdef`
	f.ConfigHome, f.ConfigDir = home+`\.config`, home+`\.config\aifo-coder`
	f.Files = map[string]string{home + `\.config\aifo-coder\codex\config.toml`: home + `\.config\aifo-coder\codex\config.toml`}
	f.Engine = desktop().Engine
	p := plan.Build(plan.Options{Agent: mustAgent(t, "codex"), Toolchains: selected(t, "rust")}, f, "s0m31d00")
	compareGolden(t, "windows", lines(p))
}

func TestSecretsAreNeverInAVector(t *testing.T) {
	for _, a := range agent.All() {
		p := plan.Build(plan.Options{Agent: &a, Toolchains: selected(t, "rust")}, facts(), "id")
		require.NotContains(t, lines(p), canary, a.Name)
		require.Contains(t, p.Secrets, "FOO")
		if a.Name != agent.Shell {
			require.Equal(t, canary, p.Secrets["OPENAI_API_KEY"], a.Name)
			require.Contains(t, p.Agent.Argv(), "OPENAI_API_KEY", a.Name)
		}
	}
}

func TestShellGetsNoCredentials(t *testing.T) {
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell")}, facts(), "id")
	require.NotContains(t, p.Secrets, "OPENAI_API_KEY")
}

// values returns a container's variables but for the one of its mounts, which every plan has.
func values(secrets map[string]string) map[string]string {
	secrets = maps.Clone(secrets)
	delete(secrets, execproto.EnvMounts)
	return secrets
}

func TestEnvOfTheHostThatMayNotPass(t *testing.T) {
	f := facts()
	for _, name := range []string{"DOCKER_HOST", "LD_PRELOAD", "PATH", "HOME", "AIFO_TOOLEEXEC_TOKEN", "BAD-NAME", ""} {
		f.Env["AIFO_ENV_"+name] = "x"
	}
	f.Env["AIFO_ENV_RUSTFLAGS"], f.Env["AIFO_ENV_DOCKERISH"] = "-g", "y"
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell")}, f, "id")
	require.Equal(t, map[string]string{"FOO": canary, "RUSTFLAGS": "-g", "DOCKERISH": "y", "TERM": "xterm"}, values(p.Secrets))
}

// TestSandbox: an agent with a sandbox of its own has the arguments that switch it
// off, for the boot program to use; a tool in its place has none.
func TestSandbox(t *testing.T) {
	vector := func(args ...string) string {
		return dockerargs.Quote(plan.Build(plan.Options{Agent: mustAgent(t, "codex"), Args: args}, facts(), "id").Agent.Argv())
	}
	require.Contains(t, vector("exec", "hi"), ` '--without-sandbox=sandbox_mode="danger-full-access"' -- codex exec hi`)
	require.NotContains(t, vector("exec", "--sandbox", "read-only"), "--without-sandbox")
	require.NotContains(t, vector("cargo", "build"), "--without-sandbox")
}

func TestVariableThatSaysSandbox(t *testing.T) {
	f := facts()
	require.Contains(t, plan.Build(plan.Options{Agent: mustAgent(t, "shell")}, f, "id").Agent.Argv(), "IS_SANDBOX=1")
	f.Env["AIFO_ENV_IS_SANDBOX"] = "0"
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell")}, f, "id")
	require.NotContains(t, p.Agent.Argv(), "IS_SANDBOX=1")
	require.Equal(t, "0", p.Secrets["IS_SANDBOX"])
}

func TestSameInputSameBytes(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "node", "python", "c-cpp", "go")}
	first := lines(plan.Build(o, facts(), "id"))
	for range 50 {
		require.Equal(t, first, lines(plan.Build(o, facts(), "id")))
	}
}

func TestImagesThatAreAbsent(t *testing.T) {
	f := facts()
	p := plan.Build(plan.Options{
		Agent: mustAgent(t, "aider"), Toolchains: selected(t, "rust", "node", "c-cpp", "go@1.21", "python=reg.example/py:1"),
	}, f, "id")
	require.Equal(t, []string{"node:22-bookworm-slim", "golang:1.21-bookworm", "reg.example/py:1"}, p.Pulls)
	require.Equal(t, []plan.MissingImage{
		{Ref: "aifo-cpp-toolchain:latest", Target: "build-toolchain-cpp"},
		{Ref: "aifo-coder-aider:latest", Target: "build-aider"},
	}, p.Missing, "an image of ours is never pulled by a bare name")

	f.Engine = nil
	p = plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Toolchains: selected(t, "go")}, f, "id")
	require.Empty(t, p.Pulls)
	require.Empty(t, p.Missing)
}

func TestUserOfTheContainers(t *testing.T) {
	root := facts()
	root.UID, root.GID = 0, 0
	rootless := facts()
	rootless.Engine = &docker.Info{SecurityOptions: []string{"name=seccomp,profile=default", "name=rootless"}}
	for name, tc := range map[string]struct {
		f    hostfacts.Facts
		user string
		dac  bool
	}{
		"ordinary user":   {facts(), "1000:1000", false},
		"root":            {root, "0:0", true},
		"rootless engine": {rootless, "0:0", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust")}, tc.f, "id")
			require.Equal(t, tc.user, p.Sidecars[0].User)
			for _, run := range []dockerargs.Run{*p.Agent, p.Sidecars[0].Run} {
				require.Contains(t, strings.Join(run.Args, " "), "--user "+tc.user)
				require.Equal(t, tc.dac, strings.Contains(strings.Join(run.CapAdd, " "), "DAC_OVERRIDE"))
			}
		})
	}
}

// TestDefinedKind: a kind that a user defined has the same parts as ours.
func TestDefinedKind(t *testing.T) {
	kinds, err := toolchain.Set{}.With("java.yaml", []byte(`{kind: java, image: "j:{version}", version: "21", tools: [java, mvn], shared: [make],
  places: [/opt/java/bin], caches: [{volume: aifo-maven, link: /home/coder/.m2, env: M2}], env: {OPTS: "-Dm={M2}"}, user: "7:8"}`))
	require.NoError(t, err)
	selected, err := kinds.Select(toolchain.Flags{Toolchain: []string{"java@17", "rust"}})
	require.NoError(t, err)
	p := plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Args: []string{"mvn", "-v"}, Kinds: kinds, Toolchains: selected}, facts(), "id")
	java := p.Sidecars[0]
	argv := strings.Join(java.Run.Argv(), " ")
	require.Equal(t, "7:8", java.User)
	for _, want := range []string{
		"--name aifo-tc-java-id", "j:17 boot --user 7:8", "--cache maven:/home/coder/.m2",
		"type=volume,source=aifo-maven,target=/var/cache/aifo/maven", "--env M2=/var/cache/aifo/maven/7", "--env OPTS=-Dm=/var/cache/aifo/maven/7",
	} {
		require.Contains(t, argv, want)
	}
	boot := strings.Join(p.Agent.Args, " ")
	require.Contains(t, boot, "--user 1000:1000")
	require.Contains(t, boot, "--stand-in /opt/java/bin:java,mvn --stand-in /usr/bin:make,cargo,", "each directory once")
	require.True(t, strings.HasSuffix(boot, "-- mvn -v"), "a tool of one's own runs in place of the agent: %s", boot)
	require.Equal(t, []string{"j:17"}, p.Pulls)
}

func TestHelpersRunInPlaceOfTheAgent(t *testing.T) {
	for _, word := range []string{"aifo-run", "aifo-tools", "aifo-mcp"} {
		p := plan.Build(plan.Options{Agent: mustAgent(t, "aider"), Args: []string{word, "x"}}, facts(), "id")
		require.Equal(t, []string{"--", word, "x"}, p.Agent.Args[len(p.Agent.Args)-3:])
	}
}

func TestNoCache(t *testing.T) {
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), NoCache: true, Toolchains: selected(t, "rust", "node", "python", "c-cpp", "go")}, facts(), "id")
	for _, s := range p.Sidecars {
		argv := strings.Join(s.Run.Argv(), " ")
		require.NotContains(t, argv, "type=volume", s.Kind)
		require.NotContains(t, argv, "--cache", s.Kind)
	}
}

func TestCachesOfTwoUsersAreApart(t *testing.T) {
	ann, bob := facts(), facts()
	bob.UID = 1001
	env := func(f hostfacts.Facts) []dockerargs.Env {
		p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "go")}, f, "id")
		return p.Sidecars[0].Run.Env
	}
	require.Contains(t, env(ann), dockerargs.Env{Name: "GOPATH", Value: "/var/cache/aifo/go/1000"})
	require.Contains(t, env(bob), dockerargs.Env{Name: "GOPATH", Value: "/var/cache/aifo/go/1001"})
	require.Contains(t, env(ann), dockerargs.Env{Name: "GOCACHE", Value: "/var/cache/aifo/go/1000/build-cache"})
}

func TestWorkdir(t *testing.T) {
	for cwd, want := range map[string]string{
		"/home/ann/src/app":       "/workspace",
		"/home/ann/src/app/a b/c": "/workspace/a b/c",
		"/home/ann/src/app/..x":   "/workspace/..x",
		"/home/ann/src":           "/workspace",
		"/home/ann/src/apple":     "/workspace",
	} {
		f := facts()
		f.Cwd = cwd
		p := plan.Build(plan.Options{Agent: mustAgent(t, "shell")}, f, "id")
		require.Contains(t, strings.Join(p.Agent.Args, "\x00"), "--workdir\x00"+want+"\x00", cwd)
	}
}

// desktop are the facts where the engine runs in a virtual machine.
func desktop() hostfacts.Facts {
	f := facts()
	f.Engine = &docker.Info{OperatingSystem: "Docker Desktop", SecurityOptions: []string{"name=seccomp,profile=builtin"}}
	return f
}

func TestReachingTheHost(t *testing.T) {
	mac := facts()
	mac.GOOS = "darwin"
	for name, tc := range map[string]struct {
		f        hostfacts.Facts
		unix     bool
		addHost  bool
		loopback bool
	}{
		"linux":         {facts(), false, true, false},
		"linux by unix": {facts(), true, false, false},
		"desktop":       {desktop(), false, false, true},
		"mac":           {mac, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), UnixSocket: tc.unix, Toolchains: selected(t, "rust")}, tc.f, "id")
			require.Equal(t, tc.addHost, len(p.Agent.AddHosts) == 1)
			require.Equal(t, tc.addHost, len(p.Sidecars[0].Run.AddHosts) == 1)
			require.Equal(t, tc.loopback, p.Proxy.Loopback)
			require.Equal(t, tc.unix, p.Proxy.SocketDir != "")
		})
	}
}

func TestWithoutToolchainsThereIsNoProxy(t *testing.T) {
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell")}, facts(), "id")
	require.Nil(t, p.Proxy)
	require.NotContains(t, lines(p), "AIFO_TOOLEEXEC")
}

func TestDirect(t *testing.T) {
	p := plan.Build(plan.Options{Toolchains: selected(t, "rust"), Args: []string{"cargo", "--version"}}, facts(), "id")
	compareGolden(t, "toolchain-rust", lines(p))
	require.Nil(t, p.Agent)
	require.Nil(t, p.Proxy)
}

func TestBootstrap(t *testing.T) {
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), GlobalTypeScript: true, Toolchains: selected(t, "rust", "node")}, facts(), "id")
	require.Empty(t, p.Sidecars[0].Bootstrap)
	require.Len(t, p.Sidecars[1].Bootstrap, 1)
	require.Contains(t, lines(p), "npm install --global")
}

func TestCABundle(t *testing.T) {
	f := facts()
	f.CABundle = hostfacts.CABundle{All: hostfacts.CAFile{Path: "/etc/ssl/corp.pem"}, Private: hostfacts.CAFile{Path: "/etc/ssl/private.pem"}}
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "node")}, f, "id")
	for _, run := range []dockerargs.Run{*p.Agent, p.Sidecars[0].Run} {
		argv := strings.Join(run.Argv(), " ")
		require.Contains(t, argv, "source=/etc/ssl/corp.pem,target=/etc/ssl/certs/aifo-ca-bundle.crt,readonly")
		require.Contains(t, argv, "source=/etc/ssl/private.pem,target=/etc/ssl/certs/aifo-ca-extra.crt,readonly")
		require.Contains(t, argv, "SSL_CERT_FILE=/etc/ssl/certs/aifo-ca-bundle.crt")
		require.Contains(t, argv, "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/aifo-ca-extra.crt")
	}
}

func TestUsersNetwork(t *testing.T) {
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Network: "corp"}, facts(), "id")
	require.Nil(t, p.Network.Create)
	require.Equal(t, "corp", p.Agent.Network)
	require.NotContains(t, lines(p), "network rm", "a network of the user's own stays")
}

// TestSockets: each container sees the directory of its own socket only.
func TestSockets(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "shell"), UnixSocket: true, Toolchains: selected(t, "rust", "node")}
	p := plan.Build(o, facts(), "id")
	const base = "/run/user/1000/aifo-coder/aifo-id/"
	require.Equal(t, []string{base + "agent", base + "rust", base + "node"}, p.SocketDirs())
	for kind, run := range map[string]dockerargs.Run{"agent": *p.Agent, "rust": p.Sidecars[0].Run, "node": p.Sidecars[1].Run} {
		argv := strings.Join(run.Argv(), " ")
		require.Contains(t, argv, "source="+base+kind+",target=/run/aifo,readonly")
		require.Equal(t, 1, strings.Count(argv, base), kind)
	}

	for _, exec := range []plan.Exec{plan.ExecStream, plan.ExecDocker} {
		other := o
		other.Exec = exec
		require.Equal(t, []string{base + "agent"}, plan.Build(other, facts(), "id").SocketDirs())
	}
	o.UnixSocket = false
	tcp := plan.Build(o, facts(), "id")
	require.Equal(t, []string{base + "rust", base + "node", base + "agent"}, tcp.SocketDirs())
	require.True(t, tcp.Proxy.TCP(), "the agent's directory is for its port link alone")
	o.Publish = []publish.Port{{Container: 3000}}
	require.Empty(t, plan.Build(o, desktop(), "id").SocketDirs(), "another kernel")
	direct := plan.Options{UnixSocket: true, Toolchains: selected(t, "rust"), Args: []string{"cargo"}}
	require.Empty(t, plan.Build(direct, facts(), "id").SocketDirs())
}

func TestToolGrace(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "shell")}
	require.Equal(t, plan.DefaultToolGrace, plan.Build(o, facts(), "id").ToolGrace)
	o.ToolGrace = time.Minute
	require.Equal(t, time.Minute, plan.Build(o, facts(), "id").ToolGrace)
}

// TestCallersEnvironment: no value in the vector, and no name that docker knows
// in its environment.
func TestCallersEnvironment(t *testing.T) {
	call := plan.Call{ID: "id", Kind: "rust", Cwd: "/workspace", Argv: []string{"cargo"}}
	e, env := plan.ToolExecEnv("c", "1:2", call, []string{"FOO=" + canary, "DOCKER_CONFIG=/workspace"})
	argv := strings.Join(e.Argv(), " ")
	require.NotContains(t, argv, canary)
	require.Equal(t, []string{"AIFO_CALL_ENV_FOO=" + canary, "AIFO_CALL_ENV_DOCKER_CONFIG=/workspace"}, env)
	require.Contains(t, argv, "--env AIFO_CALL_ENV_FOO --env AIFO_CALL_ENV_DOCKER_CONFIG c ")
}

func TestServe(t *testing.T) {
	require.Equal(t, strings.Fields("exec --interactive --user 1:2 c /opt/aifo/bin/aifo-shim serve"), plan.Serve("c", "1:2", "").Argv())
	require.Equal(t, strings.Fields("exec --interactive --user 1:2 c /opt/aifo/bin/aifo-shim serve --connect /run/aifo/serve.sock"),
		plan.Serve("c", "1:2", "/run/aifo/serve.sock").Argv())
}

func TestLimitsHoldForEveryContainer(t *testing.T) {
	o := plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust"), Limits: plan.Limits{Each: plan.Limit{Memory: 3 << 30, Pids: 1000}}}
	p := plan.Build(o, facts(), "id")
	for _, argv := range [][]string{p.Agent.Argv(), p.Sidecars[0].Run.Argv()} {
		require.Contains(t, strings.Join(argv, " "), "--pids-limit 1000 --memory 3221225472 ")
	}
	o.Limits = plan.Limits{}
	require.NotContains(t, lines(plan.Build(o, facts(), "id")), "--memory")
}

func TestBorrowedObjectsAreReadOnlyEverywhere(t *testing.T) {
	const dir = "/home/ann/my, repo/.git/objects"
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust"), Borrowed: []string{dir}}, facts(), "id")
	for _, run := range []dockerargs.Run{*p.Agent, p.Sidecars[0].Run} {
		require.Contains(t, run.Mounts, dockerargs.BindRO(dir, dir))
	}
}

func TestClonesOfForkModeAreHidden(t *testing.T) {
	f := facts()
	f.HasForks = true
	p := plan.Build(plan.Options{Agent: mustAgent(t, "shell"), Toolchains: selected(t, "rust")}, f, "id")
	for _, run := range []dockerargs.Run{*p.Agent, p.Sidecars[0].Run} {
		require.Contains(t, run.Argv(), "type=tmpfs,target=/workspace/.aifo-coder,ro")
	}
}

func TestAgentOf(t *testing.T) {
	for name, want := range map[string]string{
		"aifo-coder-aider-s1": "aider", "aifo-coder-shell-a-s1": "shell-a", "aifo-tc-rust-s1": "", "aifo-coder-aider-s2": "", "": "", "-s1": "",
	} {
		require.Equal(t, want, plan.AgentOf(name, "s1"), name)
	}
}

func TestWorkdirIn(t *testing.T) {
	for _, tt := range []struct{ goos, workspace, dir, want string }{
		{"linux", "/ws", "/ws", "/w"},
		{"linux", "/ws", "/ws/a/b", "/w/a/b"},
		{"linux", "/ws", "/ws/..a", "/w/..a"},
		{"linux", "/ws", "/", "/w"},
		{"linux", "/ws", "/wsx", "/w"},
		{"linux", "/ws", "/WS/a", "/w"},
		{"linux", "/ws", "", "/w"},
		{"linux", "/", "/a/b", "/w/a/b"},
		{"linux", "/ws", `/ws/a\b`, `/w/a\b`},
		{"windows", `C:\src\app`, `C:\src\app`, "/w"},
		{"windows", `C:\src\app`, `c:\SRC\app\a b\c`, "/w/a b/c"},
		{"windows", `C:\src\app`, `C:\src\apple`, "/w"},
		{"windows", `C:\`, `C:\src`, "/w/src"},
		{"windows", `\\server\share\app`, `\\server\share\app\sub`, "/w/sub"},
	} {
		f := hostfacts.Facts{GOOS: tt.goos, Workspace: tt.workspace, Cwd: tt.dir}
		require.Equal(t, tt.want, plan.Workdir(f, "/w"), "%+v", tt)
	}
}

func TestAttachedExec(t *testing.T) {
	c := plan.Call{ID: "i", Kind: plan.KindAgent, Cwd: "/workspace", Argv: []string{"ls"}, Stdin: true, TTY: true}
	require.Equal(t, strings.Fields("exec --interactive --tty --user 1:2 --env AIFO_EXEC_ID=i --env PATH=/opt/aifo/bin:/p c /opt/aifo/bin/aifo-shim run --kind agent --cwd /workspace -- ls"),
		plan.AttachedExec("c", "1:2", "/p", c).Argv())
	require.Contains(t, plan.AttachedExec("c", "1:2", "", c).Argv(), "PATH=/opt/aifo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	c.Kind = "rust"
	require.Equal(t, plan.ToolExec("c", "1:2", c), plan.AttachedExec("c", "1:2", "/p", c), "a sidecar's PATH is its own")
}
