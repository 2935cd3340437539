//go:build linux

package resident

import (
	"net"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// MaxLarge is how many large buffers may be out, LargeInUse how many are.
const MaxLarge = maxLarge

func LargeInUse() int { return int(largeInUse.Load()) }

// NewSocketLink is a link without a server's program.
func NewSocketLink(conn *net.UnixConn) Link {
	server, err := proc.Connect(proc.Cmd{Argv: []string{"true"}, Detached: true})
	if err != nil {
		panic(err)
	}
	return &socketLink{UnixConn: conn, server: server}
}
