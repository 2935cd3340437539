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

func subcommand(argv []string) int {
	if len(argv) < 2 {
		return usage()
	}
	args := argv[2:]
	switch argv[1] {
	case "boot":
		return boot.Main(args)
	case boot.StayCommand:
		return boot.Stay()
	case loopback.Command:
		return loopback.Main(args)
	case relay.Command:
		return relay.Main()
	case "ready":
		return toolrun.Ready(args)
	case "run":
		return toolrun.Run(args)
	case "serve":
		return execserver.Main(args)
	case "signal":
		return toolrun.Signal(args)
	case "end":
		return toolrun.End(args)
	case "tools":
		return toolrun.Tools(args, os.Stdout)
	case "which":
		return toolrun.Which(args, os.Stdout)
	case tunnel.Command:
		return tunnel.Main(args)
	case samehost.Command:
		return samehost.Main(args)
	case "version":
		fmt.Println(buildinfo.Version())
		return 0
	}
	return usage()
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: aifo-shim boot|ports|ready|relay|run|serve|signal|end|tools|which|tunnel|where|version; or a tool's name as a link to it")
	return toolrun.ExitUsage
}
