package session

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/plan"
)

const (
	// callsSocket is where programs of this user on this host say that they run a command in a
	// sidecar.
	callsSocket = "calls.sock"
	// maxCallLine is more than a kind and the end of its line have.
	maxCallLine = 256
)

// listenCalls has begin called for the commands that other processes run in the sidecars, so that
// they count as calls: what they serve is there for others, too.
func (s *Session) listenCalls(begin func(kind string) (end func())) {
	s.listenLocal(callsSocket, func(ctx context.Context, conn net.Conn) { serveCall(ctx, conn, begin) })
}

// serveCall has a call last as long as the connection that names its kind.
func serveCall(ctx context.Context, conn net.Conn, begin func(kind string) (end func())) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	kind, err := bufio.NewReader(io.LimitReader(conn, maxCallLine)).ReadString('\n')
	if err != nil {
		return
	}
	defer begin(strings.TrimSuffix(kind, "\n"))()
	_, _ = io.Copy(io.Discard, conn)
}

// joinCalls says to a running session that a command runs in its sidecar of kind, until end is
// called or this process ends. A session that leads no ports has no use for it and does not listen;
// the agent's own ports are always looked at.
func joinCalls(runtimeDir, id, kind string) (end func()) {
	if kind == plan.KindAgent {
		return func() {}
	}
	conn, err := net.Dial("unix", localSocket(runtimeDir, id, callsSocket))
	if err != nil {
		return func() {}
	}
	_, _ = io.WriteString(conn, kind+"\n") // a session that has ended does not read it
	return func() { _ = conn.Close() }
}
