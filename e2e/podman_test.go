//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// podmanEngine is this machine's podman, used by one caller.
type podmanEngine struct {
	t   *testing.T
	env []string
	dir string               // the working directory; empty: that of the test
	as  *syscall.SysProcAttr // whose podman it is; nil: that of root
}

// podman has the caller use podman, with the images that docker has.
func (c *caller) podman(images ...string) podmanEngine {
	c.t.Helper()
	hostProgram(c.t, "podman")
	if os.Getuid() != 0 {
		lacking(c.t, "podman has the images of root")
	}
	conf := filepath.Join(c.home, "containers.conf")
	require.NoError(c.t, os.WriteFile(conf, []byte(podmanConf(c.t)), 0o644))
	c.env = append(c.env, "CONTAINERS_CONF="+conf, "AIFO_CODER_ENGINE=podman")
	p := podmanEngine{t: c.t, env: c.env}
	for _, image := range images {
		p.load(image)
	}
	return p
}

// podmanConf keeps podman from asking for more files and processes than this one may have,
// and has it start containers with the program that docker has.
func podmanConf(t *testing.T) string {
	t.Helper()
	conf := ""
	if _, err := exec.LookPath("runc"); err == nil {
		conf = "[engine]\nruntime = \"runc\"\n"
	}
	var files, processes unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NPROC, &processes))
	return conf + fmt.Sprintf("[containers]\ndefault_ulimits = [\"nofile=%d:%[1]d\", \"nproc=%d:%[2]d\"]\n",
		min(files.Max, 1<<16), min(processes.Max, 1<<15))
}

func (p podmanEngine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", args...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = p.env, p.dir, p.as
	return cmd
}

// load copies an image of docker's, if podman has not got it.
func (p podmanEngine) load(image string) {
	p.t.Helper()
	want := strings.TrimPrefix(docker(p.t, "image", "inspect", "--format", "{{.Id}}", image), "sha256:")
	if id, err := p.command("image", "inspect", "--format", "{{.Id}}", image).Output(); err == nil && strings.TrimSpace(string(id)) == want {
		return
	}
	save := exec.Command("docker", "save", image)
	load := p.command("load")
	var err error
	load.Stdin, err = save.StdoutPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, save.Start())
	out, err := load.CombinedOutput()
	require.NoError(p.t, err, "%s", out)
	require.NoError(p.t, save.Wait())
}

// left returns what there is of the caller's sessions.
func (p podmanEngine) left(c *caller) string {
	p.t.Helper()
	label := "label=dev.aifo-coder.workspace=" + c.canonical()
	containers, err := p.command("ps", "--all", "--quiet", "--filter", label).Output()
	require.NoError(p.t, err)
	networks, err := p.command("network", "ls", "--quiet", "--filter", label).Output()
	require.NoError(p.t, err)
	return strings.TrimSpace(string(containers) + string(networks))
}

// TestPodman is the main job with podman in place of docker.
func TestPodman(t *testing.T) {
	c := self(t)
	podman := c.podman("aifo-coder-shell:latest", "aifo-coder-toolchain-rust:latest")
	c.examples("rust-hello")
	const job = `cd rust-hello && cargo run --quiet </dev/null >../said && wc -c && exit 6`
	for name, flags := range map[string][]string{
		"tcp": nil, "unix": {"--toolchain-unix-socket"}, "closed": {"--network-policy", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.with(t)
			flags = append(flags, "--no-toolchain-cache", "--toolchain", "rust", "shell", "--", "bash", "-c", job)
			r := c.run("12345", flags...)
			require.Equal(t, 6, r.code)
			require.Equal(t, "5\n", r.stdout)
			said, err := os.ReadFile(filepath.Join(c.workspace, "said"))
			require.NoError(t, err)
			require.NotEmpty(t, said)
			require.Empty(t, podman.left(c))
		})
	}
	t.Run("signal", func(t *testing.T) {
		c := c.with(t)
		// INT: after the others the session is ended by force if podman takes its time.
		s := c.start("--toolchain", "rust", "--no-toolchain-cache", "shell", "--", "bash", "-c",
			`trap 'exit 9' INT; aifo-run rust true; aifo-run rust sleep 1000 & echo READY; wait`)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, 9, s.end(t))
		require.Empty(t, podman.left(c))
	})
	t.Run("killed", func(t *testing.T) {
		c := c.with(t)
		s := c.start("shell", "--", "bash", "-c", ignoresTerm)
		s.kill(t)
		require.NotEmpty(t, podman.left(c))
		require.Zero(t, c.run("", "shell", "--", "true").code)
		require.Empty(t, podman.left(c), "the next session sweeps")
	})
}
