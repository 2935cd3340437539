package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/ports"
	"github.com/aifo-coder/aifo-coder/internal/publish"
	"github.com/aifo-coder/aifo-coder/internal/resident"
)

// publish listens on the ports of this machine that are to lead into the session. It comes before
// anything is made: a port that is taken shall cost nothing.
func (s *Session) publish(context.Context) error {
	list, err := ports.Listen(s.Plan.Publish)
	if err != nil {
		return err
	}
	s.published = list
	s.onCleanup(func(context.Context) error {
		var errs []error
		for _, l := range list {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	})
	for _, l := range list {
		s.Notice(fmt.Sprintf("%s of this machine leads to port %d of the session", l.Port.Host, l.Port.Container))
	}
	return nil
}

// publishedPorts returns them, with those that the system chose.
func (s *Session) publishedPorts() []publish.Port {
	var list []publish.Port
	for _, l := range s.published {
		list = append(list, l.Port)
	}
	return list
}

// openPorts begins to lead ports from container to container, and those that are published. It
// returns nil where no ports are led.
func (s *Session) openPorts() *ports.Bridge {
	if len(s.Plan.Ports) == 0 {
		return nil
	}
	var members []ports.Member
	for _, e := range s.Plan.Ports {
		members = append(members, ports.Member{Name: e.Container, Agent: e.Container == plan.KindAgent, Group: string(e.Mode)})
	}
	b := ports.New(ports.Config{Members: members, Dial: s.dialPorts(), Notice: s.noticeBehindAgent, Log: s.Log})
	ctx, cancel := context.WithCancel(context.Background())
	for _, l := range s.published {
		go b.Serve(ctx, l)
	}
	s.onCleanup(func(context.Context) error {
		cancel()
		b.Close()
		return nil
	})
	s.listenCalls(b.Begin)
	return b
}

// dialPorts returns what starts the end of a container's port link and connects to it.
func (s *Session) dialPorts() func(context.Context, string) (io.ReadWriteCloser, error) {
	find := func(container string) plan.PortEnd {
		return s.Plan.Ports[slices.IndexFunc(s.Plan.Ports, func(e plan.PortEnd) bool { return e.Container == container })]
	}
	d := &resident.Docker{
		Client: s.Docker, UID: s.Facts.UID, Log: s.Log,
		User:      func(container string) string { return find(container).User },
		Container: func(container string) string { return find(container).Name },
		SocketDir: func(container string) string { return find(container).SocketDir },
		Server: &resident.Server{
			Exec: plan.Ports, Socket: execproto.PortsSocketName, Without: "what goes to and from ports is carried by docker exec",
		},
	}
	return func(ctx context.Context, container string) (io.ReadWriteCloser, error) { return d.Dial(ctx, container) }
}

// beginCall tells the ports of a call; b may be nil.
func beginCall(b *ports.Bridge) func(kind string) (end func()) {
	if b == nil {
		return nil
	}
	return b.Begin
}
