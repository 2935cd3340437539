//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/e2e/modelserver"
)

// promised are the answers of docs/security.md, "What an agent may try", by row. That
// document has a line for each row, which TestAdversaryIsDocumented checks.
var promised = []struct{ row, answer string }{
	{"sockets", "/run/aifo/egress.sock /run/aifo/toolexec.sock"},
	{"mount", "EPERM"},
	{"remount", "EPERM"},
	{"namespaces", "EPERM"},
	{"device", "EPERM"},
	{"kernel module", "EPERM"},
	{"bpf", "EPERM"},
	{"kernel settings", "EROFS"},
	{"kernel keys", "EPERM"},
	{"ptrace init", "EPERM"},
	{"init's environment", "EACCES"},
	{"init's memory", "EACCES"},
	{"processes of others", "0"},
	{"become root", "EPERM"},
	{"set-user-ID programs", "NoNewPrivs: 1 1000"},
	{"capabilities", ""},
	{"raw socket", "EPERM"},
	{"packet socket", "EPERM"},
	{"write to the shims", "EROFS"},
	{"fill the disk", "ENOSPC"},
	{"fill the process table", "EAGAIN"},

	{"host's loopback", "ECONNREFUSED"},
	{"host's loopback by the proxy", "403"},
	{"host's loopback by plain HTTP", "403"},
	{"link-local address", "ENETUNREACH"},
	{"link-local address by the proxy", "403"},
	{"host and other sessions", "ENETUNREACH"},
	{"host and other sessions by the proxy", "403"},
	{"public address by TCP", "ENETUNREACH"},
	{"public address by CONNECT", "403"},
	{"name server", "ENETUNREACH"},
	{"name", "no answer"},
	{"host that is not allowed", "403"},
	{"other port of an allowed host", "403"},
	{"allowed host", "TLS"},
	{"allowed host, another name in TLS", "closed"},
	{"allowed host without TLS", "closed"},
	{"without the variables", "curl: 6"},

	{"model by the broker", "200"},
	{"broker without the placeholder", "401"},
	{"broker, another provider", "404"},
	{"broker, out of the base path", "400"},
	{"broker, another host name", "400 403 404"},
	{"key in the environment", "not found"},
	{"key in files", "not found"},

	{"tool without the token", "401/86 unauthorized"},
	{"tool that is not allowed", "403/86 forbidden"},
	{"tool by a path", "403/86 forbidden"},
	{"tool with a NUL", "403/86 forbidden"},
	{"argument with a NUL", "400/86 bad request"},
	{"arguments with line ends and dashes", `200/0 ['a\nb', '--network=host', '-v/:/x', '; id', '$(id)']`},
	{"directory outside", "400/86 bad request"},
	{"directory with dots", "400/86 bad request"},
	{"directory behind a link", "200/126 aifo-shim: cannot enter /workspace/link in the python sidecar: it is a link that leads out of the workspace"},
	{"notification", "403/86 cannot read ~/.aider.conf.yml: no such file or directory"},

	{"half-open connections", "200/0 works"},
	{"slow heads", "200/0 works"},
	{"slow bodies", "200/0 works"},
	{"100,000 requests", "200/0 works"},
	{"half-open connections to the way out", "403"},
	{"20,000 refused hosts", "403"},
}

const (
	// allowedHost is one that answers, as npm's tests need, too.
	allowedHost = "registry.npmjs.org"
	// smallDisk is the size of the workspace's file system in bytes.
	smallDisk = 64 << 20
	// mostMemory is what aifo-coder may come to need, in KiB. It needs less than a third.
	mostMemory = 256 << 10
)

// TestAdversary runs everything that an agent might try in an agent's container, with
// the protection on, and sees each refused as promised and the session go on.
func TestAdversary(t *testing.T) { ordinary(t).adversary() }

// adversary is that test.
func (c *caller) adversary() {
	t := c.t
	t.Helper()
	needs(t, "https://"+allowedHost)
	c.program = plainProgram(t)
	c.smallWorkspace()
	buildAdversary(t, filepath.Join(c.workspace, "adversary"))
	model := httptest.NewServer(modelserver.New())
	t.Cleanup(model.Close)
	c.env = append(c.env, "OPENAI_API_KEY="+modelKey, "OPENAI_BASE_URL="+model.URL+"/v1")
	c.target(t)

	s := c.begin(append(protected, "--image", programAsAgent(t, "bash"), "--toolchain", "python", "--pids-limit", "500",
		"opencode", "--", "-c", "python -c 'print(\"ready\")'; ./adversary; echo; python -c 'print(\"the session goes on\")'; read line")...)
	goesOn := func() bool { return strings.Contains(s.out.String(), "\nthe session goes on\n") || s.over() }
	require.Eventually(t, goesOn, 10*time.Minute, 100*time.Millisecond)
	requirePromised(t, s.out.String())
	require.Contains(t, s.out.String(), "\nthe session goes on\n")
	require.Less(t, peak(t, s.cmd.Process.Pid), mostMemory)
	require.NoError(t, s.in.Close())
	s.end(t)
}

// over reports whether the session has ended.
func (s *session) over() bool {
	select {
	case err := <-s.done:
		s.done <- err // for end
		return true
	default:
		return false
	}
}

// protected are the flags of a session with everything on.
var protected = []string{
	"--network-policy", "allowlist", "--allow-host", allowedHost, "--credentials", "broker",
}

func requirePromised(t *testing.T, out string) {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(out) {
		var r struct{ Row, Answer string }
		if json.Unmarshal([]byte(line), &r) == nil {
			got[r.Row] = r.Answer
		}
	}
	for _, p := range promised {
		answer, tried := got[p.row]
		if !tried || answer != p.answer {
			t.Errorf("%s: %q, and %q is promised", p.row, answer, p.answer)
		}
		delete(got, p.row)
	}
	require.Empty(t, got, "rows without a promise")
}

// TestAdversaryIsDocumented: users read of each row.
func TestAdversaryIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	require.NoError(t, err)
	for _, p := range promised {
		require.Contains(t, string(text), "| "+p.row+" |")
	}
}

// smallWorkspace gives the workspace a small file system of its own.
func (c *caller) smallWorkspace() {
	c.t.Helper()
	if os.Getuid() != 0 {
		lacking(c.t, "only root can mount a file system that may be filled")
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,uid=%d,gid=%d,mode=700", smallDisk, c.uid, c.gid), "tmpfs", c.workspace).CombinedOutput()
	require.NoError(c.t, err, "%s", out)
	c.t.Cleanup(func() { require.NoError(c.t, exec.Command("umount", c.workspace).Run()) })
}

// plainProgram builds aifo-coder as users have it: the race detector needs many times the
// memory that is measured.
func plainProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(program), "plain")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/aifo-coder").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func buildAdversary(t *testing.T, path string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", path, "./adversary")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// programAsAgent returns an image in which opencode is another program: what is tried
// there has all that an agent has.
func programAsAgent(t *testing.T, program string) string {
	t.Helper()
	image := "aifo-test-agent:" + program
	build := exec.Command("docker", "build", "--quiet", "--tag", image, "-")
	build.Stdin = strings.NewReader("FROM aifo-coder-shell:latest\nRUN ln -s \"$(command -v " + program + ")\" /usr/local/bin/opencode\n")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { docker(t, "image", "rm", image) })
	return image
}

// target starts what must be out of reach, and writes down where it is.
func (c *caller) target(t *testing.T) {
	t.Helper()
	listen := func(address string) string {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() { _ = http.Serve(l, http.NotFoundHandler()) }()
		return l.Addr().String()
	}
	key := []byte(modelKey)
	slices.Reverse(key)
	text, err := json.Marshal(map[string]any{
		"HostPort":  port(listen("127.0.0.1:0")),
		"Addresses": []string{listen(gateway(t) + ":0"), otherSession(t) + ":80"},
		"Allowed":   allowedHost + ":443",
		"Yek":       string(key),
	})
	require.NoError(t, err)
	c.write("target.json", string(text))
	c.own(c.workspace)
}

// otherSession starts a session of somebody else and returns the address of its agent.
func otherSession(t *testing.T) string {
	t.Helper()
	c := self(t)
	s := c.start("shell", "--", "-c", "echo READY; read line")
	t.Cleanup(func() {
		require.NoError(t, s.in.Close())
		s.end(t)
	})
	id := c.containers("label=dev.aifo-coder.kind=agent")[0]
	return docker(t, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id)
}

// TestTokenOfAnotherSession: who has got hold of a session's token gains nothing with it in
// another container, nor on the host; the session itself goes on.
func TestTokenOfAnotherSession(t *testing.T) {
	c := self(t)
	s := c.begin("--toolchain", "python", "shell", "--", "-c",
		`python -c 'print("one")'; echo "$AIFO_TOOLEEXEC_URL $AIFO_TOOLEEXEC_TOKEN" >stolen; echo READY; read line; python -c 'print("two")'`)
	eventually(t, func() bool { return strings.Contains(s.out.String(), "READY") }, "the session is ready")
	url, token, _ := strings.Cut(strings.TrimSpace(c.read("stolen")), " ")
	request := []string{
		"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer " + token, "-H", "X-Aifo-Proto: 1",
		"-d", "tool=python", "-d", "arg=--version",
	}
	there := append([]string{"run", "--rm", "--add-host", "host.docker.internal:host-gateway", "--entrypoint", "", "aifo-coder-shell:latest"}, append(request, url)...)
	require.Equal(t, "401", docker(t, there...))
	out, err := exec.Command(request[0], append(request[1:], strings.Replace(url, "host.docker.internal", gateway(t), 1))...).Output()
	require.NoError(t, err)
	require.Equal(t, "401", string(out))
	require.NoError(t, s.in.Close())
	require.Equal(t, 0, s.end(t))
	require.Contains(t, s.out.String(), "one\n")
	require.Contains(t, s.out.String(), "two\n")
}
