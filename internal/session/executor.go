package session

import (
	"context"

	"github.com/aifo-coder/aifo-coder/internal/dockerexec"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/resident"
)

// executor runs calls in sidecars that have been started.
type executor interface {
	execproxy.Executor
	// Open waits until the sidecar of kind takes calls.
	Open(ctx context.Context, kind string) error
	// Offers reports whether the image of kind has the tool.
	Offers(ctx context.Context, kind, tool string) (bool, error)
}

func (s *Session) executor() executor {
	plain := s.plainExecutor()
	if s.Plan.Exec == plan.ExecDocker {
		return plain
	}
	dirs := map[string]string{}
	for _, one := range s.Plan.Sidecars {
		dirs[one.Kind] = one.SocketDir
	}
	d := &resident.Docker{
		Client: s.Docker, User: plain.User, Container: plain.Container, UID: s.Facts.UID, Log: s.Log,
		SocketDir: func(kind string) string { return dirs[kind] },
	}
	return resident.New(resident.Config{Dial: d.Dial, Alive: plain.Alive, Grace: s.Plan.ToolGrace})
}

func (s *Session) plainExecutor() *dockerexec.Executor {
	users, names := map[string]string{}, map[string]string{}
	for _, one := range s.Plan.Sidecars {
		users[one.Kind], names[one.Kind] = one.User, one.Run.Name
	}
	return &dockerexec.Executor{
		Docker: s.Docker, User: func(kind string) string { return users[kind] }, Grace: s.Plan.ToolGrace,
		Container: func(kind string) string { return names[kind] },
	}
}

// closeExecutor ends what an executor keeps in the sidecars.
func closeExecutor(e executor) {
	if r, ok := e.(*resident.Executor); ok {
		r.Close()
	}
}
