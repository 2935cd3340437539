// Package sessions knows which sessions of aifo-coder there are on this machine, whoever
// runs them: from the labels of containers and networks, and from the locks of those that
// have none yet. It tells the living from the dead, ends the living by a signal to their
// processes, which remove what they made, and removes what the dead left. Of another
// host's sessions it only knows that they are there.
package sessions

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/publish"
)

// State says whether somebody still looks after a session.
type State string

// The states of a session.
const (
	Running   State = "running"   // its process lives
	Dead      State = "dead"      // its process has ended and left something
	Elsewhere State = "elsewhere" // its process is on another host, with the same engine
)

// Session is one run of aifo-coder with containers, or about to have some.
type Session struct {
	ID        string    `json:"id"`
	Agent     string    `json:"agent"` // empty: a command in a sidecar, or its container is not there yet
	Workspace string    `json:"workspace"`
	State     State     `json:"state"`
	Since     time.Time `json:"since"`
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	UID       *int      `json:"uid"`          // of the process; nil: not known
	Memory    *int64    `json:"memory_bytes"` // of all containers; nil: not known of each
	Pane      *Pane     `json:"pane"`         // nil: it is not one of fork mode
	// Ports are those of this machine that lead into it; nil: not known, for its lock, which tells,
	// is another user's or another host's.
	Ports      []publish.Port `json:"ports"`
	Containers []Container    `json:"containers"`

	Owner    hostfacts.Owner `json:"-"`
	Networks []string        `json:"-"` // their ids
	// OtherEngine is the command line of the engine that has its containers, when another was asked.
	OtherEngine string `json:"-"`
}

// Pane is where a session stands in fork mode.
type Pane struct {
	SID   string `json:"sid"`
	Index int    `json:"index"`
	// Repository is what the pane's clone was made from.
	Repository string `json:"repository"`
	// Log is the file that the pane writes to when it runs in the background, or empty.
	Log string `json:"log,omitempty"`
}

// Container is one container of a session.
type Container struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"` // of its toolchain, or plan.KindAgent
	Image   string    `json:"image"`
	State   string    `json:"state"` // as the engine calls it
	Created time.Time `json:"created"`
	Memory  *int64    `json:"memory_bytes"` // nil: not known, or it does not run

	detail docker.Container
}

// Logged reports whether the engine keeps what the container writes.
func (c Container) Logged() bool { return c.detail.LogDriver != "none" }

// User returns the ids, "UID:GID", that tools in the container run as, and false for a
// container that no version of ours made.
func (c Container) User() (string, bool) {
	i := slices.Index(c.detail.Args, "--user")
	if i < 0 || i+1 >= len(c.detail.Args) {
		return "", false
	}
	return c.detail.Args[i+1], true
}

// Workspace returns where in the container the host's directory is, or otherwise.
func (c Container) Workspace(dir, otherwise string) string {
	for _, m := range c.detail.Mounts {
		if m.Type == "bind" && m.Source == dir {
			return m.Destination
		}
	}
	return otherwise
}

// Container returns the session's container of a kind.
func (s Session) Container(kind string) (Container, bool) {
	i := slices.IndexFunc(s.Containers, func(c Container) bool { return c.Kind == kind })
	if i < 0 {
		return Container{}, false
	}
	return s.Containers[i], true
}

// Kinds returns the kinds of the session's containers, the agent's first.
func (s Session) Kinds() []string {
	var kinds []string
	for _, c := range s.Containers {
		kinds = append(kinds, c.Kind)
	}
	return kinds
}

// Finder finds sessions.
type Finder struct {
	Docker     docker.Client
	Self       hostfacts.Owner
	RuntimeDir string          // private, with the locks
	Panes      map[string]Pane // of fork mode, by the ids of their sessions
}

// Find returns all sessions, oldest first. It changes nothing.
func (f Finder) Find(ctx context.Context) ([]Session, error) {
	var (
		asked                 sync.WaitGroup
		networks              []docker.Object
		networksErr, locksErr error
		held                  map[string]lock.Holder
	)
	asked.Go(func() { networks, networksErr = f.Docker.Networks(ctx, plan.LabelSession) })
	containers, err := f.Docker.Details(ctx, plan.LabelSession)
	asked.Wait()
	held, locksErr = lock.Running(f.RuntimeDir)
	if err := errors.Join(err, networksErr, locksErr); err != nil {
		return nil, err
	}
	b := builder{finder: f, byOwner: map[key]*Session{}}
	for _, c := range containers {
		b.container(c)
	}
	for _, n := range networks {
		b.network(n)
	}
	for id, h := range held {
		b.lock(id, h)
	}
	return b.sessions(), nil
}

// key tells sessions apart: a killed one may have had the id of one that runs.
type key struct {
	id    string
	owner hostfacts.Owner
}

// builder puts sessions together from what was found of them.
type builder struct {
	finder  Finder
	byOwner map[key]*Session
}

// session returns the session of an object with labels, nil for one that is none of ours.
func (b *builder) session(o docker.Object) *Session {
	owner, ok := OwnerOf(o)
	if !ok || o.Labels[plan.LabelSession] == "" {
		return nil
	}
	s := b.of(o.Labels[plan.LabelSession], owner)
	s.Workspace = o.Labels[plan.LabelWorkspace]
	return s
}

func (b *builder) of(id string, owner hostfacts.Owner) *Session {
	k := key{id, owner}
	if b.byOwner[k] == nil {
		b.byOwner[k] = &Session{ID: id, Owner: owner, Host: owner.Host, PID: owner.PID, Containers: []Container{}}
	}
	return b.byOwner[k]
}

func (b *builder) container(c docker.Container) {
	s := b.session(c.Object)
	if s == nil {
		return
	}
	kind := c.Labels[plan.LabelKind]
	s.Containers = append(s.Containers, Container{
		ID: c.ID, Name: c.Name, Kind: kind, Image: c.Image, State: c.State, Created: c.Created, detail: c,
	})
	if kind == plan.KindAgent {
		s.Agent = plan.AgentOf(c.Name, s.ID)
	}
	if s.Since.IsZero() || c.Created.Before(s.Since) {
		s.Since = c.Created
	}
}

func (b *builder) network(n docker.Object) {
	if s := b.session(n); s != nil {
		s.Networks = append(s.Networks, n.ID)
	}
}

// lock adds what a held lock says. Those of other things than sessions name no workspace.
func (b *builder) lock(id string, h lock.Holder) {
	if !filepath.IsAbs(h.Workspace) {
		return
	}
	s := b.of(id, hostfacts.Owner{Host: b.finder.Self.Host, PID: h.PID, Start: h.Start})
	s.Workspace, s.Since, s.Ports = h.Workspace, h.Since, append([]publish.Port{}, h.Ports...)
	if h.Engine != b.finder.Docker.Name() && len(s.Containers) == 0 { // docker may be podman's other name
		s.OtherEngine = h.Engine
	}
	s.State = Running // whatever is known of the process: the kernel says that somebody holds it
}

// sessions returns what was found, whole and in order.
func (b *builder) sessions() []Session {
	var list []Session
	for _, s := range b.byOwner {
		if s.State == "" {
			s.State = state(s.Owner, b.finder.Self)
		}
		if s.State == Dead {
			s.Ports = []publish.Port{} // its process has listened
		}
		if uid := s.Owner.UID(b.finder.Self); uid >= 0 {
			s.UID = &uid
		}
		if p, ok := b.finder.Panes[s.ID]; ok {
			s.Pane = &p
		}
		slices.SortFunc(s.Containers, func(a, b Container) int {
			return cmp.Or(compareBool(a.Kind != plan.KindAgent, b.Kind != plan.KindAgent), strings.Compare(a.Kind, b.Kind))
		})
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Session) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID), cmp.Compare(a.PID, b.PID))
	})
	return list
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func state(owner, self hostfacts.Owner) State {
	switch {
	case owner.Host != self.Host:
		return Elsewhere
	case owner.Dead(self):
		return Dead
	}
	return Running
}

// OwnerOf returns the process that an object's labels name, and false for an object that is
// none of ours.
func OwnerOf(o docker.Object) (hostfacts.Owner, bool) {
	return hostfacts.ParseOwner(o.Labels[plan.LabelOwnerHost], o.Labels[plan.LabelOwnerPID], o.Labels[plan.LabelOwnerStart])
}
