//go:build linux

package resident

import (
	"net"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// NewSocketLink is a link without a server's program.
func NewSocketLink(conn *net.UnixConn) Link {
	server, err := proc.Connect(proc.Cmd{Argv: []string{"true"}, Detached: true})
	if err != nil {
		panic(err)
	}
	return &socketLink{UnixConn: conn, server: server}
}
