package tunnel

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// Main is the subcommand "tunnel NAME...": it listens on sockets of these names in
// execproto.SocketDir, and carries the connections to them over standard input and
// output. It returns 0 when its input has ended, 125 when there never was a tunnel.
func Main(names []string) int {
	runtime.GOMAXPROCS(2) // it waits and copies
	if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return name != filepath.Base(name) }) {
		fmt.Fprintln(os.Stderr, "usage: aifo-shim tunnel NAME...")
		return toolrun.ExitUsage
	}
	err := toolrun.LimitProcess()
	if err == nil {
		err = carry(stdio{}, execproto.SocketDir, names)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "aifo-shim: tunnel: %v\n", err)
		return execproto.ExitLost
	}
	return 0
}

// stdio is standard input and output. Whoever cannot write any more is ended by the
// system, so that nothing has to be freed by Close.
type stdio struct{}

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return nil }
