// Command aifo-coder runs a coding agent in a container and gives it language
// toolchains that live in other containers.
package main

import (
	"os"

	"github.com/aifo-coder/aifo-coder/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.System())) }
