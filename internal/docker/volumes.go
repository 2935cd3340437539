package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// sizesTimeout is for the engine to measure all of its volumes, which may be
// large, and whatever else it has.
const sizesTimeout = 5 * time.Minute

// VolumeSizes returns the sizes of the volumes, as the engine tells them to
// people: "412.3MB". Podman tells them in no form that a program can read: there are
// none then.
func (c Client) VolumeSizes(ctx context.Context) (map[string]string, error) {
	if c.Engine == Podman {
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sizesTimeout, &NoAnswerError{After: sizesTimeout})
	defer cancel()
	out, err := proc.Output(ctx, c.Cmd([]string{"system", "df", "--verbose", "--format", "{{json .Volumes}}"}))
	if err != nil {
		return nil, fmt.Errorf("ask for the sizes of the volumes: %w", err)
	}
	var volumes []struct{ Name, Size string }
	if err := json.Unmarshal(out, &volumes); err != nil {
		return nil, fmt.Errorf("read the sizes of the volumes: %w", err)
	}
	sizes := map[string]string{}
	for _, v := range volumes {
		sizes[v.Name] = v.Size
	}
	return sizes, nil
}

// VolumeUser is a container, running or not, that uses volumes.
type VolumeUser struct {
	Object
	Volumes []string
}

// VolumeUsers returns the containers that use any of the volumes.
func (c Client) VolumeUsers(ctx context.Context, volumes []string) ([]VolumeUser, error) {
	if len(volumes) == 0 {
		return nil, nil
	}
	ls := []string{"container", "ls", "--all", "--no-trunc"}
	for _, v := range volumes {
		ls = append(ls, "--filter", "volume="+v)
	}
	out, err := c.query(ctx, append(ls, "--format", "{{.ID}}")...)
	if err != nil {
		return nil, fmt.Errorf("list the containers that use volumes: %w", err)
	}
	ids := strings.Fields(string(out))
	if len(ids) == 0 {
		return nil, nil
	}
	// Podman knows .Id by this word alone, and not as the argument of json.
	const format = `["{{.Id}}",{{json .Config.Labels}},{{json .Mounts}}]`
	out, err = c.query(ctx, append([]string{"container", "inspect", "--format", format}, ids...)...)
	if _, err := c.found(err); err != nil { // some may be gone since they were listed
		return nil, fmt.Errorf("inspect the containers that use volumes: %w", err)
	}
	return volumeUsers(string(out), volumes)
}

// volumeUsers reads lines of an id, labels and mounts.
func volumeUsers(out string, volumes []string) ([]VolumeUser, error) {
	var users []VolumeUser
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var (
			u      VolumeUser
			mounts []struct{ Name string }
		)
		if err := json.Unmarshal([]byte(line), &[]any{&u.ID, &u.Labels, &mounts}); err != nil {
			return nil, fmt.Errorf("read the mounts of a container: %w", err)
		}
		for _, m := range mounts {
			if slices.Contains(volumes, m.Name) {
				u.Volumes = append(u.Volumes, m.Name)
			}
		}
		users = append(users, u)
	}
	return users, nil
}
