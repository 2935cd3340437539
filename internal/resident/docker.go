package resident

import (
	"context"
	"log/slog"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Docker opens links with docker exec.
type Docker struct {
	Client    docker.Client
	User      func(kind string) string // "uid:gid" of the tools
	Container func(kind string) string // the container of a kind's sidecar

	// SocketDir returns the directory of the host that a sidecar has at
	// execproto.SocketDir, private to us, or "" where there is none.
	SocketDir func(kind string) string
	UID       int // of the server, as this host sees it

	// Server is what runs in the sidecar; nil: the exec server.
	Server *Server

	Log *slog.Logger
}

// Server is a program that connects to us from a container.
type Server struct {
	// Exec returns the docker exec that runs it, as plan.Serve does.
	Exec func(container, user, connect string) dockerargs.Exec
	// Socket is the name of the socket to which it connects.
	Socket string
	// Without says what is so where it cannot.
	Without string
}

// execServer is the exec server of a sidecar.
var execServer = &Server{
	Exec: plan.Serve, Socket: "serve.sock", Without: "tools cannot get their callers' own files; their streams are copied",
}

func (d *Docker) server() *Server {
	if d.Server != nil {
		return d.Server
	}
	return execServer
}

// Dial is Config's. Where there is a directory for a socket the server connects
// to one there, over which files can go; if it does not, or there is none, the
// link is the standard input and output of the docker exec.
func (d *Docker) Dial(ctx context.Context, kind string) (Link, error) {
	if dir := d.SocketDir(kind); dir != "" {
		l, err := d.dialSocket(ctx, kind, dir)
		if err == nil || ctx.Err() != nil {
			return l, err
		}
		d.Log.Info(d.server().Without, "kind", kind, "reason", err)
	}
	return d.serve(kind, "")
}

// serve starts an exec server.
func (d *Docker) serve(kind, connect string) (*proc.Conn, error) {
	cmd := d.Client.Cmd(d.server().Exec(d.Container(kind), d.User(kind), connect).Argv())
	conn, err := proc.Connect(cmd)
	if err != nil {
		return nil, err // not a nil *Conn in a Link
	}
	return conn, nil
}
