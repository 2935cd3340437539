//go:build linux

// Package shim is the client that stands on PATH in an agent container under
// the names of tools. A call goes to the toolchain proxy of aifo-coder, which
// runs the tool elsewhere; its streams, signals and exit code are passed on so
// that a caller sees no difference to a local tool.
//
// It sends a call at most once, and exits with 0 only when the proxy reported
// that the tool did. Over a unix socket it hands over its own three files and
// then has no part in the tool's input and output; else it copies them, and
// gives the tool a terminal when it has one itself.
package shim

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// call is one use of the shim.
type call struct {
	tool      string
	path      string // the tool as it was called, if by a path that the toolchain is to see
	kind      string // the toolchain that was named; empty: the tool's
	args      []string
	url       string
	token     string
	workspace string // the directory that the toolchains see
	envFiles  []string
	streams   streams
	term      *terminal // nil: the tool shall not have one of its own
}

// Main runs the tool that argv[0] names and returns its exit code.
func Main(argv []string) int {
	c := newCall(argv)
	switch c.tool {
	case execproto.NameRun:
		return c.runNamed()
	case execproto.NameTools:
		return c.listTools()
	case execproto.NameMCP:
		return c.serveMCP()
	}
	if !c.configured() {
		return c.runLocal()
	}
	return c.run()
}

func newCall(argv []string) call {
	c := call{args: argv[1:], workspace: execproto.Workspace, envFiles: execproto.EnvFiles}
	if elsewhere := c.variable(execproto.EnvWorkspace); strings.HasPrefix(elsewhere, "/") {
		c.workspace = elsewhere
	}
	c.tool, c.path = called(argv[0], execFilename(), c.workspace)
	c.url, c.token = c.variable(execproto.EnvURL), c.variable(execproto.EnvToken)
	return c
}

// configured reports whether the caller has a proxy.
func (c call) configured() bool { return c.url != "" && c.token != "" }

// variable returns a variable of the session. A caller that has none of it (env -i,
// a cron job) gets the one that the agent was started with; an empty one counts.
func (c call) variable(name string) string {
	value, ok := os.LookupEnv(name)
	if !ok {
		value = lookup(c.initial(), name)
	}
	return strings.TrimSpace(value)
}

// lookup returns the value of a variable in an environment.
func lookup(env []string, name string) string {
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

func (c call) run() int {
	// Ask the kernel: $PWD may lead through a link to a place that the
	// toolchains do not see.
	cwd, err := syscall.Getwd()
	if err != nil {
		return c.fail(execproto.ExitRefused, "the working directory cannot be found: %v", err)
	}
	if execproto.Notifies(c.tool) {
		return c.runIn(cwd)
	}
	own, err := c.whose(cwd)
	switch {
	case err != nil:
		return c.fail(execproto.ExitRefused, "%v", err)
	case own != "":
		return c.execute(own)
	case !execproto.Within(cwd, c.workspace):
		return c.fail(execproto.ExitRefused, "the working directory %s is outside %s, which is all that the toolchains can see", cwd, c.workspace)
	}
	return c.runIn(cwd)
}

// runIn runs the tool in a directory of the toolchain.
func (c call) runIn(cwd string) int {
	c.streams = lookAtStreams()
	c.term = c.streams.terminal()
	signals := watchSignals(c.streams, c.term)
	conn, e, err := c.connect()
	if err != nil {
		return c.fail(execproto.ExitRefused, "%v", err)
	}
	defer conn.Close()
	return c.exchange(conn, c.request(e, cwd), signals)
}

// fail prints one message, each of its lines with the tool's name, and returns
// the exit code. A terminal in raw mode would print stairs.
func (c call) fail(code int, format string, args ...any) int {
	c.term.restore()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			fmt.Fprintf(os.Stderr, "aifo-shim: %s: %s\n", c.tool, line)
		}
	}
	return code
}
