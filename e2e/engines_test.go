//go:build linux

package e2e

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// aside returns the caller at another workspace of his own.
func (c *caller) aside() *caller {
	c.t.Helper()
	other := *c
	other.workspace = filepath.Join(filepath.Dir(c.workspace), "aside")
	require.NoError(c.t, os.Mkdir(other.workspace, 0o700))
	require.NoError(c.t, os.Chown(other.workspace, c.uid, c.gid))
	return &other
}

// objects returns what there is of sessions on an engine.
func (e *ownEngine) objects() []string {
	e.t.Helper()
	var list []string
	for _, noun := range [][]string{{"container", "ls", "--all"}, {"network", "ls"}} {
		out, err := e.docker(append(noun, "--quiet", "--filter", "label=dev.aifo-coder.session")...).Output()
		require.NoError(e.t, err)
		list = append(list, strings.Fields(string(out))...)
	}
	return list
}

// ignoresTerm is an agent that stays when aifo-coder is killed: the kernel then has the engine's
// command line ask it to end.
const ignoresTerm = "trap '' TERM; echo READY; exec sleep 1000"

// TestTwoEngines: sessions of one user on two engines of a machine do not see each other, and
// what one left on one engine is swept there and not from the other.
func TestTwoEngines(t *testing.T) {
	c := self(t)
	far := c.aside()
	engine := far.ownEngine()

	killed := far.start("shell", "--", "bash", "-c", ignoresTerm)
	here := c.start("shell", "--", "bash", "-c", "echo READY; read line; touch done; exit 7")
	killed.kill(t)
	left := engine.objects()
	require.Len(t, left, 2, "a container and its network")

	// The next session on either engine sweeps its own.
	third := *c
	third.workspace = filepath.Join(filepath.Dir(c.workspace), "third")
	require.NoError(t, os.Mkdir(third.workspace, 0o700))
	require.Zero(t, third.run("", "shell", "--", "true").code)
	require.Equal(t, left, engine.objects(), "an engine's session removes nothing from the other engine")
	require.Zero(t, far.run("", "shell", "--", "true").code)
	require.Empty(t, engine.objects())

	require.Len(t, c.containers(), 1, "the session on the other engine goes on")
	_, err := io.WriteString(here.in, "\n")
	require.NoError(t, err)
	require.Equal(t, 7, here.end(t))
	require.FileExists(t, filepath.Join(c.workspace, "done"))

	t.Run("by TCP", func(t *testing.T) {
		c := far.with(t)
		c.env = append(c.env, "DOCKER_HOST=tcp://"+forwarded(t, strings.TrimPrefix(engine.host(), "unix://")))
		r := c.run("", "--toolchain", "rust=aifo-coder-shell:latest", "--toolchain-unix-socket",
			"shell", "--", "bash", "-c", "aifo-run rust sh -c 'echo here >made; exit 5'")
		require.Equal(t, 5, r.code, "an address alone makes no engine remote")
		require.FileExists(t, filepath.Join(c.workspace, "made"))
		require.Empty(t, engine.objects())
	})
	t.Run("with other files", func(t *testing.T) { remoteEngine(t, far, engine) })
}

// forwarded returns an address of the loopback that leads to a unix socket.
func forwarded(t *testing.T, socket string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			go passOn(conn, socket)
		}
	}()
	return l.Addr().String()
}

func passOn(conn net.Conn, socket string) {
	defer func() { _ = conn.Close() }()
	engine, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer func() { _ = engine.Close() }()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(engine, conn)
		_ = engine.(*net.UnixConn).CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(conn, engine)
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	both.Wait()
}

// remoteEngine: an engine whose machine has another name, and in whose file system the
// workspace, or what aifo-coder mounts, is something else or not there. It is at a unix socket
// of this machine, as a forwarded one would be.
func remoteEngine(t *testing.T, c *caller, engine *ownEngine) {
	t.Helper()
	c = c.with(t)
	cache := filepath.Join(c.home, ".cache")
	for name, tc := range map[string]struct{ hidden, reason string }{
		"another workspace": {c.workspace, "is something else"},
		"no cache":          {cache, "does not exist"},
	} {
		engine.kill()
		engine.elsewhere = "hostname elsewhere && mount --make-rprivate / && mount -t tmpfs none '" + tc.hidden + "'"
		engine.start()
		r := c.run("", "shell", "--", "touch", "unwanted")
		require.Equal(t, 125, r.code, name)
		require.Contains(t, r.stderr, "is on another machine than your files", name)
		require.Contains(t, r.stderr, tc.reason, name)
		require.Contains(t, r.stderr, "run aifo-coder on that machine", name)
		require.NoFileExists(t, filepath.Join(c.workspace, "unwanted"), name)
		require.Empty(t, engine.objects(), name)
	}
}
