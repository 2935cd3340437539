package hostfacts

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/docker"
)

// TestDoubt: what an engine says of its machine, and how it is reached.
func TestDoubt(t *testing.T) {
	here := machine{goos: "linux", hostname: "box", kernel: "6.1", memory: 100, absent: func(path string) bool { return path == "/gone" }}
	same := docker.Info{Engine: docker.Program, Name: "box", KernelVersion: "6.1", MemTotal: 100, DockerRootDir: "/var/lib/docker"}
	with := func(change func(*docker.Info)) docker.Info {
		i := same
		change(&i)
		return i
	}
	for name, tt := range map[string]struct {
		goos, host string
		info       docker.Info
		doubt      bool
	}{
		"this machine":          {"linux", "unix:///var/run/docker.sock", same, false},
		"a socket of ours":      {"linux", "unix:///home/ann/s", same, false},
		"tcp, even to loopback": {"linux", "tcp://127.0.0.1:2375", same, true},
		"ssh":                   {"linux", "ssh://box", same, true},
		"another host name":     {"linux", "unix:///s", with(func(i *docker.Info) { i.Name = "far" }), true},
		"another kernel":        {"linux", "unix:///s", with(func(i *docker.Info) { i.KernelVersion = "6.2" }), true},
		"other memory":          {"linux", "unix:///s", with(func(i *docker.Info) { i.MemTotal = 99 }), true},
		"other files":           {"linux", "unix:///s", with(func(i *docker.Info) { i.DockerRootDir = "/gone" }), true},
		"says nothing":          {"linux", "unix:///s", docker.Info{}, false},
		"Docker Desktop":        {"linux", "unix:///s", docker.Info{OperatingSystem: "Docker Desktop", KernelVersion: "6.2", Name: "docker-desktop"}, false},
		"its machine on a Mac":  {"darwin", "unix:///s", docker.Info{KernelVersion: "6.2", Name: "lima"}, false},
		"elsewhere from a Mac":  {"darwin", "ssh://box", docker.Info{KernelVersion: "6.2", Name: "lima"}, true},
		"podman":                {"linux", "", docker.Info{Engine: docker.Podman, Name: "x", KernelVersion: "y"}, false},
		"podman's client":       {"linux", "", docker.Info{Engine: docker.Podman, Remote: true}, true},
	} {
		m := here
		m.goos = tt.goos
		got := m.doubt(Facts{Engine: &tt.info, Endpoint: docker.Endpoint{Host: tt.host}})
		require.Equal(t, tt.doubt, got != "", "%s: %q", name, got)
	}
	require.Empty(t, Facts{GOOS: "linux"}.EngineDoubt(), "no engine answered")
}
