//go:build linux

package relay

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/accept"
	"github.com/aifo-coder/aifo-coder/internal/unixsock"
)

// patience is how long a client waits for a socket that comes when the container runs.
const patience = 10 * time.Second

// Serve passes the listener's connections on to the unix socket until the listener is
// closed, and then returns net.ErrClosed.
func Serve(listener net.Listener, socket string) error {
	free := make(chan struct{}, maxConns)
	for {
		free <- struct{}{}
		client, err := accept.Next(listener)
		if err != nil {
			return err
		}
		go func() {
			defer func() { <-free }()
			pass(client, socket)
		}()
	}
}

// pass connects the client with the socket, to the end of both directions. A client
// whose connection cannot be passed on sees it closed.
func pass(client net.Conn, socket string) {
	defer func() { _ = client.Close() }()
	server, err := unixsock.Dial(socket, patience)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var both sync.WaitGroup
	both.Go(func() { send(server, client) })
	both.Go(func() { send(client, server) })
	both.Wait()
}

// send copies what comes from one side to the other, in the kernel where it can, and
// passes the end on. A side that cannot be written to any more is not read either.
func send(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil {
		_ = from.Close()
	}
	_ = to.(interface{ CloseWrite() error }).CloseWrite() // or it is gone
}
