package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Endpoint is where the command line reaches its engine.
type Endpoint struct {
	Context string // of docker's contexts; empty: none has a say, as with DOCKER_HOST and with podman
	// Host is the engine's address: unix:///var/run/docker.sock, tcp://HOST:PORT, ssh://HOST. It
	// is empty for podman, which is its own engine unless CONTAINER_HOST or its Info say otherwise.
	Host string
}

// Local reports whether the address is one of this machine alone. What answers there may
// still pass everything on to another.
func (e Endpoint) Local() bool {
	scheme, _, _ := strings.Cut(e.Host, ":")
	return slices.Contains([]string{"", "unix", "npipe"}, scheme)
}

// chosen reports whether somebody has named the engine.
func (e Endpoint) chosen() bool { return e.Host != "" && e.Context != defaultContext }

// String returns the address for people, with the context that it is from.
func (e Endpoint) String() string {
	switch {
	case e.Host == "":
		return "this machine"
	case e.Context == "" || e.Context == defaultContext:
		return e.Host
	}
	return fmt.Sprintf("%s (context %s)", e.Host, e.Context)
}

// defaultContext is what docker calls the absence of a context.
const defaultContext = "default"

// Endpoint returns where the engine is. It asks the command line only when a context is
// chosen, for that costs as much as a question to the engine.
func (c Client) Endpoint(ctx context.Context) (Endpoint, error) {
	if c.Engine == Podman {
		return Endpoint{Host: c.variable("CONTAINER_HOST")}, nil
	}
	if host := c.variable("DOCKER_HOST"); host != "" {
		return Endpoint{Host: host}, nil
	}
	if chosen := c.chosenContext(); chosen == "" || chosen == defaultContext {
		return Endpoint{Context: defaultContext, Host: usualHost(runtime.GOOS)}, nil
	}
	out, err := c.query(ctx, "context", "inspect", "--format", "[{{json .Name}},{{json .Endpoints.docker.Host}}]")
	if err != nil {
		return Endpoint{}, fmt.Errorf("inspect the docker context: %w", err)
	}
	var e Endpoint
	if err := json.Unmarshal(out, &[]any{&e.Context, &e.Host}); err != nil {
		return Endpoint{}, fmt.Errorf("read the docker context: %w", err)
	}
	return e, nil
}

// usualHost is where docker looks for an engine when nothing names one.
func usualHost(goos string) string {
	if goos == "windows" {
		return "npipe:////./pipe/docker_engine"
	}
	return "unix:///var/run/docker.sock"
}

// chosenContext returns the context that docker would use. A file that is not there, or not
// docker's, chooses none.
func (c Client) chosenContext() string {
	if name := c.variable("DOCKER_CONTEXT"); name != "" {
		return name
	}
	dir := c.variable("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".docker")
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	var config struct{ CurrentContext string }
	_ = json.Unmarshal(data, &config) // docker itself says what is wrong with its file
	return config.CurrentContext
}

// variable returns a variable of the environment that the commands have.
func (c Client) variable(name string) string {
	if c.Env == nil {
		return os.Getenv(name)
	}
	value := ""
	for _, kv := range c.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v // as for a program, the last one counts
		}
	}
	return value
}
