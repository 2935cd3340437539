package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
)

// Container is a container that carries labels of ours, as the engine shows it.
type Container struct {
	Object
	Name      string
	Image     string // as it was asked for
	State     string // "created", "running", "exited"…
	PID       int    // of its first process, on the engine's host; 0: it does not run
	Created   time.Time
	LogDriver string
	Args      []string // of its entry point
	Mounts    []Mount
}

// Mount is something of the host's in a container.
type Mount struct{ Type, Source, Destination string }

// detailsFormat asks for the fields of a Container, in the order in which details reads them.
const detailsFormat = `["{{.Id}}",` + "{{json .Config.Labels}},{{json .Name}},{{json .Config.Image}},{{json .State.Status}}," +
	"{{json .State.Pid}},{{json .Created}},{{json .HostConfig.LogConfig.Type}},{{json .Config.Cmd}},{{json .Mounts}}]"

// Details returns the containers, running or not, that carry the labels.
func (c Client) Details(ctx context.Context, labels ...string) ([]Container, error) {
	out, err := c.inspected(ctx, "container", detailsFormat, []string{"container", "ls", "--all", "--no-trunc"}, labels)
	if err != nil {
		return nil, err
	}
	return details(out)
}

func details(out string) ([]Container, error) {
	var list []Container
	for line := range strings.Lines(out) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var c Container
		fields := []any{&c.ID, &c.Labels, &c.Name, &c.Image, &c.State, &c.PID, &c.Created, &c.LogDriver, &c.Args, &c.Mounts}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			return nil, fmt.Errorf("read what the engine says of a container: %w", err)
		}
		c.Name = strings.TrimPrefix(c.Name, "/")
		list = append(list, c)
	}
	return list, nil
}

// Path returns the value of PATH that programs in a container start with, "" for none.
func (c Client) Path(ctx context.Context, container string) (string, error) {
	out, err := c.query(ctx, "container", "inspect", "--format", "{{json .Config.Env}}", "--", container)
	if err != nil {
		return "", fmt.Errorf("inspect container %s: %w", container, err)
	}
	var env []string
	if err := json.Unmarshal(out, &env); err != nil {
		return "", fmt.Errorf("read the environment of container %s: %w", container, err)
	}
	for _, v := range env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			return path, nil
		}
	}
	return "", nil
}

// Memory returns the memory that running containers use, in bytes, by their ids. The engine
// takes a second or two, for it measures their processors too.
func (c Client) Memory(ctx context.Context, ids []string) (map[string]int64, error) {
	out, err := c.query(ctx, append([]string{"stats", "--no-stream", "--no-trunc", "--format", "[{{json .ID}},{{json .MemUsage}}]"}, ids...)...)
	if err != nil {
		return nil, fmt.Errorf("ask for the memory of containers: %w", err)
	}
	used := map[string]int64{}
	for line := range strings.Lines(string(out)) {
		var id, text string
		if err := json.Unmarshal([]byte(line), &[]any{&id, &text}); err != nil {
			continue // an empty line, or a container that has just ended
		}
		amount, _, _ := strings.Cut(text, " / ")
		if n, err := units.RAMInBytes(strings.TrimSpace(amount)); err == nil && n > 0 {
			used[id] = n
		}
	}
	return used, nil
}
