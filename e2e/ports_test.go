//go:build linux

package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nodeServer listens on the loopback alone: HTTP on the first port, and on the next an echo that
// answers at the end of what it gets with how much that was.
const nodeServer = `
const http = require('http'), net = require('net'), fs = require('fs');
const port = Number(process.argv[2]), host = process.argv[3] || '127.0.0.1';
const block = fs.existsSync('block') ? fs.readFileSync('block') : Buffer.alloc(0);
http.createServer((req, res) => {
	const url = new URL(req.url, 'http://localhost');
	if (url.pathname === '/big') {
		let n = Number(url.searchParams.get('n'));
		const more = () => { while (n > 0) { n--; if (!res.write(block)) return res.once('drain', more); } res.end(); };
		return more();
	}
	if (url.pathname === '/die') { res.write('half'); return setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50); }
	res.end('hello from ' + port + '\n');
}).listen(port, host);
net.createServer({allowHalfOpen: true}, (c) => {
	let n = 0;
	c.on('data', (d) => { n += d.length; c.write(d); });
	c.on('end', () => c.end('|' + n));
	c.on('error', () => {});
}).listen(port + 1, host);
`

// ownServer answers requests, in the agent's container, on the port and with the text that it is given.
const ownServer = `
use IO::Socket;
my $l = IO::Socket::INET->new(Listen => 5, ReuseAddr => 1, LocalAddr => '127.0.0.1', LocalPort => $ARGV[0]) or die;
while (my $c = $l->accept) {
	while (my $head = <$c>) { last if $head eq "\r\n" }
	print $c "HTTP/1.0 200 OK\r\n\r\n$ARGV[1]\n";
	close $c;
}
`

// waits has shell functions: await waits until a command succeeds.
const waits = `await() { for i in $(seq 600); do "$@" && return; sleep 0.1; done; echo "gave up: $*"; return 1; }
up() { await curl -sS -o /dev/null "$1" 2>/dev/null; }
down() { curl -s -o /dev/null "$1"; [ $? = 7 ]; }
`

// block writes the servers, and what /big sends repeatedly, into the workspace.
func (c *caller) block() (file []byte) {
	c.t.Helper()
	file = make([]byte, 1<<20)
	_, err := rand.Read(file)
	require.NoError(c.t, err)
	require.NoError(c.t, os.WriteFile(filepath.Join(c.workspace, "block"), file, 0o644))
	c.write("server.js", nodeServer)
	c.write("own.pl", ownServer)
	c.own(c.workspace)
	return file
}

// sum returns the SHA-256 of the block n times.
func sum(block []byte, n int) string {
	h := sha256.New()
	for range n {
		h.Write(block)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// portWays are the ways in which containers and this process reach each other, whether the agent's
// container does by a mounted socket, and how many MiB are fetched from this machine: a gibibyte by a
// socket, and less by a docker exec, which is slower.
var portWays = map[string]struct {
	flags, env []string
	socket     bool
	big        int
}{
	"tcp":                        {socket: true, big: 1024},
	"unix socket":                {flags: []string{"--toolchain-unix-socket"}, socket: true, big: 64},
	"no network":                 {flags: []string{"--network-policy", "none"}, socket: true, big: 64},
	"stream":                     {env: []string{"AIFO_TOOLCHAIN_EXEC=stream"}, big: 64},
	"stream and no network":      {flags: []string{"--network-policy", "none"}, env: []string{"AIFO_TOOLCHAIN_EXEC=stream"}, big: 256},
	"docker exec":                {env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}, big: 64},
	"docker exec and no network": {flags: []string{"--network-policy", "none"}, env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}, socket: true, big: 64},
}

// TestPortsInAgent: what a tool serves on the loopback of its sidecar is there on the agent's, and
// gone when the server is; the port can be had again.
func TestPortsInAgent(t *testing.T) {
	for name, way := range portWays {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.env = append(c.env, way.env...)
			block := c.block()
			r := c.script(waits+`
				node server.js 8000 & server=$!
				up http://localhost:8000/ && curl -sS http://localhost:8000/ http://127.0.0.1:8000/
				grep -lz 'ports.soc[k]' /proc/[0-9]*/cmdline 2>/dev/null | wc -l
				curl -sS 'http://localhost:8000/big?n=64' | sha256sum
				curl -sS --parallel --parallel-immediate --parallel-max 200 'http://localhost:8000/?[1-200]' 2>/dev/null | sort | uniq -c
				curl -sS http://localhost:8000/die; echo " $?"
				await down http://localhost:8000/ && echo gone
				kill $server 2>/dev/null
				python3 -m http.server 8000 >/dev/null 2>&1 & server=$!
				up http://localhost:8000/server.js && curl -sS http://localhost:8000/server.js | sha256sum
				kill $server; await down http://localhost:8000/ && echo gone again
			`, append(way.flags, "--toolchain", "node", "--toolchain", "python")...)
			links := map[bool]string{true: "1\n", false: "0\n"}[way.socket]
			require.Equal(t, 0, r.code)
			require.Equal(t, "hello from 8000\nhello from 8000\n"+links+sum(block, 64)+"  -\n    200 hello from 8000\nhalf 18\ngone\n"+
				sum([]byte(nodeServer), 1)+"  -\ngone again\n", r.stdout)
		})
	}
}

// TestPortsBetweenSidecars: sidecars of the same policy reach each other's servers, a closed one
// no open one's, and none the agent's own.
func TestPortsBetweenSidecars(t *testing.T) {
	const fetch = `import sys, urllib.request
try: print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().strip())
except Exception as e: print(type(e).__name__)
`
	const script = waits + `
		perl own.pl 4096 "the agent's own" &
		node server.js 3000 &
		up http://localhost:4096/ && up http://localhost:3000/
		python3 --version >/dev/null; sleep 1
		echo "of the other sidecar: $(await python_gets)"
		echo "of the agent: $(python3 fetch.py http://localhost:4096/)"
		echo "there itself: $(curl -sS http://localhost:4096/)"
	`
	const getsHello = `python_gets() { got=$(python3 fetch.py http://localhost:3000/); case $got in hello*) echo "$got" ;; *) false ;; esac; }`
	for name, tt := range map[string]struct {
		flags []string
		gets  string
		want  string
	}{
		"open":       {nil, getsHello, "hello from 3000"},
		"closed":     {[]string{"--network-policy", "none"}, getsHello, "hello from 3000"},
		"one closed": {[]string{"--network-policy", "python=none"}, `python_gets() { python3 fetch.py http://localhost:3000/; }`, "URLError"},
	} {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.block()
			c.write("fetch.py", fetch)
			r := c.script(tt.gets+"\n"+script, append(tt.flags, "--toolchain", "node", "--toolchain", "python")...)
			require.Equal(t, 0, r.code)
			require.Contains(t, r.stdout, "of the other sidecar: "+tt.want+"\n")
			require.Contains(t, r.stdout, "of the agent: URLError\n")
			require.Contains(t, r.stdout, "there itself: the agent's own\n")
		})
	}
}

// TestPortsOfAgentWin: a port that the agent's container has in use stays its own, and the user is
// told; later it leads to the sidecar.
func TestPortsOfAgentWin(t *testing.T) {
	c := self(t)
	c.block()
	r := c.script(waits+`
		perl own.pl 8000 own & own=$!
		up http://localhost:8000/
		node server.js 8000 &
		await bash -c '</dev/tcp/localhost/8001' 2>/dev/null # the other port of the server
		curl -sS http://localhost:8000/
		kill $own; wait $own 2>/dev/null
		other() { case $(curl -s http://localhost:8000/) in hello*) ;; *) false ;; esac; }
		await other && curl -sS http://localhost:8000/
	`, "--toolchain", "node")
	require.Equal(t, "own\nhello from 8000\n", r.stdout)
	require.Contains(t, r.stderr, "port 8000 of the agent's container is in use there: localhost:8000 is not the server in the node sidecar")
}

// TestPortsOfExec: what a person serves by exec is there as what a tool serves, though none was
// called in that sidecar.
func TestPortsOfExec(t *testing.T) {
	c := self(t)
	c.block()
	s := c.start("--toolchain", "node", "--publish", "0:3000", "shell", "--", "bash", "-c", waits+`
		echo READY
		up http://localhost:3000/ && echo "the agent got $(curl -sS http://localhost:3000/)"
		await down http://localhost:3000/
	`)
	var list []listed
	eventually(t, func() bool { list = c.ps(); return len(list) == 1 && list[0].kinds() == "agent running, node running" }, "the sidecar runs")
	addr := s.published(t, "3000")
	require.Len(t, list[0].Ports, 1)
	require.Equal(t, addr, list[0].Ports[0].Host)
	x := c.begin("exec", "node", "--", "node", "server.js", "3000")
	awaitServer(t, "http://"+addr, "hello from 3000")
	eventually(t, func() bool { return strings.Contains(s.out.String(), "the agent got hello from 3000") }, "the agent's container has the port")
	require.NoError(t, x.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 130, x.end(t), x.out.String())
	require.Equal(t, 0, s.end(t), s.out.String())
}

// publishedRE finds the port of this machine that the system chose, and where it leads.
var publishedRE = regexp.MustCompile(`127\.0\.0\.1:(\d+) of this machine leads to port (\d+) `)

// published returns the address of this machine that leads to a port.
func (s *session) published(t *testing.T, port string) string {
	t.Helper()
	var addr string
	eventually(t, func() bool {
		for _, m := range publishedRE.FindAllStringSubmatch(s.out.String(), -1) {
			if m[2] == port {
				addr = net.JoinHostPort("127.0.0.1", m[1])
			}
		}
		return addr != ""
	}, "port "+port+" is published")
	return addr
}

func fetch(url string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func awaitServer(t *testing.T, url, want string) {
	t.Helper()
	eventually(t, func() bool { got, err := fetch(url); return err == nil && strings.Contains(got, want) }, url+" answers")
}

// TestPublish: a published port leads from this machine to a server in a sidecar, with all that TCP
// has, to its successor, and to the agent's own.
func TestPublish(t *testing.T) {
	for name, way := range portWays {
		t.Run(name, func(t *testing.T) {
			c := self(t)
			c.env = append(c.env, way.env...)
			block := c.block()
			s := c.start(append(way.flags, "--toolchain", "node", "--publish", "0:3000", "--publish", "0:3001", "--publish", "0:4096", "shell", "--", "bash", "-c", `
				perl own.pl 4096 own & own=$!
				node server.js 3000 & server=$!
				echo READY
				read
				node server.js 3000 & server="$server $!"
				read
				kill $server $own
			`)...)
			url, echo := "http://"+s.published(t, "3000"), s.published(t, "3001")
			awaitServer(t, url, "hello from 3000")
			awaitServer(t, "http://"+s.published(t, "4096"), "own")
			t.Run("big", func(t *testing.T) { checkBig(t, url, block, way.big) })
			t.Run("many", func(t *testing.T) { checkMany(t, url) })
			t.Run("half-close", func(t *testing.T) { checkHalfClose(t, echo) })
			t.Run("long", func(t *testing.T) { checkLong(t, echo) })
			t.Run("dies", func(t *testing.T) {
				got, err := fetch(url + "/die")
				require.Equal(t, "half", got)
				require.Error(t, err, "what came is not all")
				require.Eventually(t, func() bool { _, err := fetch(url); return errors.Is(err, syscall.ECONNRESET) }, wait, 10*time.Millisecond)
				s.line(t)
				awaitServer(t, url, "hello from 3000")
			})
			s.line(t)
			require.Equal(t, 0, s.end(t), s.out.String())
			_, err := net.Dial("tcp", echo)
			require.ErrorIs(t, err, syscall.ECONNREFUSED, "nothing listens after the session")
		})
	}
}

// checkBig fetches n blocks.
func checkBig(t *testing.T, url string, block []byte, n int) {
	resp, err := http.Get(fmt.Sprintf("%s/big?n=%d", url, n))
	require.NoError(t, err)
	defer resp.Body.Close()
	h := sha256.New()
	_, err = io.Copy(h, resp.Body)
	require.NoError(t, err)
	require.Equal(t, sum(block, n), fmt.Sprintf("%x", h.Sum(nil)))
}

func checkMany(t *testing.T, url string) {
	var clients sync.WaitGroup
	begin := make(chan struct{})
	for range 200 {
		clients.Go(func() {
			<-begin
			if got, err := fetch(url); err != nil || got != "hello from 3000\n" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	close(begin)
	clients.Wait()
}

func checkHalfClose(t *testing.T, addr string) {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	sent := strings.Repeat("0123456789", 1<<20)
	go func() {
		_, _ = io.WriteString(conn, sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, string(got) == fmt.Sprintf("%s|%d", sent, len(sent)), "%d bytes of %d", len(got), len(sent))
}

// checkLong has a connection that says little for long beside one that nobody reads.
func checkLong(t *testing.T, addr string) {
	stuck, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer stuck.Close()
	go func() { _, _ = io.Copy(stuck, io.LimitReader(zeros{}, 64<<20)) }() // is echoed, and not read
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	for i := range 1000 {
		line := fmt.Sprintf("message %d\n", i)
		_, err := io.WriteString(conn, line)
		require.NoError(t, err)
		got := make([]byte, len(line))
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, line, string(got))
	}
}

// TestPublishToolchain: the toolchain command publishes its server's port, of either version of IP.
func TestPublishToolchain(t *testing.T) {
	callers(t, func(t *testing.T, c *caller) {
		c.write("index.html", "by python")
		c.own(c.workspace)
		s := c.begin("--publish", "0:8000", "toolchain", "python", "--", "python3", "-m", "http.server", "8000", "--bind", "127.0.0.1")
		awaitServer(t, "http://"+s.published(t, "8000"), "by python")
		require.NoError(t, s.cmd.Process.Signal(os.Interrupt))
		s.end(t)
	})
}

// TestPublishIPv6: a server that listens by IPv6 alone is reached by IPv4. Most engines leave containers without
// IPv6, so the test gives it to the sidecar's loopback, which takes root.
func TestPublishIPv6(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "only root may change a container's network")
	}
	c := self(t)
	c.block()
	s := c.begin("--publish", "0:3000", "toolchain", "node", "--", "sh", "-c", "echo READY; until [ -e six ]; do sleep 0.1; done; exec node server.js 3000 ::1")
	addr := s.published(t, "3000")
	eventually(t, func() bool { return strings.Contains(s.out.String(), "READY") }, "the sidecar runs")
	pid := strings.TrimSpace(docker(t, "container", "inspect", "--format", "{{.State.Pid}}", c.sidecar("node")))
	enable := exec.Command(hostProgram(t, "nsenter"), "--target", pid, "--net", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6")
	out, err := enable.CombinedOutput()
	require.NoError(t, err, string(out))
	c.write("six", "")
	eventually(t, func() bool { got, _ := fetch("http://" + addr); return strings.HasPrefix(got, "hello") }, "the server answers: "+s.out.String())
	require.NoError(t, s.cmd.Process.Signal(os.Interrupt))
	s.end(t)
}

// TestPublishTaken: a port of this machine that is in use ends the session before it begins.
func TestPublishTaken(t *testing.T) {
	c := self(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r := c.run("", "--publish", fmt.Sprintf("%d:3000", l.Addr().(*net.TCPAddr).Port), "--toolchain", "node", "shell", "--", "true")
	require.Equal(t, 1, r.code)
	require.Regexp(t, `publish 127\.0\.0\.1:\d+:3000: port \d+ of this machine is in use by "e2e\.test" \(process \d+\)`, r.stderr)
	require.Contains(t, r.stderr, "--publish HOSTPORT:3000")
}
