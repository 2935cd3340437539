package session

import (
	"context"
	"net"
	"path/filepath"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/accept"
	"github.com/aifo-coder/aifo-coder/internal/lock"
)

// maxLocal is how many programs may be connected to a socket of the session's own at once.
const maxLocal = 64

// localSocket returns the path of a socket in a session's own directory, which is this user's
// alone and which no container sees.
func localSocket(runtimeDir, id, name string) string {
	_, dir := lock.Session(runtimeDir, id)
	return filepath.Join(dir, name)
}

// listenLocal has serve called for each program of this user on this host that connects to the
// session's socket of that name. A session that they do not find, since its directory has too
// long a name for a socket, is as good as another for everybody else.
func (s *Session) listenLocal(name string, serve func(context.Context, net.Conn)) {
	l, err := net.Listen("unix", localSocket(s.Facts.RuntimeDir, s.Plan.ID, name))
	if err != nil {
		s.Log.Debug("the session cannot be joined on this host", "socket", name, "err", err)
		return
	}
	ctx, end := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { acceptLocal(ctx, l, serve) })
	s.onCleanup(func(context.Context) error {
		end()
		err := l.Close()
		served.Wait()
		return err
	})
}

// acceptLocal serves those who connect, until the listener is closed; what it serves ends with ctx.
func acceptLocal(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) {
	var served sync.WaitGroup
	defer served.Wait()
	room := make(chan struct{}, maxLocal)
	for {
		conn, err := accept.Next(l)
		if err != nil {
			return
		}
		select {
		case room <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		served.Go(func() {
			defer func() { <-room }()
			defer func() { _ = conn.Close() }()
			serve(ctx, conn)
		})
	}
}
