//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// socket is the toolexec proxy's.
const socket = "/run/aifo/toolexec.sock"

var proxyRows = []row{
	{"tool without the token", func(target) (string, error) { return call{token: "x", tool: "python"}.answer() }},
	{"tool that is not allowed", func(target) (string, error) { return call{tool: "bash"}.answer() }},
	{"tool by a path", func(target) (string, error) { return call{tool: "../../bin/sh"}.answer() }},
	{"tool with a NUL", func(target) (string, error) { return call{tool: "python\x00sh"}.answer() }},
	{"argument with a NUL", func(target) (string, error) { return call{tool: "python", args: []string{"a\x00b"}}.answer() }},
	{"arguments with line ends and dashes", func(target) (string, error) {
		return call{tool: "python", args: []string{"-c", "import sys; print(sys.argv[1:])", "a\nb", "--network=host", "-v/:/x", "; id", "$(id)"}}.answer()
	}},
	{"directory outside", func(target) (string, error) { return call{tool: "python", cwd: "/etc"}.answer() }},
	{"directory with dots", func(target) (string, error) { return call{tool: "python", cwd: "/workspace/../etc"}.answer() }},
	{"directory behind a link", func(target) (string, error) {
		if err := os.Symlink("/etc", "/workspace/link"); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
		return call{tool: "python", cwd: "/workspace/link"}.answer()
	}},
	{"notification", func(target) (string, error) { return call{path: "/notify", tool: "say"}.answer() }},
}

// floodRows leave open what they open until they have seen that the proxy still answers.
var floodRows = []row{
	{"half-open connections", func(target) (string, error) { return holding("unix", socket, 3000, "") }},
	{"slow heads", func(target) (string, error) { return holding("unix", socket, 500, "POST /exec HTTP/1.1\r\nX-A: ") }},
	{"slow bodies", func(target) (string, error) {
		return holding("unix", socket, 500, "POST /exec HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\ntool=")
	}},
	{"100,000 requests", func(target) (string, error) { return many(100_000) }},
	{"half-open connections to the way out", func(target) (string, error) { return holding("tcp", relay, 3000, "") }},
	{"20,000 refused hosts", refusedHosts},
}

// call is a request in version 1 of the protocol.
type call struct {
	token, path, tool, cwd string
	args                   []string
}

func (c call) text() string {
	form := url.Values{"tool": {c.tool}, "cmd": {c.tool}, "arg": c.args}
	if c.cwd != "" {
		form.Set("cwd", c.cwd)
	}
	if c.token == "" {
		c.token = os.Getenv("AIFO_TOOLEEXEC_TOKEN")
	}
	if c.path == "" {
		c.path = "/exec"
	}
	version := map[bool]string{true: "2", false: "1"}[c.path == "/notify"]
	body := form.Encode()
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Aifo-Proto: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		c.path, c.token, version, len(body), body)
}

// answer returns the status, the exit code and the text of the reply.
func (c call) answer() (string, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(3 * patience)) // the first call waits for its sidecar
	if _, err := io.WriteString(conn, c.text()); err != nil {
		return "", err
	}
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	return fmt.Sprintf("%d/%s %s", reply.StatusCode, reply.Header.Get("X-Exit-Code"), strings.TrimSpace(string(text))), err
}

var works = call{tool: "python", args: []string{"-c", "print('works')"}}

// holding opens connections, says something on each, and tells what an honest call then
// comes to.
func holding(network, address string, n int, text string) (string, error) {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for range n {
		c, err := net.DialTimeout(network, address, patience)
		if err != nil {
			break // as many as there can be
		}
		held = append(held, c)
		_, _ = io.WriteString(c, text)
	}
	if network == "tcp" {
		for _, c := range held {
			_ = c.Close() // the relay has a limit, and is the container's own
		}
		return connect("exfiltrate.example:443")
	}
	return works.answer()
}

// many makes requests with a wrong token, and then an honest one.
func many(n int) (string, error) {
	text := call{token: "wrong", tool: "python"}.text()
	err := side(n, func() error {
		c, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, text); err != nil {
			return nil // refused before it was read
		}
		_, _ = io.Copy(io.Discard, c)
		return nil
	})
	if err != nil {
		return "", err
	}
	return works.answer()
}

func refusedHosts(target) (string, error) {
	err := side(20_000, func() error {
		_, err := connect(fmt.Sprintf("h%d.exfiltrate.example:443", time.Now().UnixNano()))
		return err
	})
	if err != nil {
		return "", err
	}
	return connect("exfiltrate.example:443")
}

// side calls f n times, by eight at once, and returns the first error.
func side(n int, f func() error) error {
	const workers = 8
	errs := make(chan error, workers)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range n / workers {
				if err := f(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}
