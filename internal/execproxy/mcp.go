package execproxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// maxMCP is how many connections may carry the Model Context Protocol at once.
const maxMCP = 16

// mcp answers /mcp: the connection is handed to whoever speaks that protocol. The calls
// that are made over it are calls like others.
func (p *Proxy) mcp(w http.ResponseWriter, r *http.Request, req *request) *refusal {
	if ref := req.checkAccess(); ref != nil {
		return ref
	}
	if req.proto != protoFrames || !req.versionFits(r) {
		return refuseRequest
	}
	if p.cfg.MCP == nil {
		return refuseMCP
	}
	if !wantsUpgrade(r.Header, execproto.UpgradeMCP) {
		return refuseNoMCPUpgrade
	}
	defer p.mcps.Add(-1)
	if p.mcps.Add(1) > maxMCP {
		return refuseBusy
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(nil)
	c, ref := p.calls.add("", "", cancel) // counted, and ended by Shutdown, like a tool call
	if ref != nil {
		return ref
	}
	defer p.calls.remove(c)
	return p.serveMCP(ctx, w)
}

func (p *Proxy) serveMCP(ctx context.Context, w http.ResponseWriter) *refusal {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return refuseError(fmt.Errorf("upgrade the connection: %w", err))
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(drainTime))
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", execproto.UpgradeMCP); err != nil {
		return nil // nobody to tell
	}
	conn.SetWriteDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p.cfg.MCP(ctx, bufferedConn{Reader: buf.Reader, Conn: conn})
	return nil
}

// bufferedConn is a connection of which something was read already.
type bufferedConn struct {
	*bufio.Reader
	net.Conn
}

// Read implements io.Reader.
func (c bufferedConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }
