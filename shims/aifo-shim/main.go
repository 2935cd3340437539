//go:build linux

// Command aifo-shim is the static program that aifo-coder mounts into every
// container. Called by the name of a tool it is the client that has the tool
// run in a sidecar; under its own name it prepares containers and starts and
// signals tools inside them.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/aifo-coder/aifo-coder/internal/boot"
	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/execserver"
	"github.com/aifo-coder/aifo-coder/internal/loopback"
	"github.com/aifo-coder/aifo-coder/internal/relay"
	"github.com/aifo-coder/aifo-coder/internal/samehost"
	"github.com/aifo-coder/aifo-coder/internal/shim"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

func main() {
	if len(os.Args) == 0 || filepath.Base(os.Args[0]) == "aifo-shim" {
		os.Exit(subcommand(os.Args))
	}
	// A shim waits and copies. On a machine of many processors the runtime would
	// have as many threads, and an agent may have a thousand shims.
	runtime.GOMAXPROCS(2)
	os.Exit(shim.Main(os.Args))
}

// subcommands are what the program does under its own name, with the words behind it.
var subcommands = map[string]func(args []string) int{
	"boot":           boot.Main,
	boot.StayCommand: func([]string) int { return boot.Stay() },
	loopback.Command: loopback.Main,
	relay.Command:    func([]string) int { return relay.Main() },
	"ready":          toolrun.Ready,
	"run":            toolrun.Run,
	"serve":          execserver.Main,
	"signal":         toolrun.Signal,
	"end":            toolrun.End,
	"tools":          func(args []string) int { return toolrun.Tools(args, os.Stdout) },
	"which":          func(args []string) int { return toolrun.Which(args, os.Stdout) },
	tunnel.Command:   tunnel.Main,
	samehost.Command: samehost.Main,
	"version":        version,
}

func subcommand(argv []string) int {
	if len(argv) < 2 {
		return usage()
	}
	run, ok := subcommands[argv[1]]
	if !ok {
		return usage()
	}
	return run(argv[2:])
}

func version([]string) int {
	fmt.Println(buildinfo.Version())
	return 0
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: aifo-shim boot|ports|ready|relay|run|serve|signal|end|tools|which|tunnel|where|version; or a tool's name as a link to it")
	return toolrun.ExitUsage
}
