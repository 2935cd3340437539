package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/apparmor"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// want is what a decision has to come to.
type want struct {
	status        Status
	finding, next string // parts; an empty next: there is none
}

func (w want) check(t *testing.T, r Result) {
	t.Helper()
	assert.Equal(t, w.status, r.Status, r.Finding)
	assert.Contains(t, r.Finding, w.finding)
	next := strings.Join(r.Next, "\n")
	if w.next == "" {
		assert.Empty(t, next)
	}
	assert.Contains(t, next, w.next)
	assert.NotContains(t, r.Finding+next, "\n\n")
}

// TestEngineFailure has the real messages of docker 20.10 and 28 where those decide.
func TestEngineFailure(t *testing.T) {
	const local = "unix:///var/run/docker.sock"
	said := func(text string) error { return &docker.EngineError{Err: errors.New(text)} }
	cannot := said("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
	for name, tt := range map[string]struct {
		facts EngineFacts
		want
	}{
		"no socket":      {EngineFacts{Endpoint: local, Socket: &SocketFacts{Missing: true}, Err: cannot}, want{Fail, "it does not run", "systemctl start docker"}},
		"nobody listens": {EngineFacts{Endpoint: local, Socket: &SocketFacts{Refused: true}, Err: cannot}, want{Fail, "it does not run", "systemctl start docker"}},
		"DOCKER_HOST":    {EngineFacts{Endpoint: "unix:///x", Chosen: "DOCKER_HOST", Socket: &SocketFacts{Missing: true}, Err: cannot}, want{Fail, "which DOCKER_HOST names", "unset DOCKER_HOST"}},
		"another context": {
			EngineFacts{Endpoint: "unix:///x", Context: "desktop-linux", Socket: &SocketFacts{Missing: true}, Err: cannot}, want{Fail, "context desktop-linux", "docker context use default"},
		},
		"not in the group": {EngineFacts{Endpoint: local, Socket: &SocketFacts{Path: "/s", Denied: true, Group: "docker"}, Err: cannot}, want{Fail, "not in the group docker", "usermod -aG docker"}},
		"login too old": {
			EngineFacts{Endpoint: local, Socket: &SocketFacts{Path: "/s", Denied: true, Group: "docker", Listed: true}, Err: cannot}, want{Fail, "after you logged in", "newgrp docker"},
		},
		"root's socket": {EngineFacts{Endpoint: local, Socket: &SocketFacts{Path: "/s", Denied: true, Group: "root"}, Err: cannot}, want{Fail, "you may not use it", "usermod -aG docker"}},
		"docker says it": {
			EngineFacts{Err: said("permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock")}, want{Fail, "you may not use it", "usermod"},
		},
		"hangs":           {EngineFacts{Endpoint: local, Socket: &SocketFacts{}, Hangs: true, Err: said("no answer within 8s")}, want{Fail, "although it takes connections", "systemctl restart docker"}},
		"no context":      {EngineFacts{Err: said(`unable to resolve docker endpoint: context "x": context not found: open /x: no such file or directory`)}, want{Fail, `context "x"`, "docker context ls"}},
		"remote refuses":  {EngineFacts{Endpoint: "tcp://build.example:2376", Err: said("Cannot connect to the Docker daemon at tcp://build.example:2376. Is the docker daemon running?")}, want{Fail, "other machine", "docker info"}},
		"remote unknown":  {EngineFacts{Endpoint: "ssh://build.example", Err: said("error during connect: dial tcp: lookup build.example: no such host")}, want{Fail, "cannot be reached", "docker info"}},
		"local port":      {EngineFacts{Endpoint: "tcp://127.0.0.1:1", Err: said("Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?")}, want{Fail, "it does not run", "start"}},
		"podman":          {EngineFacts{Engine: "podman", Err: said("no subuid ranges")}, want{Fail, "podman does not answer: no subuid ranges", "podman info"}},
		"podman's docker": {EngineFacts{Engine: "docker", Err: &hostfacts.RenamedEngineError{Engine: "podman"}}, want{Fail, "under another name", "--engine podman"}},
		"something else":  {EngineFacts{Endpoint: local, Err: said("client version 1.52\nis too new")}, want{Fail, "client version 1.52 is too new", "docker info"}},
	} {
		t.Run(name, func(t *testing.T) {
			results := engineResults(tt.facts)
			require.Len(t, results, 1)
			tt.check(t, results[0])
		})
	}
}

func TestEngineFound(t *testing.T) {
	info := docker.Info{ServerVersion: "20.10.24+dfsg1", OperatingSystem: "Debian", OSType: "linux", Architecture: "x86_64", SecurityOptions: []string{"name=rootless"}}
	results := engineResults(EngineFacts{Endpoint: "tcp://build.example:2376", Context: "build", Doubt: "why", Info: info})
	require.Len(t, results, 2)
	want{Pass, "20.10.24+dfsg1 on Debian (linux/x86_64), context build tcp://build.example:2376, rootless, perhaps on another machine (why)", ""}.check(t, results[0])
	info.OSType = "windows"
	want{Fail, "windows", "Linux containers"}.check(t, engineFound(EngineFacts{Info: info}))
	for version, w := range map[string]want{
		"28.2.2": {Pass, "28.2.2", ""}, "20.10.24+dfsg1": {Pass, "20.10", ""}, "v20.10": {Pass, "20.10", ""}, "27": {Pass, "27", ""},
		"20.9.1": {Fail, "too old", "docs.docker.com"}, "19.03.15": {Fail, "too old", "docs.docker.com"}, "1.13.1": {Fail, "too old", "docs.docker.com"},
		"dev": {Warn, "cannot be read", ""}, "": {Warn, "cannot be read", ""},
	} {
		w.check(t, engineVersion(version, false))
	}
	want{Pass, "podman 4.3.1", ""}.check(t, engineVersion("4.3.1", true))
	want{Warn, "not been tried", ""}.check(t, engineVersion("3.4.4", true))
}

func TestSocketAccess(t *testing.T) {
	want{Pass, "root", ""}.check(t, socketAccess(SocketFacts{}, 0, false))
	want{Pass, "as you", ""}.check(t, socketAccess(SocketFacts{}, 1000, true))
	want{Pass, "group docker", ""}.check(t, socketAccess(SocketFacts{Group: "docker", Member: true}, 1000, false))
	want{Warn, "every user", "chmod 660"}.check(t, socketAccess(SocketFacts{Path: "/s", Everyone: true}, 1000, false))
}

func TestNetworkDecisions(t *testing.T) {
	some := fmt.Errorf("docker: Error response from daemon: %s", "some reason.\nSee 'docker run --help'.")
	for name, tt := range map[string]struct {
		got Result
		want
	}{
		"reached":         {proxyResult(ProxyFacts{Address: "172.17.0.1:3", Reached: true}), want{Pass, "172.17.0.1:3", ""}},
		"dropped":         {proxyResult(ProxyFacts{Address: "172.17.0.1:3", TimedOut: true}), want{Fail, "firewall drops", "to 172.17.0.1\n"}},
		"refused":         {proxyResult(ProxyFacts{Address: "172.17.0.1:3"}), want{Fail, "refused", "--toolchain-unix-socket"}},
		"no address":      {proxyResult(ProxyFacts{Listen: some}), want{Fail, "no address", "--toolchain-unix-socket"}},
		"did not start":   {proxyResult(ProxyFacts{Start: some}), want{Fail, "did not start: some reason.", "starting first"}},
		"no time":         {proxyResult(ProxyFacts{Start: &slowError{1}}), want{Warn, "could not be tried", "try again"}},
		"socket":          {proxyResult(ProxyFacts{Address: "/s", Unix: true}), want{Fail, "mounted socket", "leave --toolchain-unix-socket out"}},
		"pools":           {networkResult(errors.New("could not find an available, non-overlapping IPv4 address pool")), want{Fail, "address pool", "docker network prune"}},
		"no network":      {networkResult(some), want{Fail, "some reason", "journalctl"}},
		"starts":          {startResult(StartFacts{Image: "i"}), want{Pass, "i starts", ""}},
		"full":            {startResult(StartFacts{Image: "i", Err: errors.New("mkdir /x: no space left on device")}), want{Fail, "disk is full", "docker system df"}},
		"remote files":    {startResult(StartFacts{Err: errors.New("invalid mount config for type \"bind\": bind source path does not exist: /x")}), want{Fail, "does not see the files", "engine on this machine"}},
		"another reason":  {startResult(StartFacts{Image: "i", Err: some}), want{Fail, "i does not start: some reason.", "journalctl"}},
		"outside":         {outsideResult(Reach{Reached: true}, Reach{Target: "x:1", Reached: true}), want{Pass, "x:1", ""}},
		"outside inside":  {outsideResult(Reach{Reason: "no connection"}, Reach{Target: "x:1", Reached: true}), want{Pass, "this machine does not", ""}},
		"no name server":  {outsideResult(Reach{Target: "x:1", Reached: true, Resolved: true}, Reach{Reason: "no answer"}), want{Warn, "look up its name", "dns"}},
		"no forwarding":   {outsideResult(Reach{Target: "x:1", Reached: true, Resolved: true}, Reach{Resolved: true, Reason: "no connection"}), want{Warn, "containers do not", "ip_forward"}},
		"nobody outside":  {outsideResult(Reach{Target: "x:1", Reason: "no connection"}, Reach{}), want{Warn, "neither this machine", "HTTPS_PROXY"}},
		"outside untried": {outsideResult(Reach{Reached: true}, Reach{Err: some}), want{Warn, "could not be tried", "try again"}},
	} {
		t.Run(name, func(t *testing.T) { tt.check(t, tt.got) })
	}
}

func TestImageDecisions(t *testing.T) {
	good := ImageFacts{What: "agent", Name: "codex", Ref: "i", Present: true, OS: "linux", Arch: "amd64", EngineArch: "amd64", Program: "codex", HasProgram: true, HasShell: true}
	missing := &plan.MissingImage{Ref: "i", Target: "build-codex"}
	change := func(f func(*ImageFacts)) ImageFacts {
		changed := good
		f(&changed)
		return changed
	}
	for name, tt := range map[string]struct {
		facts ImageFacts
		want
	}{
		"good":        {good, want{Pass, "has codex", ""}},
		"no program":  {change(func(f *ImageFacts) { f.HasProgram = false }), want{Fail, "does not have the program codex", "make build-codex"}},
		"no shell":    {change(func(f *ImageFacts) { f.HasShell = false }), want{Fail, "no shell", "make build-codex"}},
		"toolchain":   {change(func(f *ImageFacts) { f.What, f.Name, f.HasShell = "toolchain", "go", false }), want{Pass, "has codex", ""}},
		"other arch":  {change(func(f *ImageFacts) { f.Arch, f.HasProgram = "arm64", false }), want{Fail, "linux/arm64, and the engine runs linux/amd64", "make build-codex"}},
		"emulated":    {change(func(f *ImageFacts) { f.Arch, f.Emulated = "arm64", true }), want{Warn, "emulates", "make"}},
		"Windows's":   {change(func(f *ImageFacts) { f.OS = "windows" }), want{Fail, "windows/amd64", "make"}},
		"unseen":      {change(func(f *ImageFacts) { f.Err, f.HasProgram = errors.New("x"), false }), want{Warn, "could not be looked into: x", "try again"}},
		"unknown":     {change(func(f *ImageFacts) { f.Err, f.OS, f.Arch = errors.New("x"), "", "" }), want{Warn, "could not be looked into: x", "try again"}},
		"absent":      {change(func(f *ImageFacts) { f.Present, f.Missing = false, missing }), want{Skip, "not on this machine", "make build-codex"}},
		"asked for":   {change(func(f *ImageFacts) { f.Present, f.Missing, f.Asked = false, missing, true }), want{Fail, "not on this machine", "make build-codex"}},
		"can be pull": {change(func(f *ImageFacts) { f.Present, f.Asked = false, true }), want{Skip, "pulls it", ""}},
	} {
		t.Run(name, func(t *testing.T) { tt.check(t, imageResult(tt.facts)) })
	}
	absent := change(func(f *ImageFacts) { f.Present, f.Missing = false, missing })
	require.Empty(t, someAgent([]ImageFacts{absent, good}))
	want{Fail, "no agent has an image", "make build-shell"}.check(t, someAgent([]ImageFacts{absent})[0])
}

func TestCredentialDecisions(t *testing.T) {
	for name, tt := range map[string]struct {
		facts CredentialFacts
		want
	}{
		"none needed":   {CredentialFacts{}, want{Pass, "takes no key", ""}},
		"set":           {CredentialFacts{Needs: true, Variables: []string{"A_KEY", "B_KEY"}}, want{Pass, "it gets A_KEY, B_KEY", ""}},
		"none":          {CredentialFacts{Needs: true}, want{Skip, "no key", "export"}},
		"none, asked":   {CredentialFacts{Needs: true, Asked: true}, want{Warn, "no key", "export"}},
		"stored only":   {CredentialFacts{Needs: true, Asked: true, Stored: []string{"openai"}}, want{Warn, "(openai)", "--credentials broker"}},
		"brokered":      {CredentialFacts{Needs: true, Brokered: true, Stored: []string{"openai"}, Variables: []string{"A_KEY"}}, want{Pass, "has A_KEY, the key of openai", ""}},
		"broker's none": {CredentialFacts{Needs: true, Asked: true, Brokered: true}, want{Warn, "broker has no key", "credentials set"}},
		"unfit":         {CredentialFacts{Needs: true, Asked: true, Brokered: true, Unfit: "why"}, want{Warn, "why", "--credentials pass"}},
	} {
		t.Run(name, func(t *testing.T) { tt.check(t, credentialResult(tt.facts)) })
	}
}

func TestHostDecisions(t *testing.T) {
	rootless, remapped := docker.Info{SecurityOptions: []string{"name=rootless"}}, docker.Info{SecurityOptions: []string{"name=userns"}}
	for name, tt := range map[string]struct {
		got Result
		want
	}{
		"disk":            {diskResult(DiskFacts{Path: "/p", Free: 5 * gibi, Wanted: gibi}), want{Pass, "5GiB", ""}},
		"disk low":        {diskResult(DiskFacts{Path: "/p", Free: 300 * mebi, Wanted: gibi}), want{Warn, "300MiB", "df -h /p"}},
		"disk full":       {diskResult(DiskFacts{Path: "/p", Free: 12 << 10}), want{Fail, "is full: 12KiB", "df -h /p"}},
		"engine's full":   {diskResult(DiskFacts{Name: diskEngine, Path: "/p"}), want{Fail, "is full", "docker system df"}},
		"no inodes":       {diskResult(DiskFacts{Path: "/p", Free: gibi, Inodes: 3, Counted: true}), want{Fail, "3 inodes", "df -i /p"}},
		"inodes unknown":  {diskResult(DiskFacts{Path: "/p", Free: gibi}), want{Pass, "1GiB", ""}},
		"disk hidden":     {diskResult(DiskFacts{Path: "/p", Err: os.ErrPermission}), want{Skip, "cannot be measured", ""}},
		"memory":          {memoryResult(8*gibi, 4*gibi, true, false), want{Pass, "4GiB of 8GiB", ""}},
		"memory taken":    {memoryResult(8*gibi, 100*mebi, true, false), want{Warn, "100MiB", "end what"}},
		"memory little":   {memoryResult(gibi, 0, true, false), want{Warn, "little", "more"}},
		"memory unknown":  {memoryResult(0, 0, true, false), want{Skip, "does not say", ""}},
		"no limits":       {memoryResult(8*gibi, 0, false, true), want{Fail, "cannot limit", "leave --memory out"}},
		"AppArmor none":   {appArmorResult("", apparmor.Host{}), want{Pass, "has none", ""}},
		"AppArmor ours":   {appArmorResult("", apparmor.Host{Engine: true, Loaded: true}), want{Pass, apparmor.Agent, ""}},
		"AppArmor off":    {appArmorResult("none", apparmor.Host{Engine: true, Loaded: true}), want{Pass, "as " + apparmor.Variable, ""}},
		"AppArmor unload": {appArmorResult("", apparmor.Host{Engine: true}), want{Warn, "not loaded", "aifo-coder apparmor"}},
		"AppArmor asked":  {appArmorResult("x", apparmor.Host{}), want{Fail, "asked for", "none"}},
		"seccomp":         {seccompResult(docker.Info{SecurityOptions: []string{"name=seccomp,profile=default"}}), want{Pass, "filters", ""}},
		"no seccomp":      {seccompResult(docker.Info{}), want{Warn, "every system call", "unconfined"}},
		"user":            {userResult(1000, 100, docker.Info{}), want{Pass, "1000:100", ""}},
		"root":            {userResult(0, 0, docker.Info{}), want{Warn, "you are root", "ordinary user"}},
		"rootless":        {userResult(1000, 1000, rootless), want{Pass, "rootless", ""}},
		"remapped":        {userResult(1000, 1000, remapped), want{Fail, "userns-remap", "daemon.json"}},
		"workspace":       {workspaceResult(WorkspaceFacts{Path: "/w", Repository: true}), want{Pass, "/w, a git repository", ""}},
		"no repository":   {workspaceResult(WorkspaceFacts{Path: "/w"}), want{Warn, "no git repository", "git init"}},
		"linked":          {workspaceResult(WorkspaceFacts{Path: "/w", Repository: true, Linked: true, Common: "/r/.git"}), want{Pass, "/r/.git", ""}},
		"linked, forged":  {workspaceResult(WorkspaceFacts{Path: "/w", Repository: true, Linked: true, Warnings: []string{"git will not work"}}), want{Warn, "git will not work", "repository itself"}},
		"read-only":       {workspaceResult(WorkspaceFacts{Path: "/w", Denied: true}), want{Fail, "cannot be written", "--workspace"}},
		"home":            {workspaceResult(WorkspaceFacts{Err: &hostfacts.WorkspaceError{Path: "/h", Reason: "it is your home directory"}}), want{Fail, "home directory", "--workspace"}},
		"git":             {gitResult("git version 2.39.5", true, nil), want{Pass, "2.39.5", ""}},
		"git old":         {gitResult("git version 2.30.2", false, nil), want{Warn, "too old", "git-scm.com"}},
		"no git":          {gitResult("", false, errors.New("x")), want{Warn, "no fork mode", "apt-get install git"}},
		"identity":        {identityResult(hostfacts.GitIdentity{Name: "A", Email: "a@x"}), want{Pass, "A <a@x>", ""}},
		"no address":      {identityResult(hostfacts.GitIdentity{Name: "A"}), want{Warn, "cannot commit", "user.email"}},
		"tmux":            {tmuxResult("tmux 3.3a", nil), want{Pass, "3.3a", ""}},
		"no tmux":         {tmuxResult("", errors.New("x")), want{Warn, "--fork-runner plain", "apt-get install tmux"}},
		"CA none":         {caResult(hostfacts.CABundle{}, nil, nil), want{Pass, "of their images", ""}},
		"CA":              {caResult(hostfacts.CABundle{All: hostfacts.CAFile{Path: "/ca"}}, nil, nil), want{Pass, "/ca", ""}},
		"CA wrong":        {caResult(hostfacts.CABundle{}, errors.New("not a file"), nil), want{Fail, "not a file", "AIFO_CODER_CA_BUNDLE"}},
		"CA unused":       {caResult(hostfacts.CABundle{}, nil, []string{"X: unused"}), want{Warn, "X: unused", "AIFO_CODER_CA_BUNDLE"}},
		"config none":     {configResult(ConfigFacts{}), want{Pass, "there is none", ""}},
		"config":          {configResult(ConfigFacts{Files: []string{"/c"}}), want{Pass, "/c", ""}},
		"config wrong":    {configResult(ConfigFacts{Err: errors.New("c.yaml:3: unknown")}), want{Fail, "c.yaml:3", "config validate"}},
		"config waits":    {configResult(ConfigFacts{Waiting: []string{"image"}}), want{Warn, "image", "aifo-coder trust"}},
		"left none":       {leftoverResult(Leftovers{}, nil, nil), want{Pass, "nothing", ""}},
		"left unknown":    {leftoverResult(Leftovers{}, errors.New("x"), nil), want{Warn, "cannot be listed", ""}},
	} {
		t.Run(name, func(t *testing.T) { tt.check(t, tt.got) })
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	removed := false
	r := leftoverResult(Leftovers{Containers: 2, Files: []string{"l"}}, nil, func(context.Context) error {
		removed = true
		return nil
	})
	want{Warn, "2 containers, 1 file", "--fix"}.check(t, r)
	did, err := r.Fix(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "removed 2 containers, 1 file", did)
	assert.True(t, removed)
}

// TestDirectories looks at real ones, and mends what it may.
func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	make := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(path, 0o700))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	look := func(path string, private bool) Result {
		return dirResult(dirFacts(DirFacts{Path: path, Private: private}))
	}
	want{Pass, "", ""}.check(t, look(make("good", 0o755), false))
	want{Fail, "no directory", "move it"}.check(t, look(file, false))
	want{Fail, "belongs to another user", "chown"}.check(t, dirResult(DirFacts{Path: "/x", Foreign: true}))
	for _, tt := range []struct {
		path    string
		private bool
	}{{make("shared", 0o775), false}, {make("open", 0o755), true}} {
		r := look(tt.path, tt.private)
		want{Fail, "open to others", "--fix"}.check(t, r)
		_, err := r.Fix(t.Context())
		require.NoError(t, err)
		want{Pass, "", ""}.check(t, look(tt.path, tt.private))
	}
	missing := look(filepath.Join(dir, "a", "b"), true)
	want{Pass, "not there yet", ""}.check(t, missing)
	_, err := missing.Fix(t.Context())
	require.NoError(t, err)
	require.Equal(t, "directory: ", look(filepath.Join(dir, "a", "b"), true).Name)
	want{Pass, "", ""}.check(t, look(filepath.Join(dir, "a", "b"), true))
}

func TestOutsideTarget(t *testing.T) {
	for proxy, target := range map[string]string{
		"": "registry.npmjs.org:443", "http://proxy.example:3128": "proxy.example:3128", "https://u:p@proxy.example": "proxy.example:443",
		"socks5://proxy.example": "proxy.example:1080", "http://[::1]": "[::1]:80", "nonsense": "registry.npmjs.org:443",
	} {
		assert.Equal(t, target, outsideTarget(hostfacts.Env{"HTTPS_PROXY": proxy}), proxy)
	}
}
