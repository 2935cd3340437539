package session

import (
	"context"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/tunnel"
)

// openTunnels makes what listens for the containers that no socket can be mounted into.
// Nobody can connect before startTunnel.
func (s *Session) openTunnels(context.Context) error {
	s.tunnels = map[string]*tunnel.Host{}
	for _, t := range s.Plan.Tunnels {
		host := tunnel.NewHost(t.Sockets...)
		s.tunnels[t.Container] = host
		s.onCleanup(func(context.Context) error {
			host.Close()
			return nil
		})
	}
	return nil
}

// startTunnel starts the tunnel of a container, if it has one. The agent's container is
// about to run, others do. A tunnel that breaks while ctx lasts is not made anew: the container then
// has no way out.
func (s *Session) startTunnel(ctx context.Context, container string) {
	for _, t := range s.Plan.Tunnels {
		if t.Container != container {
			continue
		}
		go func() {
			if container == plan.KindAgent {
				s.awaitAgent(ctx)
			}
			if err := s.runTunnel(t); err != nil && s.stillRuns(ctx, t.Name) {
				s.Log.Warn("the container has no way out any more", "container", container, "reason", err)
			}
		}()
	}
}

func (s *Session) runTunnel(t plan.Tunnel) error {
	conn, err := proc.Connect(s.Docker.Cmd(t.Exec.Argv()))
	if err != nil {
		s.tunnels[t.Container].Close()
		return err
	}
	return s.tunnels[t.Container].Serve(conn)
}

// endPause is how long after its last process a container counts as running at most.
const endPause = time.Second

// stillRuns reports whether a container, of which something has ended, has not.
func (s *Session) stillRuns(ctx context.Context, name string) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(endPause):
	}
	running, err := s.Docker.ContainerRunning(ctx, name)
	return running && err == nil
}
