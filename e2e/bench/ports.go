package main

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed server.js
var portServer string

const (
	// portRequests is how many requests, each by a connection of its own, a round has.
	portRequests = 100
	portLimit    = 2 * time.Minute
)

// A port is one way to a server in a container.
type port struct {
	name           string
	requests, bulk []float64 // milliseconds
}

// ports compares the ways to a server: from this machine, and from the agent's container.
func (b *bench) ports() error {
	if err := os.WriteFile(filepath.Join(b.dir, "server.js"), []byte(portServer), 0o644); err != nil {
		return err
	}
	direct, docker := &port{name: "the container's address"}, &port{name: "docker run --publish"}
	published, streamed := &port{name: "--publish"}, &port{name: "--publish, AIFO_TOOLCHAIN_EXEC=stream"}
	inside := []*port{
		{name: "the sidecar's address"}, {name: "localhost, unix socket"}, {name: "localhost, TCP"}, {name: "localhost, AIFO_TOOLCHAIN_EXEC=stream"},
	}
	for range rounds {
		if err := b.dockerPort(docker, direct); err != nil {
			return err
		}
		for _, s := range []struct {
			from, in *port
			flags    []string
			env      []string
		}{
			{published, inside[1], []string{"--toolchain-unix-socket"}, nil},
			{nil, inside[2], nil, nil},
			{streamed, inside[3], nil, []string{"AIFO_TOOLCHAIN_EXEC=stream"}},
		} {
			if err := b.sessionPort(s.from, s.in, inside[0], s.flags, s.env); err != nil {
				return fmt.Errorf("ports, %s: %w", s.in.name, err)
			}
		}
	}
	portTables("from this machine", []*port{direct, docker, published, streamed})
	portTables("from the agent's container", inside)
	return nil
}

func portTables(from string, list []*port) {
	requests, bulk := table{native: list[0].requests}, table{native: list[0].bulk}
	requests.head("A request to a server in a container, "+from+", by a connection of its own (ms)", "its address")
	for _, p := range list {
		requests.row(p.name, p.requests)
	}
	bulk.head("256 MiB from a server in a container, "+from+" (ms)", "its address")
	for _, p := range list {
		bulk.row(p.name, p.bulk)
	}
}

// dockerPort measures a server whose port Docker publishes, by that and by its address.
func (b *bench) dockerPort(docker, direct *port) error {
	out, err := exec.Command("docker", "run", "--detach", "--rm", "--publish", "127.0.0.1::3000", "--volume", b.dir+":/workspace:ro",
		"--entrypoint", "node", nodeImage, "/workspace/server.js").Output()
	if err != nil {
		return err
	}
	id := strings.TrimSpace(string(out))
	defer exec.Command("docker", "rm", "--force", id).Run() //nolint:errcheck // nothing is left to do
	bound, err := exec.Command("docker", "port", id, "3000").Output()
	ip, ipErr := exec.Command("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", id).Output()
	if err := errors.Join(err, ipErr); err != nil {
		return err
	}
	return errors.Join(direct.measure(net.JoinHostPort(strings.TrimSpace(string(ip)), "3000")), docker.measure(strings.TrimSpace(string(bound))))
}

// publishedRE finds the port of this machine in a session's notice.
var publishedRE = regexp.MustCompile(`(127\.0\.0\.1:\d+) of this machine leads to`)

// portScript measures in the agent's container, when the server is there, and waits.
const portScript = `node server.js & until curl -s -o /dev/null localhost:3000; do sleep 0.1; done
fetch() { curl -s -o /dev/null -w "$1 %{time_total}\n" "$2"; }
for i in $(seq 100); do fetch request localhost:3000; fetch address-request "aifo-tc-node-${HOSTNAME##*-}:3000"; done
fetch bulk localhost:3000/big; fetch address-bulk "aifo-tc-node-${HOSTNAME##*-}:3000/big"
echo measured; read; kill %1`

// sessionPort measures a session's server: inside its agent's container, where that has a link
// and by the sidecar's address, and from this machine unless from is nil.
func (b *bench) sessionPort(from, in, address *port, flags, env []string) error {
	args := append(append([]string{"--publish", "0:3000", "--toolchain", "node"}, flags...), "shell", "--", "bash", "-c", portScript)
	cmd := exec.Command(b.program, args...)
	var notices strings.Builder
	cmd.Dir, cmd.Env, cmd.Stderr = b.dir, append(os.Environ(), env...), &notices
	input, err := cmd.StdinPipe()
	output, outErr := cmd.StdoutPipe()
	if err := errors.Join(err, outErr); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() && lines.Text() != "measured" {
		what, text, _ := strings.Cut(lines.Text(), " ")
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue // the server's own words
		}
		to := map[string]*[]float64{
			"request": &in.requests, "bulk": &in.bulk, "address-request": &address.requests, "address-bulk": &address.bulk,
		}[what]
		*to = append(*to, seconds*1e3)
	}
	if m := publishedRE.FindStringSubmatch(notices.String()); from != nil && m != nil {
		err = from.measure(m[1])
	}
	_, _ = io.WriteString(input, "\n")
	_, _ = io.Copy(io.Discard, output)
	return errors.Join(err, cmd.Wait())
}

// measure takes the samples of one round from this machine.
func (p *port) measure(addr string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: portLimit}
	get := func(path string) (time.Duration, error) {
		start := time.Now()
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return time.Since(start), err
	}
	for limit := time.Now().Add(portLimit); ; {
		_, err := get("/")
		if err == nil {
			break
		}
		if time.Now().After(limit) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range portRequests {
		d, err := get("/")
		if err != nil {
			return err
		}
		p.requests = append(p.requests, ms(d))
	}
	d, err := get("/big")
	p.bulk = append(p.bulk, ms(d))
	return err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
