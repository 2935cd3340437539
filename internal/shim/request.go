//go:build linux

package shim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/unixsock"
)

// dialTimeout is for a host that drops packets instead of refusing them, and for a socket
// that comes when the container runs.
const dialTimeout = 10 * time.Second

// endpoint is where the proxy is.
type endpoint struct {
	network, address string // as net.Dial takes them
	host, path       string // as HTTP does
}

// parseURL understands http://HOST:PORT/PATH and unix:///SOCKET. It stands in
// for net/url, which has rules that no URL of ours needs.
func parseURL(url string) (endpoint, error) {
	if socket, ok := strings.CutPrefix(url, "unix://"); ok && strings.HasPrefix(socket, "/") {
		return endpoint{"unix", socket, "localhost", execproto.PathExec}, nil
	}
	rest, ok := strings.CutPrefix(url, "http://")
	host, path, _ := strings.Cut(rest, "/")
	if !ok || host == "" || strings.ContainsAny(url, " \r\n") {
		return endpoint{}, fmt.Errorf("%s is neither http://HOST:PORT/exec nor unix:///SOCKET: %q", execproto.EnvURL, url)
	}
	address := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		address = net.JoinHostPort(strings.Trim(host, "[]"), "80")
	}
	if path == "" {
		return endpoint{"tcp", address, host, execproto.PathExec}, nil
	}
	return endpoint{"tcp", address, host, "/" + path}, nil
}

func (e endpoint) dial() (net.Conn, error) {
	if e.network == "unix" {
		return unixsock.Dial(e.address, dialTimeout)
	}
	d := net.Dialer{Timeout: dialTimeout}
	return d.Dial(e.network, e.address)
}

// advice tells what the user can do when nobody answers.
func (e endpoint) advice() string {
	if e.network == "unix" {
		return "has aifo-coder ended?"
	}
	return "has aifo-coder ended? if a firewall keeps containers from the host, start it with --toolchain-unix-socket"
}

// connect returns a connection to the proxy, and where that is.
func (c call) connect() (net.Conn, endpoint, error) {
	e, err := parseURL(c.url)
	if err != nil {
		return nil, e, err
	}
	conn, err := e.dial()
	if err != nil {
		err = fmt.Errorf("cannot reach aifo-coder at %s: %w (%s)", e.address, cause(err), e.advice())
	}
	return conn, e, err
}

// cause returns the system's words for a failed dial, without the address that
// the message names anyway.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// request returns the whole HTTP request of the call.
func (c call) request(e endpoint, cwd string) []byte {
	path, proto, upgrade := e.path, "3", "Connection: Upgrade\r\nUpgrade: "+execproto.Upgrade+"\r\n"
	if other := c.plainPath(); other != "" {
		path, proto, upgrade = other, "2", "Connection: close\r\n"
	}
	body := c.form(cwd)
	head := "POST " + path + " HTTP/1.1\r\n" +
		"Host: " + e.host + "\r\n" +
		"Authorization: Bearer " + c.token + "\r\n" +
		execproto.HeaderProto + ": " + proto + "\r\n" +
		execproto.HeaderExecID + ": " + newExecID() + "\r\n" +
		upgrade +
		c.offer(e) +
		"Content-Type: application/x-www-form-urlencoded\r\n" +
		"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return append([]byte(head), body...)
}

// offer returns the header that offers our files, if they can go along.
func (c call) offer(e endpoint) string {
	if e.network != "unix" || c.plainPath() != "" {
		return ""
	}
	return execproto.HeaderFiles + ": " + execproto.FilesStdio + "\r\n"
}

// plainPath is the endpoint of a call that is answered by a plain reply, or "".
func (c call) plainPath() string {
	switch {
	case execproto.Notifies(c.tool):
		return execproto.PathNotify
	case c.tool == execproto.NameTools:
		return execproto.PathTools
	}
	return ""
}

// form returns the body of the request.
func (c call) form(cwd string) []byte {
	var body []byte
	if execproto.Notifies(c.tool) {
		body = appendPair(nil, execproto.KeyCmd, c.tool) // runs on the host, where our directory means nothing
	} else {
		body = appendPair(nil, execproto.KeyTool, c.tool)
		body = appendPair(body, execproto.KeyCwd, cwd)
	}
	for _, a := range c.args {
		body = appendPair(body, execproto.KeyArg, a)
	}
	if c.plainPath() != "" {
		return body
	}
	if c.kind != "" {
		body = appendPair(body, execproto.KeyKind, c.kind)
	}
	if c.path != "" {
		body = appendPair(body, execproto.KeyPath, c.path)
	}
	for _, v := range c.env() {
		body = appendPair(body, execproto.KeyEnv, v)
	}
	return c.term.appendTo(body)
}

// env returns the variables that go with the call: those that the caller set
// since the agent was started. Where nobody wrote down what it was started with,
// nothing can be told from the agent's secrets, and only those go that always do.
// All notes count, since one may have come with the image.
func (c call) env() []string {
	now := os.Environ()
	initial := c.initial()
	if initial == nil {
		initial = now
	}
	return execproto.CallerEnv(now, initial, c.workspace)
}

// initial returns the variables that the agent was started with, or nil when nobody
// wrote them down.
func (c call) initial() []string {
	var initial []string
	for _, file := range c.envFiles {
		if b, err := os.ReadFile(file); err == nil {
			initial = append(initial, strings.Split(string(b), "\x00")...)
		}
	}
	return initial
}

// appendPair appends key=value. Arguments are bytes, not text, so each byte
// that is not plainly safe is escaped on its own.
func appendPair(b []byte, key, value string) []byte {
	const hex = "0123456789ABCDEF"
	if len(b) > 0 {
		b = append(b, '&')
	}
	b = append(append(b, key...), '=')
	for _, c := range []byte(value) {
		if plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func plain(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-_.~/", c) >= 0
}

// newExecID returns 32 hexadecimal digits. They need to be unique, not secret:
// it is the token that gives rights.
func newExecID() string {
	return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) //nolint:gosec // see above
}
