//go:build linux

package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// exitUsage is the exit code for a wrong command line.
const exitUsage = 2

const (
	usageRun = `usage: aifo-run KIND PROGRAM [ARG...]
Run a program, such as ./target/debug/app, in the sidecar of the toolchain KIND.
aifo-tools lists the toolchains.
`
	usageTools = `usage: aifo-tools [--json]
Print which tools the toolchains of this session have, where and in which version.
`
)

// usage prints how a helper is called: for one who asks on standard output.
func (c call) usage(text string) int {
	if len(c.args) > 0 && slices.Contains([]string{"-h", "--help"}, c.args[0]) {
		fmt.Print(text)
		return 0
	}
	fmt.Fprint(os.Stderr, text)
	return exitUsage
}

// runNamed is "aifo-run KIND PROGRAM [ARG...]": it runs any program in the sidecar
// of a toolchain. A "--" before the program is taken for what it looks like.
func (c call) runNamed() int {
	words := c.args
	if len(words) > 1 && words[1] == "--" {
		words = slices.Delete(slices.Clone(words), 1, 2)
	}
	if len(words) < 2 || words[0] == "" || words[0][0] == '-' {
		return c.usage(usageRun)
	}
	program := words[1]
	c.kind, c.tool, c.path, c.args = words[0], filepath.Base(program), "", words[2:]
	if c.tool != program {
		c.path = program
	}
	if !c.configured() {
		return c.fail(execproto.ExitRefused, noProxy, c.kind)
	}
	return c.run()
}

// noProxy is the message of a helper in a session without toolchains.
const noProxy = "no toolchain proxy is configured; start the agent with aifo-coder --toolchain %s"

// listTools is "aifo-tools [--json]": it prints the tools of the session's toolchains.
func (c call) listTools() int {
	if len(c.args) > 1 || len(c.args) == 1 && c.args[0] != "--json" {
		return c.usage(usageTools)
	}
	if !c.configured() {
		return c.fail(execproto.ExitRefused, noProxy, "<kind>")
	}
	cwd, err := os.Getwd()
	if err != nil || !execproto.Within(cwd, c.workspace) {
		cwd = c.workspace
	}
	return c.runIn(cwd)
}
