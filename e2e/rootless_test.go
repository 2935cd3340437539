//go:build linux

package e2e

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// rootless is what podman needs of containers.conf where no systemd runs.
const rootless = "cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"

// rootlessPodman has an ordinary user use podman, with images that docker has. What such a user
// needs of the machine scripts/docker-for-tests prepares.
func (c *caller) rootlessPodman(images ...string) podmanEngine {
	c.t.Helper()
	for _, name := range []string{"podman", "newuidmap", "slirp4netns"} {
		hostProgram(c.t, name)
	}
	u, err := user.LookupId(strconv.Itoa(c.uid))
	if err != nil {
		lacking(c.t, "there is no user %d", c.uid)
	}
	ids, err := os.ReadFile("/etc/subuid")
	if err != nil || !strings.Contains("\n"+string(ids), "\n"+u.Username+":") {
		lacking(c.t, "%s has no subordinate ids", u.Username)
	}
	if info, err := os.Stat("/dev/net/tun"); err != nil || info.Mode().Perm()&0o006 != 0o006 {
		lacking(c.t, "/dev/net/tun is not for everybody")
	}
	conf := filepath.Join(c.home, "containers.conf")
	text := strings.Replace(podmanConf(c.t), "[containers]", rootless+"[containers]", 1)
	require.NoError(c.t, os.WriteFile(conf, []byte(text), 0o644))
	c.env = slices.DeleteFunc(c.env, func(v string) bool { return strings.HasPrefix(v, "XDG_RUNTIME_DIR=") })
	c.runtime = c.userRuntime()
	c.env = append(c.env, "XDG_RUNTIME_DIR="+c.runtime, "USER="+u.Username, "CONTAINERS_CONF="+conf, "AIFO_CODER_ENGINE=podman")
	p := podmanEngine{t: c.t, env: c.env, dir: c.home, as: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.gid)}}}
	c.t.Cleanup(func() {
		require.NoError(c.t, p.command("system", "reset", "--force").Run())
		require.NoError(c.t, p.command("system", "migrate").Run(), "ends the process that keeps the user's namespace")
	})
	for _, image := range images {
		p.load(image)
	}
	return p
}

// userRuntime returns the user's runtime directory: podman's networks want it at its usual place.
func (c *caller) userRuntime() string {
	c.t.Helper()
	dir := filepath.Join("/run/user", strconv.Itoa(c.uid))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	require.NoError(c.t, os.MkdirAll(dir, 0o700))
	require.NoError(c.t, os.Chown(dir, c.uid, c.gid))
	c.t.Cleanup(func() { require.NoError(c.t, os.RemoveAll(dir)) })
	return dir
}

// TestPodmanWithoutRoot is the main job with podman of an ordinary user, with a network and without.
func TestPodmanWithoutRoot(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "the test prepares another user's podman")
	}
	c := newCaller(t, 1000, 1000)
	podman := c.rootlessPodman("aifo-coder-shell:latest")
	const route = `if grep -q '	00000000	' /proc/net/route; then echo open; else echo closed; fi; `
	for name, flags := range map[string][]string{"open": nil, "closed": {"--network-policy", "none"}} {
		t.Run(name, func(t *testing.T) {
			c := c.with(t)
			r := c.run("12345", append(flags, "--toolchain", "rust=aifo-coder-shell:latest", "shell", "--", "bash", "-c",
				route+`aifo-run rust sh -c 'hostname >made; wc -c; exit 6'`)...)
			require.Equal(t, 6, r.code)
			require.Equal(t, name+"\n5\n", r.stdout)
			c.requireOwned(c.workspace)
			made, err := os.ReadFile(filepath.Join(c.workspace, "made"))
			require.NoError(t, err)
			require.Contains(t, string(made), "aifo-tc-rust")
			require.Empty(t, podman.left(c))
		})
	}
}
