//go:build linux

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// finding is a check of doctor --json.
type finding struct {
	Group, Name, Status, Finding, Fixed string
	Next                                []string
}

// diagnosis is what doctor printed.
type diagnosis struct {
	Version string
	OK      bool
	Checks  []finding
}

// doctor runs doctor --json with further arguments, and checks its exit code against what it says. On
// a machine that is too busy for a check, which it says, it is asked again.
func (c *caller) doctor(args ...string) diagnosis {
	c.t.Helper()
	for range 4 {
		if d := c.doctorOnce(args...); !c.slow(d) {
			return d
		}
	}
	return c.doctorOnce(args...)
}

// slow reports whether a check in a container was given up, or one of the engine where that is not
// one of the test's own, whose silence may be what the test wants.
func (c *caller) slow(d diagnosis) bool {
	own := slices.ContainsFunc(c.env, func(kv string) bool {
		host, given := strings.CutPrefix(kv, "DOCKER_HOST=")
		return given && host != os.Getenv("DOCKER_HOST")
	})
	for _, f := range d.Checks {
		late := strings.Contains(f.Finding, "no answer within")
		switch f.Group {
		case "containers", "images":
		case "engine":
			late = !own && (late || strings.Contains(f.Finding, "it does not answer, although it takes connections"))
		default:
			continue
		}
		if late {
			return true
		}
	}
	return false
}

func (c *caller) doctorOnce(args ...string) diagnosis {
	c.t.Helper()
	began := time.Now()
	r := c.run("", append([]string{"doctor", "--json"}, args...)...)
	assert.Less(c.t, time.Since(began), 40*time.Second, "it is bounded")
	var d diagnosis
	require.NoError(c.t, json.Unmarshal([]byte(r.stdout), &d))
	require.Equal(c.t, d.OK, r.code == 0, r.stderr)
	if !d.OK {
		require.Equal(c.t, 1, r.code)
	}
	return d
}

// check returns the check of a name.
func (d diagnosis) check(t *testing.T, name string) finding {
	t.Helper()
	for _, f := range d.Checks {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("there is no check %q", name)
	return finding{}
}

// failed returns the names of the checks that failed.
func (d diagnosis) failed() []string {
	var names []string
	for _, f := range d.Checks {
		if f.Status == "fail" {
			names = append(names, f.Name)
		}
	}
	return names
}

// requireCause wants one failed check, with the words in its finding and in what to do.
func (d diagnosis) requireCause(t *testing.T, name, says, next string) {
	t.Helper()
	require.Equal(t, []string{name}, d.failed())
	f := d.check(t, name)
	require.Contains(t, f.Finding, says)
	require.Contains(t, strings.Join(f.Next, "\n"), next)
}

// TestDoctorOnAHealthyMachine finds nothing to complain of, as root and as an ordinary user, and
// makes no file.
func TestDoctorOnAHealthyMachine(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		require.NoError(t, os.Mkdir(filepath.Join(c.workspace, ".git"), 0o755))
		c.own(c.workspace)
		d := c.doctor("shell")
		require.Empty(t, d.failed())
		for _, name := range []string{"command line", "engine", "permissions", "containers", "proxy by TCP", "proxy by unix socket", "agent shell", "workspace", "git identity", "killed sessions"} {
			require.Equal(t, "pass", d.check(t, name).Status, name)
		}
		for _, dir := range []string{".cache", ".local", ".config"} {
			require.NoDirExists(t, filepath.Join(c.home, dir))
		}
		require.Empty(t, entries(t, c.runtime))
	})
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	return list
}

// setenv replaces a variable of the caller.
func (c *caller) setenv(name, value string) {
	kept := c.env[:0:0]
	for _, kv := range c.env {
		if !strings.HasPrefix(kv, name+"=") {
			kept = append(kept, kv)
		}
	}
	c.env = append(kept, name+"="+value)
}

// withoutDocker makes a directory with the programs of PATH that doctor asks, but for docker.
func (c *caller) withoutDocker() string {
	dir := filepath.Join(c.home, "bin")
	require.NoError(c.t, os.Mkdir(dir, 0o755))
	require.NoError(c.t, os.Symlink(hostProgram(c.t, "git"), filepath.Join(dir, "git")))
	return dir
}

func TestDoctorWithoutDocker(t *testing.T) {
	c := self(t)
	c.setenv("PATH", c.withoutDocker())
	d := c.doctor("shell")
	d.requireCause(t, "command line", "docker is not installed", "apt-get install docker.io")
	require.Equal(t, "skip", d.check(t, "containers").Status)
	require.Equal(t, "pass", d.check(t, "git").Status, "what needs no engine is looked at")
}

func TestDoctorWithoutEngine(t *testing.T) {
	c := self(t)
	for name, tt := range map[string]struct {
		host         string
		finding, try string
	}{
		"no socket":      {"unix://" + filepath.Join(c.home, "none"), "it does not run", "systemctl start docker"},
		"nobody listens": {"unix://" + c.deadSocket(), "it does not run", "systemctl start docker"},
		"another port":   {"tcp://127.0.0.1:1", "it does not run", "unset DOCKER_HOST"},
		"it hangs":       {"unix://" + c.deafSocket(), "it does not answer, although it takes connections", "systemctl restart docker"},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.with(t)
			c.setenv("DOCKER_HOST", tt.host)
			d := c.doctor("shell")
			d.requireCause(t, "engine", tt.finding, tt.try)
			require.Contains(t, d.check(t, "engine").Finding, "DOCKER_HOST")
		})
	}
	t.Run("wrong context", func(t *testing.T) {
		c := c.with(t)
		c.setenv("DOCKER_CONTEXT", "nowhere")
		c.doctor("shell").requireCause(t, "engine", "nowhere", "docker context ls")
	})
}

// deadSocket is a socket that its server has left behind.
func (c *caller) deadSocket() string {
	path := filepath.Join(c.home, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(c.t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(c.t, l.Close())
	return path
}

// deafSocket is a server that takes connections and never answers.
func (c *caller) deafSocket() string {
	path := filepath.Join(c.home, "deaf")
	l, err := net.Listen("unix", path)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return path
}

// TestDoctorWithoutPermission is an ordinary user who is not in the group of the real socket.
func TestDoctorWithoutPermission(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "only root can become another user")
	}
	c := newCaller(t, 1000, 1000)
	c.groups = nil
	c.doctor("shell").requireCause(t, "engine", "you are not in the group docker", "usermod -aG docker")
}

// TestDoctorFindsAnEngineWithoutNetwork is an engine that was started without its bridge.
func TestDoctorFindsAnEngineWithoutNetwork(t *testing.T) {
	c := self(t)
	c.ownEngine()
	d := c.doctor("shell")
	require.Equal(t, []string{"proxy by TCP"}, d.failed())
	f := d.check(t, "proxy by TCP")
	require.Contains(t, f.Finding, "no address at which containers reach this machine")
	require.Contains(t, f.Next[0], "--toolchain-unix-socket")
	require.Equal(t, "pass", d.check(t, "proxy by unix socket").Status)
}

// TestDoctorFindsAFirewall has one drop, or reject, what containers send to the host. Engine and program
// are in a network of their own, so that nobody else is kept from anything.
func TestDoctorFindsAFirewall(t *testing.T) {
	c := self(t)
	e := c.ownEngineWith("--ip-forward=true")
	pid := strconv.Itoa(e.cmd.Process.Pid)
	inside := func(args ...string) *exec.Cmd {
		return exec.Command(hostProgram(t, "nsenter"), append([]string{"--target", pid, "--net", "--"}, args...)...)
	}
	wrapper := filepath.Join(c.home, "aifo-coder")
	require.NoError(t, os.WriteFile(wrapper, []byte("#!/bin/sh\nexec nsenter --target "+pid+" --net -- "+program+` "$@"`+"\n"), 0o755))
	c.program = wrapper
	require.NoError(t, inside("ip", "link", "set", "lo", "up").Run())
	require.Equal(t, "pass", c.doctor("shell").check(t, "proxy by TCP").Status)
	for _, tt := range []struct{ target, finding, next string }{
		{"DROP", "a firewall drops what containers send", "ufw allow in"}, {"REJECT", "a container is refused", "iptables -L INPUT"},
	} {
		change := func(op string) {
			out, err := inside("iptables", op, "INPUT", "--in-interface", "br-+", "--jump", tt.target).CombinedOutput()
			require.NoError(t, err, "%s", out)
		}
		change("--insert")
		c.doctor("shell").requireCause(t, "proxy by TCP", tt.finding, tt.next)
		change("--delete")
	}
}

// fullDisk mounts a file system in memory and fills it.
func (c *caller) fullDisk(dir string) (fill func()) {
	c.t.Helper()
	if os.Getuid() != 0 {
		lacking(c.t, "only root can mount a file system")
	}
	require.NoError(c.t, os.MkdirAll(dir, 0o700))
	require.NoError(c.t, syscall.Mount("none", dir, "tmpfs", 0, "size=64m"))
	c.t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return func() {
		f, err := os.Create(filepath.Join(dir, "fill"))
		require.NoError(c.t, err)
		for block := make([]byte, 1<<20); err == nil; {
			_, err = f.Write(block)
		}
		require.ErrorIs(c.t, err, syscall.ENOSPC)
		require.NoError(c.t, f.Close())
	}
}

func TestDoctorFindsAFullDisk(t *testing.T) {
	c := self(t)
	dir := filepath.Join(c.home, ".local", "state")
	c.fullDisk(dir)()
	c.doctor("shell").requireCause(t, "disk: state", dir+" is full", "df -h")
}

func TestDoctorFindsAFullEngine(t *testing.T) {
	c := self(t)
	e := &ownEngine{t: t, dir: filepath.Join(c.home, "engine"), flags: withoutBridge}
	require.NoError(t, os.Mkdir(e.dir, 0o700))
	fill := c.fullDisk(filepath.Join(e.dir, "data"))
	e.start()
	t.Cleanup(e.end)
	c.setenv("DOCKER_HOST", e.host())
	fill()
	d := c.doctor()
	require.Contains(t, d.failed(), "disk: engine")
	require.Contains(t, d.check(t, "disk: engine").Finding, "is full")
	require.Contains(t, strings.Join(d.check(t, "disk: engine").Next, "\n"), "docker system df")
}

// foreignImage loads an image for another processor. It is an archive as docker save makes them:
// docker import takes a platform and does not keep it, on Docker 20.10.
func foreignImage(t *testing.T, name string) {
	t.Helper()
	layer := archive(t, map[string]string{"bin/sh": "x", "bin/codex": "x"})
	config, err := json.Marshal(map[string]any{
		"architecture": "s390x", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(layer)))}},
	})
	require.NoError(t, err)
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	require.NoError(t, err)
	cmd := exec.Command("docker", "load")
	cmd.Stdin = strings.NewReader(archive(t, map[string]string{"config.json": string(config), "manifest.json": string(manifest), "layer.tar": layer}))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", "--force", name).Run() })
}

// archive returns a tar archive of the files.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}))
		_, err := w.Write([]byte(files[name]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.String()
}

func TestDoctorFindsAWrongImage(t *testing.T) {
	c := self(t)
	foreignImage(t, "aifo-e2e-foreign:doctor")
	for name, tt := range map[string]struct{ image, finding string }{
		"without its program": {"debian:bookworm-slim", "does not have the program codex"},
		"another processor":   {"aifo-e2e-foreign:doctor", "is for linux/s390x, and the engine runs linux/"},
		"absent":              {"aifo-coder-e2e-none:latest", "is not on this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.with(t)
			d := c.doctor("--image", tt.image, "codex")
			require.Contains(t, d.check(t, "agent codex").Finding, tt.finding)
			if name != "absent" {
				require.Equal(t, []string{"agent codex"}, d.failed())
			}
		})
	}
}

// TestDoctorIsInterrupted leaves no container when Ctrl-C comes while one runs.
func TestDoctorIsInterrupted(t *testing.T) {
	c := self(t)
	s := c.begin("doctor", "shell")
	eventually(t, func() bool { return len(c.containers()) > 0 }, "a probe runs")
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
	require.Equal(t, 130, s.end(t))
	require.Empty(t, c.containers())
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "aifo-dr*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestDoctorFixes removes what a killed session has left, and closes a directory.
func TestDoctorFixes(t *testing.T) {
	c := self(t)
	host, err := os.Hostname()
	require.NoError(t, err)
	labels := []string{}
	for _, l := range []string{"session=e2edead", "workspace=" + c.canonical(), "owner-host=" + host, "owner-pid=4194305", "owner-start=x"} {
		labels = append(labels, "--label", "dev.aifo-coder."+l)
	}
	docker(t, append(append([]string{"create", "--name", "aifo-e2e-dead"}, labels...), "debian:bookworm-slim", "true")...)
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", "aifo-e2e-dead").Run() })
	runtime := filepath.Join(c.runtime, "aifo-coder")
	require.NoError(t, os.Mkdir(runtime, 0o700))
	require.NoError(t, os.Chmod(runtime, 0o755))

	d := c.doctor("shell")
	require.Equal(t, "warn", d.check(t, "killed sessions").Status)
	require.Equal(t, []string{"directory: runtime"}, d.failed())
	require.Len(t, c.containers(), 1, "nothing is changed without --fix")

	d = c.doctor("--fix", "shell")
	require.Empty(t, d.failed())
	require.Contains(t, d.check(t, "killed sessions").Fixed, "1 container")
	require.Contains(t, d.check(t, "directory: runtime").Fixed, "closed")
	require.Empty(t, c.containers())
	info, err := os.Stat(runtime)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	require.Equal(t, "pass", c.doctor("shell").check(t, "killed sessions").Status)
}
