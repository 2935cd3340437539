package sessions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// Sweep removes the containers and networks of sessions whose process on this
// host is dead.
func Sweep(ctx context.Context, c docker.Client, self hostfacts.Owner) error {
	containers, err := c.Containers(ctx, plan.LabelSession)
	if err != nil {
		return err
	}
	if ids := orphans(containers, self); len(ids) > 0 {
		if err := c.Do(ctx, dockerargs.Remove(ids...)); err != nil {
			return fmt.Errorf("remove left containers: %w", err)
		}
	}
	networks, err := c.Networks(ctx, plan.LabelSession)
	if err != nil {
		return err
	}
	for _, id := range orphans(networks, self) {
		if err := c.Do(ctx, dockerargs.NetworkRemove(id)); err != nil {
			return fmt.Errorf("remove a left network: %w", err)
		}
	}
	return nil
}

// orphans returns the ids of the objects whose owner is dead.
func orphans(objects []docker.Object, self hostfacts.Owner) []string {
	var ids []string
	for _, o := range objects {
		if owner, ok := OwnerOf(o); ok && state(owner, self) == Dead {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// Type says what a leftover is.
type Type string

// The types of leftovers.
const (
	TypeContainer Type = "container"
	TypeNetwork   Type = "network"
	TypeLock      Type = "lock"
	TypeSockets   Type = "sockets" // the directory of a session's sockets
	TypeLog       Type = "log"     // of the network, without an entry
)

// Leftover is one thing that a killed session left.
type Leftover struct {
	Type    Type   `json:"type"`
	Name    string `json:"name"`    // of files: their path
	Session string `json:"session"` // empty: not known
	Removed bool   `json:"removed"`

	id string // of the engine's objects
}

// Cleaner finds and removes what killed sessions left.
type Cleaner struct {
	Finder
	Logs []jsonlog.Store // those of which a session that ends removes an empty one
}

// Left returns what is left, the engine's objects first, in the order in which they can be
// removed. It changes nothing.
func (c Cleaner) Left(ctx context.Context) ([]Leftover, error) {
	list, err := c.Find(ctx)
	if err != nil {
		return nil, err
	}
	left := leftObjects(list)
	files, err := lock.Left(c.RuntimeDir)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		left = append(left, leftFile(path))
	}
	logs, err := c.emptyLogs(list)
	return append(left, logs...), err
}

func leftObjects(list []Session) []Leftover {
	var containers, networks []Leftover
	for _, s := range list {
		if s.State != Dead {
			continue
		}
		for _, one := range s.Containers {
			containers = append(containers, Leftover{Type: TypeContainer, Name: one.Name, Session: s.ID, id: one.ID})
		}
		for _, id := range s.Networks {
			networks = append(networks, Leftover{Type: TypeNetwork, Name: plan.NetworkName(s.ID), Session: s.ID, id: id})
		}
	}
	return append(containers, networks...)
}

func leftFile(path string) Leftover {
	l := Leftover{Type: TypeLock, Name: path, Session: lock.Name(path)}
	if filepath.Ext(path) == "" {
		l.Type = TypeSockets
	}
	return l
}

// emptyLogs returns the logs without an entry, of sessions that do not live.
func (c Cleaner) emptyLogs(list []Session) ([]Leftover, error) {
	var logs []jsonlog.Log
	for _, store := range c.Logs {
		kept, err := store.List()
		if err != nil {
			return nil, err
		}
		logs = append(logs, kept...)
	}
	var left []Leftover
	for _, l := range logs {
		alive := slices.ContainsFunc(list, func(s Session) bool { return s.ID == l.Session && s.State != Dead })
		if info, err := os.Stat(l.Path); err == nil && info.Size() == 0 && !alive {
			left = append(left, Leftover{Type: TypeLog, Name: l.Path, Session: l.Session})
		}
	}
	return left, nil
}

// Remove removes what Left returned, and notes what is gone. What cannot be removed does
// not keep the rest from going.
func (c Cleaner) Remove(ctx context.Context, left []Leftover) error {
	err := c.removeContainers(ctx, left)
	for i, l := range left {
		switch l.Type {
		case TypeNetwork:
			left[i].Removed, err = noted(err, c.removeNetwork(ctx, l))
		case TypeLog:
			left[i].Removed, err = noted(err, os.Remove(l.Name))
		}
	}
	return errors.Join(err, c.removeFiles(left))
}

// noted adds the error of a removal to those before, and says whether there was none.
func noted(before, err error) (removed bool, all error) { return err == nil, errors.Join(before, err) }

// removeContainers removes all in one command, which takes the engine no longer than one.
func (c Cleaner) removeContainers(ctx context.Context, left []Leftover) error {
	var ids []string
	for _, l := range left {
		if l.Type == TypeContainer {
			ids = append(ids, l.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err := c.Docker.Do(ctx, dockerargs.Remove(ids...))
	there, askErr := c.Docker.Containers(ctx, plan.LabelSession)
	if askErr != nil {
		return errors.Join(err, askErr)
	}
	var still []string
	for i, l := range left {
		if l.Type != TypeContainer {
			continue
		}
		left[i].Removed = !slices.ContainsFunc(there, func(o docker.Object) bool { return o.ID == l.id })
		if !left[i].Removed {
			still = append(still, l.Name)
		}
	}
	if len(still) == 0 {
		return nil // another command removed what ours could not
	}
	if err == nil {
		err = errors.New("the engine still lists them")
	}
	return fmt.Errorf("remove the containers %s: %w", strings.Join(still, ", "), err)
}

func (c Cleaner) removeNetwork(ctx context.Context, l Leftover) error {
	if err := c.Docker.RemoveNetwork(ctx, l.id); err != nil {
		return fmt.Errorf("remove network %s: %w", l.Name, err)
	}
	return nil
}

// removeFiles removes locks and directories of sockets as every session does, which takes
// each lock first: its name may be a new session's by now.
func (c Cleaner) removeFiles(left []Leftover) error {
	err := lock.Sweep(c.RuntimeDir)
	for i, l := range left {
		if l.Type != TypeLock && l.Type != TypeSockets {
			continue
		}
		_, statErr := os.Lstat(l.Name)
		left[i].Removed = errors.Is(statErr, os.ErrNotExist)
	}
	return err
}
