//go:build linux

package shim

import (
	"bufio"
	"io"
	"net"
	"os"
	"sync/atomic"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const usageMCP = `usage: aifo-mcp
Serve the toolchains of this session by the Model Context Protocol on standard input and output, for
an agent whose configuration has it as a server: command = "aifo-mcp".
`

// serveMCP is "aifo-mcp": it connects its standard streams to aifo-coder, which speaks the
// protocol.
func (c call) serveMCP() int {
	if len(c.args) > 0 {
		return c.usage(usageMCP)
	}
	if !c.configured() {
		return c.fail(execproto.ExitRefused, noProxy, "<kind>")
	}
	conn, e, err := c.connect()
	if err != nil {
		return c.fail(execproto.ExitRefused, "%v", err)
	}
	defer conn.Close()
	if _, err := conn.Write(c.requestMCP(e)); err != nil {
		return c.fail(execproto.ExitLost, "cannot send the request to aifo-coder: %v", err)
	}
	r := bufio.NewReaderSize(conn, headBuffer)
	answer, err := readAnswer(r)
	switch {
	case err != nil:
		return c.fail(execproto.ExitLost, "lost the connection to aifo-coder")
	case answer.status != 101:
		return c.refused(r, answer)
	}
	return c.carryMCP(conn, r)
}

func (c call) requestMCP(e endpoint) []byte {
	return []byte("POST " + execproto.PathMCP + " HTTP/1.1\r\n" +
		"Host: " + e.host + "\r\n" +
		"Authorization: Bearer " + c.token + "\r\n" +
		execproto.HeaderProto + ": 3\r\n" +
		"Connection: Upgrade\r\nUpgrade: " + execproto.UpgradeMCP + "\r\n" +
		"Content-Length: 0\r\n\r\n")
}

// carryMCP copies both ways until either end is done. An end that nobody asked for is a
// failure.
func (c call) carryMCP(conn net.Conn, r io.Reader) int {
	var asked atomic.Bool
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		asked.Store(true)
		if w, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
	}()
	_, err := io.Copy(os.Stdout, r)
	if err != nil || !asked.Load() {
		return c.fail(execproto.ExitLost, "aifo-coder has ended the connection")
	}
	return 0
}
