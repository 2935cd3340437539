//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// otherKernel has the caller's sessions reach containers as where the engine is on
// another kernel: by the streams of docker exec alone.
func (c *caller) otherKernel() *caller {
	c.env = append(c.env, "AIFO_TOOLCHAIN_EXEC=stream")
	return c
}

// bulk is the size of a body that no buffer on the way holds.
const bulk = 64 << 20

// bulkModel is a provider that takes a body, and answers with its sum or with as much.
func bulkModel(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+modelKey:
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method == http.MethodPost:
			sum := sha256.New()
			n, _ := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%d %x", n, sum.Sum(nil))
		default:
			_, _ = io.CopyN(w, zeros{}, bulk)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// tunnelScript uses all that a tunnel leads to. $1 is the port of an allowed service of the host.
const tunnelScript = `
curl -sS -o /dev/null -w 'allowed %{http_code}\n' http://host.docker.internal:$1/
curl -s -o /dev/null -w 'refused %{http_connect}\n' https://evil.example
python -c 'import sys; print("tool", sys.stdin.read())' <<<input
python -c 'import urllib.request as u
try: u.urlopen("http://evil.example")
except Exception as e: print("sidecar", e.code)'
ls /run/aifo; stat -c '%a %u' /run/aifo
head -c 67108864 /dev/zero >/tmp/bulk
auth="Authorization: Bearer $OPENAI_API_KEY"
curl -sS -H "$auth" -H Expect: --data-binary @/tmp/bulk $OPENAI_BASE_URL/files; echo
curl -sS -H "$auth" $OPENAI_BASE_URL/files | cmp - /tmp/bulk && echo same
head -c 67108864 /dev/zero | python -c 'import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)' | cmp - /tmp/bulk && echo same
for i in $(seq 200); do curl -s -o /dev/null http://host.docker.internal:$1/ & done; wait
awk '/^Cap(Eff|Bnd)/ {print $2}' /proc/$(for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline | grep -q '^/opt/aifo/bin/aifo-shim tunnel' && echo ${p#/proc/}; done)/status`

// TestTunnel: with the engine on another kernel a closed session has the way out that its
// policy allows, its tools and the broker, whatever the size of what goes through.
func TestTunnel(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		c.otherKernel()
		model := bulkModel(t)
		c.env = append(c.env, "OPENAI_API_KEY="+modelKey, "OPENAI_BASE_URL="+model.URL+"/v1")
		service := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(service.Close)
		r := c.run("", "--network-policy", "allowlist", "--allow-host", "host.docker.internal:"+port(service.URL), "--credentials", "broker",
			"--toolchain", "python", "--image", programAsAgent(t, "bash"), "opencode", "--", "-c", tunnelScript, "script", port(service.URL))
		require.Equal(t, 0, r.code)
		sum := sha256.New()
		_, _ = io.CopyN(sum, zeros{}, bulk)
		lines := strings.Split(r.stdout, "\n")
		require.GreaterOrEqual(t, len(lines), 11)
		require.Equal(t, []string{
			"allowed 404", "refused 403", "tool input", "", "sidecar 403", "egress.sock", "toolexec.sock", fmt.Sprintf("700 %d", c.uid),
			fmt.Sprintf("%d %x", bulk, sum.Sum(nil)), "same", "same",
		}, lines[:11])
		require.NotContains(t, r.stderr, "no way out")
		if c.uid == 0 {
			require.Equal(t, []string{"000000000000001b", "000000000000001b"}, lines[11:13], "the tunnel has no more rights than a tool")
		}
	})
}

// TestTunnelOfOneToolchain: an agent with a network has tools without one.
func TestTunnelOfOneToolchain(t *testing.T) {
	c := ordinary(t).otherKernel()
	script := `python -c 'import urllib.request as u
try: u.urlopen("http://evil.example")
except Exception as e: print("sidecar", e.code)'`
	r := c.script("ls /run/aifo 2>/dev/null;"+script, "--toolchain", "python", "--network-policy", "python=allowlist")
	require.Equal(t, 0, r.code)
	require.Equal(t, "sidecar 403\n", r.stdout)
	r = c.run("", "--network-policy", "allowlist", "toolchain", "python", "--", "python", "-c", script[len("python -c '"):len(script)-1])
	require.Equal(t, 0, r.code)
	require.Equal(t, "sidecar 403\n", r.stdout)
}

// killTunnel ends the tunnel of the container that it runs in, as its user may.
const killTunnel = `for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline | grep -q '^/opt/aifo/bin/aifo-shim tunnel' && kill -9 ${p#/proc/}; done`

// TestTunnelKilled: an agent that ends its tunnel has no way out any more, and knows at once; the
// session goes on.
func TestTunnelKilled(t *testing.T) {
	c := ordinary(t).otherKernel()
	s := c.start("--network-policy", "allowlist", "--toolchain", "python", "shell", "--", "bash", "-c", `python -c 'print("READY")'
`+killTunnel+`
curl -s http://example.org; echo "curl $?"; python --version; echo "tool $?"
read -r line; echo "$line"; exit 7`)
	eventually(t, func() bool { return strings.Contains(s.out.String(), "no way out any more") }, "the user is told")
	_, err := io.WriteString(s.in, "goes on\n")
	require.NoError(t, err)
	require.Equal(t, 7, s.end(t))
	out := s.out.String()
	require.Regexp(t, `curl 5[26]\n`, out, "the relay closes the connection")
	require.Contains(t, out, "has aifo-coder ended?")
	require.Contains(t, out, "tool 86\n")
	require.Contains(t, out, "goes on\n")
	require.Equal(t, 1, strings.Count(out, "no way out any more"))
}

// TestTunnelEnds: nothing is left of a session, however it ends, nor of its docker commands.
func TestTunnelEnds(t *testing.T) {
	c := ordinary(t).otherKernel()
	args := append([]string{"--network-policy", "none", "--toolchain", "python"}, ready("python --version")...)
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		s := c.start(args...)
		requireTunnels(t, c, 2)
		require.NoError(t, s.cmd.Process.Signal(sig))
		require.Equal(t, code, s.end(t))
		require.NotContains(t, s.out.String(), "no way out")
		requireTunnels(t, c, 0)
		c.requireNothingLeft()
	}
	s := c.start(args...)
	require.NoError(t, s.cmd.Process.Kill())
	s.end(t)
	requireTunnels(t, c, 0)
	require.Equal(t, 0, c.run("", "shell", "--", "true").code, "sweeps")
}

// requireTunnels waits until so many docker commands of the caller's tunnels run.
func requireTunnels(t *testing.T, c *caller, want int) {
	t.Helper()
	eventually(t, func() bool {
		n := 0
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		require.NoError(t, err)
		for _, f := range files {
			line, _ := os.ReadFile(f) // it may have ended
			environ, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
			if strings.Contains(string(line), "\x00exec\x00--interactive\x00") && strings.Contains(string(line), "\x00tunnel\x00") && strings.Contains(string(environ), c.home) {
				n++
			}
		}
		return n == want
	}, fmt.Sprintf("%d tunnels", want))
}

// TestAdversaryByTunnel: what an agent may try is refused by the same when its sockets are
// the ends of a tunnel, and the session goes on.
func TestAdversaryByTunnel(t *testing.T) { ordinary(t).otherKernel().adversary() }
