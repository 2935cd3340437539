//go:build linux

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// ownEngine is an engine of the test's own, which may be killed.
type ownEngine struct {
	t     *testing.T
	dir   string
	flags []string // beside those of its places
	cmd   *exec.Cmd
	// elsewhere, when set, is a shell command that makes the engine's machine look like another,
	// in namespaces of its own for names and mounts.
	elsewhere string
}

// withoutBridge are the flags of an engine whose containers reach nothing.
var withoutBridge = []string{"--bridge", "none", "--iptables=false", "--ip-masq=false"}

// ownEngine starts an engine with the agent's image, for this caller alone.
func (c *caller) ownEngine() *ownEngine {
	c.t.Helper()
	return c.ownEngineWith(withoutBridge...)
}

// ownEngineWith is ownEngine with further flags.
func (c *caller) ownEngineWith(flags ...string) *ownEngine {
	c.t.Helper()
	if os.Getuid() != 0 {
		lacking(c.t, "an engine of one's own needs root")
	}
	e := &ownEngine{t: c.t, dir: filepath.Join(c.home, "engine"), flags: flags}
	require.NoError(c.t, os.Mkdir(e.dir, 0o700))
	e.start()
	c.t.Cleanup(e.end)
	c.env = append(c.env, "DOCKER_HOST="+e.host())
	image, err := exec.Command("docker", "save", "aifo-coder-shell:latest").Output()
	require.NoError(c.t, err)
	load := e.docker("load")
	load.Stdin = strings.NewReader(string(image))
	require.NoError(c.t, load.Run())
	return e
}

func (e *ownEngine) host() string { return "unix://" + filepath.Join(e.dir, "s") }

func (e *ownEngine) docker(args ...string) *exec.Cmd {
	return exec.CommandContext(context.WithoutCancel(e.t.Context()), "docker", append([]string{"--host", e.host()}, args...)...)
}

func (e *ownEngine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(e.t, err)
	defer func() { _ = log.Close() }() // the engine has its own
	// In a network of its own: it would take the bridge of this machine's engine away.
	program := []string{"--net", "dockerd"}
	if e.elsewhere != "" {
		program = []string{"--net", "--mount", "--uts", "sh", "-ec", e.elsewhere + `; exec dockerd "$@"`, "sh"}
	}
	e.cmd = exec.Command(hostProgram(e.t, "unshare"), slices.Concat(program, []string{"--host", e.host(), "--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"), "--pidfile", filepath.Join(e.dir, "pid")}, e.flags)...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(e.t, e.cmd.Start())
	eventually(e.t, func() bool { return e.docker("info").Run() == nil }, "the engine answers")
}

// kill kills the engine and all that belongs to it but the containers.
func (e *ownEngine) kill() {
	e.t.Helper()
	require.NoError(e.t, e.cmd.Process.Kill())
	_ = exec.Command("pkill", "-KILL", "-f", filepath.Join(e.dir, "exec")).Run() // it may have ended already
	_ = e.cmd.Wait()
	// Until init reaps it a killed containerd is a zombie, which the next engine would take for one that runs.
	_ = os.Remove(filepath.Join(e.dir, "exec", "containerd", "containerd.pid"))
}

// end removes what is on the engine and has it end.
func (e *ownEngine) end() {
	ids, _ := e.docker("ps", "--all", "--quiet").Output()
	if list := strings.Fields(string(ids)); len(list) > 0 {
		_ = e.docker(append([]string{"rm", "--force"}, list...)...).Run()
	}
	_ = e.docker("network", "prune", "--force").Run()
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	_ = e.cmd.Wait()
	mounts, _ := exec.Command("findmnt", "--raw", "--noheadings", "--output", "TARGET").Output()
	for _, m := range strings.Fields(string(mounts)) {
		if strings.HasPrefix(m, e.dir+"/") {
			_ = syscall.Unmount(m, syscall.MNT_DETACH) // those that the kill has left
		}
	}
}

// TestForkEngineIsKilled kills the engine under the agents. What they did stays, every command
// of fork mode works without an engine, and when there is one again the agents go on.
func TestForkEngineIsKilled(t *testing.T) {
	c := self(t)
	engine := c.ownEngine()
	c.repository()
	const agent = `n=${HOSTNAME##*-}
if [ -e work-$n ]; then rm notes-$n; exit 0; fi
echo work > work-$n; git add work-$n; git commit --quiet --message "work $n"; echo notes > notes-$n
exec sleep 1000`
	cmd := c.command(t.Context(), "--fork", "2", "--fork-runner", "plain", "--fork-merge-strategy", "none", "shell", "--", "bash", "-c", agent)
	require.NoError(t, cmd.Start())
	eventually(t, func() bool {
		found, _ := filepath.Glob(filepath.Join(c.workspace, ".aifo-coder/forks/*/pane-*/notes-*"))
		return len(found) == 2
	}, "the agents work")
	engine.kill()
	require.Error(t, cmd.Wait())

	for _, p := range c.forkStatus() {
		require.Equal(t, "ended", p.State)
		require.NotZero(t, *p.ExitCode)
		require.Equal(t, 1, p.Ahead)
		require.Equal(t, 1, p.Changed)
	}
	require.Zero(t, c.run("", "fork", "list").code)
	require.Zero(t, c.run("", "fork", "diff", "1").code)
	require.Zero(t, c.run("", "fork", "merge").code)
	require.Equal(t, "work", c.git("show", "main:work-2"))
	require.Equal(t, 1, c.run("", "fork", "clean").code, "the notes are committed nowhere")
	require.NotZero(t, c.run("", "fork", "resume").code)
	require.Len(t, c.forkStatus(), 2)

	engine.start()
	t.Cleanup(func() {
		logs, _ := filepath.Glob(filepath.Join(c.home, ".local/state/aifo-coder/forks/*/pane-*/log"))
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			t.Logf("%s:\n%s", log, text)
		}
	})
	require.Zero(t, c.run("", "fork", "resume").code)
	require.Zero(t, c.run("", "fork", "clean").code)
	c.requireNoFork()
}
