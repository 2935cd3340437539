package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/mcpserver"
)

// mcpSocket is where programs of this user on this host find a session's MCP server.
const mcpSocket = "mcp.sock"

// mcpConfig returns what is served of the session by MCP.
func (s *Session) mcpConfig(proxy mcpserver.Proxy) mcpserver.Config {
	c := mcpserver.Config{Proxy: proxy, Workspace: s.Plan.Workspace, Cwd: s.Plan.Cwd}
	if s.recent != nil {
		c.Calls = func(most int) []calltrace.Record { return s.recent.Calls(most) }
	}
	return c
}

// runServed serves the session's toolchains on the caller's streams until he has ended
// his side, a signal came, or a sidecar failed.
func (s *Session) runServed(ctx context.Context, w *signalWatch) (int, error) {
	sc := s.startSidecars(w, s.executor())
	s.started.happen() // there is no agent that anything could slow down
	proxy := s.newProxy(sc, "", s.openPorts())
	s.onCleanup(proxy.Shutdown)
	s.listenMCP(proxy)
	running, forward := w.run(ctx)
	running, end := context.WithCancelCause(running)
	defer end(nil)
	go func() {
		select {
		case sig := <-forward:
			end(&SignalError{Signal: sig.(syscall.Signal)})
		case <-running.Done():
		}
	}()
	s.tellReady(sc)
	err := mcpserver.Serve(running, s.mcpConfig(proxy), standardStreams{s.Streams.In, s.Streams.Out})
	if running.Err() != nil {
		return w.result(running, 0, nil)
	}
	if err != nil {
		return 0, fmt.Errorf("serve MCP: %w", err)
	}
	return 0, nil
}

// standardStreams are those of this process as a connection.
type standardStreams struct {
	in  *os.File
	out *os.File
}

func (s standardStreams) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s standardStreams) Write(p []byte) (int, error) { return s.out.Write(p) }

// Close leaves the output open, which is not ours to close.
func (s standardStreams) Close() error { return s.in.Close() }

// listenMCP serves programs of this user on this host, which find the session by its id.
func (s *Session) listenMCP(proxy mcpserver.Proxy) {
	s.listenLocal(mcpSocket, func(ctx context.Context, conn net.Conn) { s.serveMCP(ctx, s.mcpConfig(proxy), conn) })
}

// serveMCP serves one connection.
func (s *Session) serveMCP(ctx context.Context, cfg mcpserver.Config, conn io.ReadWriteCloser) {
	if err := mcpserver.Serve(ctx, cfg, conn); err != nil && ctx.Err() == nil {
		s.Log.Debug("an MCP connection ended", "err", err)
	}
}

// NotServedError says that there is no running session of that id with toolchains.
type NotServedError struct{ Session string }

func (e *NotServedError) Error() string {
	return fmt.Sprintf("no session %q with toolchains runs", e.Session)
}

// Hint says what to look at.
func (e *NotServedError) Hint() string {
	return "a session serves its toolchains while it runs; start one: aifo-coder mcp --toolchain KIND"
}

// Served returns the ids of the sessions that have an MCP server on this host.
func Served(runtimeDir string) []string {
	entries, _ := os.ReadDir(runtimeDir) // without it there are none
	var ids []string
	for _, e := range entries {
		id := lock.Name(filepath.Join(runtimeDir, e.Name()))
		if id == "" || !e.IsDir() {
			continue
		}
		if _, err := os.Stat(localSocket(runtimeDir, id, mcpSocket)); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// DialMCP connects to the MCP server of a running session, or returns a *NotServedError.
func DialMCP(runtimeDir, id string) (net.Conn, error) {
	conn, err := net.Dial("unix", localSocket(runtimeDir, id, mcpSocket))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, &NotServedError{Session: id}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the session %s: %w", id, err)
	}
	return conn, nil
}
