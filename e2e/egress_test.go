//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/e2e/modelserver"
)

// TestRegistriesThroughAnAllowlist: with an allowlist the package managers get their packages,
// from the registries of their kind alone, directly and from an agent; without a network they do not,
// and say why.
func TestRegistriesThroughAnAllowlist(t *testing.T) {
	needs(t, npmRegistry(t))
	needs(t, goProxy(t))
	callers(t, func(t *testing.T, c *caller) {
		c.project(npmProject)
		c.project(goProject)
		closed := []string{"--network-policy", "allowlist", "--no-toolchain-cache"}
		require.Equal(t, 0, c.run("", append(closed, "toolchain", "node", "--", "npm", "ci")...).code)
		require.Equal(t, 0, c.run("", append(closed, "toolchain", "go", "--", "go", "mod", "download")...).code)
		r := c.script("rm -r node_modules && npm ci --no-audit >&2 && node app.js && go run . && curl -sS "+npmRegistry(t)+" 2>&1",
			append(closed, "--toolchain", "node", "--toolchain", "go")...)
		require.Equal(t, 56, r.code, "the agent itself may not")
		require.Contains(t, r.stdout, "odd: true\nequal: true\n")
		c.requireOwned(c.workspace)
		require.Empty(t, docker(t, "network", "ls", "--quiet", "--filter", "label=dev.aifo-coder.workspace="+c.canonical()))

		r = c.run("", "--network-policy", "none", "--no-toolchain-cache", "toolchain", "go", "--", "go", "mod", "download")
		require.NotEqual(t, 0, r.code)
		require.Contains(t, r.stderr, "network policy")
	})
}

// TestOneToolchainWithoutANetwork: a build that needs none works without, beside others
// that have one.
func TestOneToolchainWithoutANetwork(t *testing.T) {
	c := ordinary(t)
	c.examples("rust-hello")
	r := c.script("cd rust-hello && cargo test 2>&1; python -c \"import socket; socket.create_connection(('"+gateway(t)+"', 1))\"",
		"--toolchain", "rust", "--toolchain", "python", "--network-policy", "rust=none")
	require.Contains(t, r.stdout, "test result: ok. 1 passed")
	require.Contains(t, r.stderr, "Connection refused", "python has a route to the host")
}

// TestServiceOfTheHost: a service on the host's loopback is reached when its port is allowed.
func TestServiceOfTheHost(t *testing.T) {
	c := ordinary(t)
	server := httptest.NewServer(modelserver.New())
	t.Cleanup(server.Close)
	url := "http://host.docker.internal:" + port(server.URL) + "/v1/models"
	script := "curl -sS --fail-with-body " + url
	r := c.script(`getent hosts "$(hostname)" >/dev/null && `+script, "--network-policy", "allowlist", "--allow-host", "host.docker.internal:"+port(server.URL))
	require.Equal(t, 0, r.code)
	require.Contains(t, r.stdout, `"script"`)
	r = c.script(script, "--network-policy", "allowlist")
	require.Equal(t, 22, r.code)
	require.Contains(t, r.stdout, "--allow-host")
}

// TestNetworkLog: what was asked for is there for the user to read, by container, when the
// session is over; nothing is kept of a session whose network was open.
func TestNetworkLog(t *testing.T) {
	needs(t, goProxy(t))
	c := ordinary(t)
	c.project(goProject)
	require.Equal(t, 0, c.script("true").code)
	require.NotEqual(t, 0, c.run("", "network", "log").code)
	r := c.script("curl -s https://evil.example; curl -s http://evil.example:8080/x; go mod download", "--network-policy", "allowlist", "--toolchain", "go", "--no-toolchain-cache")
	require.Equal(t, 0, r.code)
	r = c.run("", "network", "log", "--json")
	require.Equal(t, 0, r.code)
	var entries []struct {
		Container, Method, Host string
		Port                    int
		Allowed                 bool
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &entries))
	seen := map[string]bool{}
	for _, e := range entries {
		seen[fmt.Sprintf("%s %s %s:%d %v", e.Container, e.Method, e.Host, e.Port, e.Allowed)] = true
	}
	require.True(t, seen["agent CONNECT evil.example:443 false"], "%v", seen)
	require.True(t, seen["agent GET evil.example:8080 false"], "%v", seen)
	require.True(t, seen["go CONNECT proxy.golang.org:443 true"], "%v", seen)
}

// TestOpencodeBrokered has opencode do the work with the network closed and its key on the
// host, and looks for the key wherever an agent could have it.
func TestOpencodeBrokered(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "only root can look into the memory of an agent's processes")
	}
	c := ordinary(t)
	c.examples("python-hello")
	c.write("opencode.json", opencodeConfig)
	c.own(c.workspace)
	model := modelserver.New(
		modelserver.Turn{Run: "cd python-hello && python -m unittest"},
		modelserver.Turn{Run: "touch searching; until [ -e searched ]; do sleep 0.1; done; env"},
		modelserver.Turn{Say: allDone},
	)
	server := httptest.NewServer(model) // on the host's loopback, where no container gets
	t.Cleanup(server.Close)
	c.env = append(c.env, "OPENAI_API_KEY="+modelKey, "OPENAI_BASE_URL="+server.URL+"/v1")
	s := c.begin(append(protected, "--toolchain", "python", "opencode", "--", "run", "Test it")...)
	require.NoError(t, s.in.Close()) // it would wait for more of the task
	require.Eventually(t, func() bool { return c.exists("searching") }, agentWait, 100*time.Millisecond)
	requireNoKey(t, c)
	c.write("searched", "")
	require.Equal(t, 0, s.endWithin(t, agentWait), s.out.String())
	require.Contains(t, s.out.String(), allDone)
	require.NotContains(t, s.out.String(), modelKey)
	for _, r := range model.Requests() {
		require.Equal(t, modelKey, r.Key, "the provider gets the real one")
		require.NotContains(t, string(r.Body), modelKey, "which no tool has seen")
	}
	result, _ := model.Result(0)
	require.Contains(t, result, "OK")
	requireNoFile(t, c.home, modelKey)
	requireNoFile(t, c.workspace, modelKey)
}

// TestCodexBrokered is the same with codex: it works by the broker, without a network and
// without the key.
func TestCodexBrokered(t *testing.T) {
	c := ordinary(t)
	c.examples("python-hello")
	model := modelserver.New(modelserver.Turn{Run: "cd python-hello && python -m unittest && env"}, modelserver.Turn{Say: allDone})
	server := httptest.NewServer(model)
	t.Cleanup(server.Close)
	c.env = append(c.env, "OPENAI_API_KEY="+modelKey, "OPENAI_BASE_URL="+server.URL+"/v1")
	r := c.codex([]string{"--network-policy", "none", "--credentials", "broker", "--toolchain", "python"}, "http://127.0.0.1:19128/broker/openai/v1")
	require.Equal(t, 0, r.code)
	require.Equal(t, allDone+"\n", r.stdout)
	result, _ := model.Result(0)
	require.Contains(t, result, "OPENAI_API_KEY=")
	for _, q := range model.Requests() {
		require.Equal(t, modelKey, q.Key)
		require.NotContains(t, string(q.Body), modelKey)
	}
}

// requireNoKey looks for the key in everything of the session's containers: what the engine
// knows of them, their files, and the memory and the environment of their processes.
func requireNoKey(t *testing.T, c *caller) {
	t.Helper()
	ids := c.containers()
	require.Len(t, ids, 2)
	for _, id := range ids {
		require.NotContains(t, docker(t, "inspect", id), modelKey)
		export := exec.Command("docker", "export", id)
		files, err := export.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, export.Start())
		require.False(t, holds(files, modelKey), "a file of the container")
		require.NoError(t, export.Wait())
		pids := strings.Fields(docker(t, "top", id, "-o", "pid"))[1:]
		require.NotEmpty(t, pids)
		searched := 0
		for _, pid := range pids {
			environ, err := os.ReadFile("/proc/" + pid + "/environ")
			if gone(err) {
				continue // it has ended, as the sleeps of the waiting shell do
			}
			require.NoError(t, err)
			require.NotContains(t, string(environ), modelKey)
			require.False(t, memoryHolds(t, pid, modelKey), "the memory of process %s", pid)
			searched++
		}
		require.GreaterOrEqual(t, searched, 2, "the agent or the boot program, and the relay")
	}
	requireNoFile(t, c.home, modelKey)
}

// holds reports whether text occurs in what is read.
func holds(r io.Reader, text string) bool {
	const size = 1 << 20
	in := bufio.NewReaderSize(r, size)
	buffer, kept := make([]byte, 2*size), 0
	for {
		n, err := in.Read(buffer[kept:])
		if bytes.Contains(buffer[:kept+n], []byte(text)) {
			_, _ = io.Copy(io.Discard, in)
			return true
		}
		if err != nil {
			return false
		}
		keep := min(kept+n, len(text)-1)
		copy(buffer, buffer[kept+n-keep:kept+n])
		kept = keep
	}
}

// gone reports whether a file of /proc could not be read because its process has ended, before the file
// was opened or after.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// memoryHolds reports whether text occurs in the memory of a process, of what is there and
// not only reserved.
func memoryHolds(t *testing.T, pid, text string) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + pid + "/smaps")
	memory, err2 := os.Open("/proc/" + pid + "/mem")
	if gone(errors.Join(err, err2)) {
		return false
	}
	require.NoError(t, errors.Join(err, err2))
	defer memory.Close()
	var start, end int64
	for line := range strings.Lines(string(maps)) {
		word := strings.Fields(line)
		from, to, span := strings.Cut(word[0], "-")
		switch {
		case span:
			start, err = strconv.ParseInt(from, 16, 64)
			end, err2 = strconv.ParseInt(to, 16, 64)
			if errors.Join(err, err2) != nil {
				start, end = 0, 0 // the kernel's own page, whose address is out of range
			}
		case word[0] == "Rss:" && word[1] != "0" && holds(io.NewSectionReader(memory, start, end-start), text):
			return true
		}
	}
	return false
}

// TestSearchFinds: the search finds a key where there is one.
func TestSearchFinds(t *testing.T) {
	for _, size := range []int{10, 1<<20 - 5, 1 << 20, 3<<20 + 7} {
		text := strings.Repeat("x", size) + modelKey
		require.True(t, holds(strings.NewReader(text+"y"), modelKey), size)
		require.False(t, holds(strings.NewReader(text[1:len(text)-1]), modelKey), size)
	}
}

// requireNoFile checks that no file below dir holds the text.
func requireNoFile(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		require.False(t, holds(f, text), path)
		return nil
	})
	require.NoError(t, err)
}
