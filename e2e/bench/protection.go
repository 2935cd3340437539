package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/e2e/modelserver"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
)

// A shield is a session with more or less of what docs/security.md describes.
type shield struct {
	name     string
	flags    []string
	model    string // base URL of the model, in words of the agent's shell
	call     []float64
	requests []float64
}

// benchAgent is an image in which opencode is a shell, so that the script of a
// measurement has what an agent has.
const benchAgent = "aifo-bench-agent"

// modelRequests is how many requests one sample is of. They use one connection, as an
// agent's do.
const modelRequests = 100

// protection compares a tool call and a request to a model with everything on and off.
func (b *bench) protection() error {
	model, stop, err := serveModel()
	if err != nil {
		return err
	}
	defer stop()
	build := exec.Command("docker", "build", "--quiet", "--tag", benchAgent, "-")
	build.Stdin = strings.NewReader("FROM aifo-coder-shell:latest\nRUN ln -s /bin/bash /usr/local/bin/opencode\n")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the agent's image: %w: %s", err, out)
	}
	defer exec.Command("docker", "image", "rm", benchAgent).Run() //nolint:errcheck // nothing is left to do
	shields := []*shield{
		{name: "off", flags: []string{"--toolchain-unix-socket"}, model: model},
		{name: "allowlist and broker", flags: []string{"--network-policy", "allowlist", "--credentials", "broker"}, model: `"$OPENAI_BASE_URL"`},
	}
	for range rounds {
		for _, s := range shields {
			if err := b.shielded(s, model); err != nil {
				return fmt.Errorf("protection %s: %w", s.name, err)
			}
		}
	}
	calls, requests := table{native: shields[0].call}, table{native: shields[0].requests}
	calls.head("A call of a program that does nothing, by protection (ms)", "off")
	for _, s := range shields {
		calls.row(s.name, s.call)
	}
	requests.head("A request to a model on this machine, by protection (ms)", "off")
	for _, s := range shields {
		requests.row(s.name, s.requests)
	}
	return nil
}

// shielded takes the samples of one session.
func (b *bench) shielded(s *shield, model string) error {
	script := parts[0].script("tsc", ":") + `; curl -s ` + strings.Repeat(s.model+"/models -o /dev/null ", modelRequests) +
		`-H "Authorization: Bearer $OPENAI_API_KEY" -w 'request %{time_total} s %{http_code}\n'`
	args := append(append([]string{"--image", benchAgent, "--toolchain", "node"}, s.flags...), "opencode", "--", "-c", script)
	cmd := exec.Command(b.program, args...)
	cmd.Dir, cmd.Stderr = b.dir, os.Stderr
	cmd.Env = append(os.Environ(), "OPENAI_API_KEY=sk-bench", "OPENAI_BASE_URL="+model)
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	s.call = append(s.call, samples(out, parts[0].name)...)
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) == 4 && f[0] == "request" && f[3] == "200" {
			seconds, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return err
			}
			s.requests = append(s.requests, seconds*1e3)
		}
	}
	return nil
}

// serveModel serves a model where containers on Docker's bridge reach it, too, and
// returns its address.
func serveModel() (url string, stop func(), err error) {
	bridge, err := docker.Client{}.Bridge(context.Background(), "bridge")
	own, ownErr := hostfacts.Addresses()
	addr, ok := bridge.HostAddress(own)
	if err := errors.Join(err, ownErr); err != nil || !ok {
		return "", nil, fmt.Errorf("find the gateway: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(addr.String(), "0"))
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: modelserver.New()} //nolint:gosec // it is asked by the benchmark alone
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String() + "/v1", func() { _ = server.Close() }, nil
}
