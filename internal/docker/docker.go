// Package docker is the docker command line, typed: each function runs one
// command and returns what it answered as values. It reads JSON and formats,
// never tables for people, so contexts, remote engines and compatible command
// lines work.
package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// The command lines that can be chosen.
const (
	Program = "docker"
	Podman  = "podman"
)

// queryTimeout bounds commands that only ask the engine something.
const queryTimeout = 20 * time.Second

// Client runs the commands of one engine. The zero value is docker's.
type Client struct {
	Engine string   // Program or Podman; empty: Program
	Env    []string // environment of every command; nil: ours
	// Trace, when set, is told each command that changes something.
	Trace func(argv []string)
}

// Name returns the name of the command line.
func (c Client) Name() string { return cmp.Or(c.Engine, Program) }

// With returns a client whose commands have further variables.
func (c Client) With(variables map[string]string) Client {
	if c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = slices.Clip(c.Env)
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		c.Env = append(c.Env, name+"="+variables[name])
	}
	return c
}

// EngineError says that the command line is there but its engine does not answer.
type EngineError struct {
	Engine   string   // Program or Podman; empty: Program
	Endpoint Endpoint // where it was asked; the zero value where that is not known
	Err      error
}

func (e *EngineError) Error() string {
	switch {
	case e.Engine == Podman:
		return "podman does not answer: " + e.Err.Error()
	case e.Endpoint.chosen():
		return fmt.Sprintf("the Docker engine at %s does not answer: %v", e.Endpoint, e.Err)
	}
	return "the Docker engine does not answer: " + e.Err.Error()
}
func (e *EngineError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *EngineError) Hint() string {
	switch {
	case e.Engine == Podman:
		return "see what it says itself: podman info"
	case e.Endpoint.chosen() && e.Endpoint.Context == "":
		return "aifo-coder doctor finds out why; DOCKER_HOST names this engine: start it, or unset the variable to have this machine's"
	case e.Endpoint.chosen():
		return "aifo-coder doctor finds out why; a docker context names this engine: start it, or choose this machine's: docker context use default"
	}
	return "aifo-coder doctor finds out why; if it does not run, start it (systemctl start docker), or in a checkout of aifo-coder run: scripts/engine ensure"
}

// NoAnswerError says that the engine let a question wait for too long.
type NoAnswerError struct{ After time.Duration }

func (e *NoAnswerError) Error() string { return fmt.Sprintf("no answer within %s", e.After) }

// Info is what the program needs to know of an engine.
type Info struct {
	// Engine is the kind of the engine, Program or Podman: the command line docker may be
	// podman under that name.
	Engine          string `json:"-"`
	ServerVersion   string
	OperatingSystem string
	OSType          string
	Architecture    string // as uname -m gives it: x86_64, aarch64
	SecurityOptions []string
	ServerErrors    []string
	MemTotal        int64  // bytes
	MemoryLimit     bool   // containers can be given a limit of memory
	PidsLimit       bool   // and of processes
	DefaultRuntime  string // such as runc
	Name            string // of the engine's machine
	KernelVersion   string
	DockerRootDir   string // a directory of the engine's machine
	// Remote says that podman itself tells of being a client of another machine's.
	Remote bool `json:"-"`
}

// kernelRuntimes are the names of runtimes whose containers are processes of the engine's own kernel.
var kernelRuntimes = []string{"", "runc", "io.containerd.runc.v2", "crun", "youki", "nvidia", "sysbox-runc"}

// SharesKernel reports whether containers are known to be processes of the engine's kernel. Those of gVisor and
// Kata have a kernel of their own, and see files by other numbers.
func (i Info) SharesKernel() bool { return slices.Contains(kernelRuntimes, i.DefaultRuntime) }

// UserNamespaces reports whether the engine maps the ids of all containers to others of the
// host (userns-remap).
func (i Info) UserNamespaces() bool { return i.hasOption("userns") }

// Podman reports whether the engine is podman, under whatever name.
func (i Info) Podman() bool { return i.Engine == Podman }

// Rootless reports whether the engine runs without root, so that uid 0 in a
// container is the user on the host.
func (i Info) Rootless() bool { return i.hasOption("rootless") }

// AppArmor reports whether the engine confines containers by AppArmor.
func (i Info) AppArmor() bool { return i.hasOption("apparmor") }

// SELinux reports whether the engine confines containers by SELinux.
func (i Info) SELinux() bool { return i.hasOption("selinux") }

// Seccomp reports whether the engine filters the system calls of containers.
func (i Info) Seccomp() bool {
	return i.hasOption("seccomp") && !slices.Contains(i.SecurityOptions, "name=seccomp,profile=unconfined")
}

func (i Info) hasOption(name string) bool {
	for _, o := range i.SecurityOptions {
		if o == "name="+name || strings.HasPrefix(o, "name="+name+",") {
			return true
		}
	}
	return false
}

// Desktop reports whether the engine lives in a virtual machine of Docker
// Desktop, which forwards host.docker.internal to the host's loopback.
func (i Info) Desktop() bool { return strings.Contains(i.OperatingSystem, "Docker Desktop") }

// GOARCH returns the engine's architecture as Go names it.
func (i Info) GOARCH() string {
	switch i.Architecture {
	case "aarch64", "arm64":
		return "arm64"
	}
	return "amd64"
}

// Info asks the engine about itself. It returns a *proc.NotFoundError without
// docker, and an *EngineError when no engine answers.
func (c Client) Info(ctx context.Context) (Info, error) {
	out, err := c.query(ctx, "info", "--format", "{{json .}}")
	var notFound *proc.NotFoundError
	if errors.As(err, &notFound) {
		return Info{}, err
	}
	info, jsonErr := readInfo(out)
	if err == nil && jsonErr != nil {
		err = fmt.Errorf("read %s info: %w", c.Name(), jsonErr)
	}
	// docker info exits with 0 on some versions when only the client answers.
	if err == nil && len(info.ServerErrors) > 0 {
		err = errors.New(info.ServerErrors[0])
	}
	if err != nil {
		return Info{}, c.EngineError(ctx, err)
	}
	return info, nil
}

// EngineError returns what an error of asking the engine means when it is the engine's.
func (c Client) EngineError(ctx context.Context, err error) error {
	at, _ := c.Endpoint(ctx) // said where it is known
	return &EngineError{Engine: c.Name(), Endpoint: at, Err: err}
}

// readInfo reads the answer of either engine.
func readInfo(out []byte) (Info, error) {
	var p podmanInfo
	if err := json.Unmarshal(out, &p); err == nil && p.Host.OS != "" {
		return p.info(), nil
	}
	info := Info{Engine: Program}
	err := json.Unmarshal(out, &info)
	return info, err
}

// Versions are that of the command line, and which of docker's contexts it uses.
type Versions struct {
	Version string
	Context string // empty: the command line knows none
}

// Versions asks the command line about itself; no engine has to answer. It returns a
// *proc.NotFoundError without it.
func (c Client) Versions(ctx context.Context) (Versions, error) {
	out, err := c.query(ctx, "version", "--format", "{{json .}}")
	var v struct{ Client Versions }
	if jsonErr := json.Unmarshal(out, &v); jsonErr == nil {
		return v.Client, nil // whatever became of the engine
	}
	if err == nil {
		err = fmt.Errorf("%s version printed no JSON", c.Name())
	}
	return Versions{}, err
}

// ImageMachine is the operating system and the processor that an image is for, as Go names
// them.
type ImageMachine struct{ OS, Arch string }

// ImageMachines returns what images, all of them present, are for.
func (c Client) ImageMachines(ctx context.Context, refs []string) (map[string]ImageMachine, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	out, err := c.query(ctx, append([]string{"image", "inspect", "--format", "{{.Os}} {{.Architecture}}", "--"}, refs...)...)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err == nil && len(lines) != len(refs) {
		err = fmt.Errorf("%s told of %d images in place of %d", c.Name(), len(lines), len(refs))
	}
	if err != nil {
		return nil, fmt.Errorf("inspect the images: %w", err)
	}
	machines := map[string]ImageMachine{}
	for i, line := range lines {
		system, arch, _ := strings.Cut(line, " ")
		machines[refs[i]] = ImageMachine{OS: system, Arch: arch}
	}
	return machines, nil
}

// ImagePresent reports whether the engine has the image locally.
func (c Client) ImagePresent(ctx context.Context, ref string) (bool, error) {
	_, err := c.query(ctx, "image", "inspect", "--format", "{{.Id}}", "--", ref)
	return c.found(err)
}

// ImagesPresent reports which of the images the engine has locally. It asks for
// all in one command, since starting that is most of the cost. An answer has the
// names of an image but not the one by which it was found: when they do not tell
// which images were found, it asks for each.
func (c Client) ImagesPresent(ctx context.Context, refs []string) (map[string]bool, error) {
	present := map[string]bool{}
	refs = slices.Compact(slices.Sorted(slices.Values(refs)))
	if len(refs) == 0 {
		return present, nil
	}
	out, err := c.query(ctx, append([]string{"image", "inspect", "--format", "{{json .RepoTags}}", "--"}, refs...)...)
	if _, err := c.found(err); err != nil {
		return nil, fmt.Errorf("inspect the images: %w", err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	known := 0
	for _, ref := range refs {
		present[ref] = slices.ContainsFunc(c.localNames(ref), func(name string) bool {
			return strings.Contains(string(out), strconv.Quote(name))
		})
		if present[ref] {
			known++
		}
	}
	if answers[0] == "" && known == 0 || known == len(answers) {
		return present, nil
	}
	return present, c.eachPresent(ctx, present)
}

func (c Client) eachPresent(ctx context.Context, present map[string]bool) error {
	for ref, known := range present {
		if known {
			continue
		}
		var err error
		if present[ref], err = c.ImagePresent(ctx, ref); err != nil {
			return fmt.Errorf("inspect image %s: %w", ref, err)
		}
	}
	return nil
}

// localNames returns the names under which the engine may list an image that it finds by
// ref. Podman has a registry in all of them: that of an image which was built here, or loaded,
// is localhost.
func (c Client) localNames(ref string) []string {
	names := []string{tagged(ref)}
	if c.Engine == Podman {
		names = append(names, "localhost/"+tagged(ref), "docker.io/library/"+tagged(ref), "docker.io/"+tagged(ref))
	}
	return names
}

// tagged returns the reference with the tag that it has when none is said.
func tagged(ref string) string {
	if strings.ContainsAny(ref[strings.LastIndex(ref, "/")+1:], ":@") {
		return ref
	}
	return ref + ":latest"
}

// found turns the answer of an inspect into whether the object exists: docker
// exits with 1 for a missing one, podman with what it has for every failure. A
// broken connection has been ruled out by an earlier Info, or shows in the next command.
func (c Client) found(err error) (bool, error) {
	const podmanFailed = 125
	var exit *proc.ExitError
	if errors.As(err, &exit) && (exit.Code == 1 || c.Engine == Podman && exit.Code == podmanFailed) {
		return false, nil
	}
	return err == nil, err
}

// NetworkExists reports whether a network of that name exists.
func (c Client) NetworkExists(ctx context.Context, name string) (bool, error) {
	_, err := c.query(ctx, "network", "inspect", "--format", "{{.Id}}", "--", name)
	return c.found(err)
}

// RemoveNetwork removes a network; one that is gone, or was never made, is no error.
func (c Client) RemoveNetwork(ctx context.Context, nameOrID string) error {
	err := c.Do(ctx, dockerargs.NetworkRemove(nameOrID))
	if err == nil {
		return nil
	}
	if exists, askErr := c.NetworkExists(ctx, nameOrID); askErr == nil && !exists {
		return nil
	}
	return err
}

// Bridge is where a bridge network is.
type Bridge struct {
	Gateway netip.Addr // of the host in it, IPv4; the zero value when the engine does not say
	Subnets []netip.Prefix
}

// HostAddress returns the IPv4 address of the host in the network, of the host's own
// addresses where the engine does not say: on its first start Docker 20.10 does not.
func (b Bridge) HostAddress(own []netip.Addr) (netip.Addr, bool) {
	if b.Gateway.IsValid() {
		return b.Gateway, true
	}
	for _, addr := range own {
		if addr.Is4() && slices.ContainsFunc(b.Subnets, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// Bridge returns where the network of that name is.
func (c Client) Bridge(ctx context.Context, name string) (Bridge, error) {
	format := "{{json .IPAM.Config}}"
	if c.Engine == Podman {
		format = "{{json .Subnets}}"
	}
	out, err := c.query(ctx, "network", "inspect", "--format", format, "--", name)
	if err != nil {
		return Bridge{}, fmt.Errorf("inspect network %s: %w", name, err)
	}
	var configs []struct{ Gateway, Subnet string }
	if err := json.Unmarshal(out, &configs); err != nil {
		return Bridge{}, fmt.Errorf("read the addresses of network %s: %w", name, err)
	}
	var b Bridge
	for _, c := range configs { // the names are written small by podman, which is the same to the decoder
		if addr, err := netip.ParseAddr(c.Gateway); err == nil && addr.Is4() && !b.Gateway.IsValid() {
			b.Gateway = addr
		}
		if subnet, err := netip.ParsePrefix(c.Subnet); err == nil {
			b.Subnets = append(b.Subnets, subnet)
		}
	}
	return b, nil
}

// Object is a container or a network that carries labels of ours.
type Object struct {
	ID     string
	Labels map[string]string
}

// Containers returns the containers, running or not, that carry the labels.
func (c Client) Containers(ctx context.Context, labels ...string) ([]Object, error) {
	return c.labelled(ctx, "container", "{{json .Config.Labels}}", []string{"container", "ls", "--all", "--no-trunc"}, labels)
}

// Networks returns the networks that carry the labels.
func (c Client) Networks(ctx context.Context, labels ...string) ([]Object, error) {
	return c.labelled(ctx, "network", "{{json .Labels}}", []string{"network", "ls", "--no-trunc"}, labels)
}

func (c Client) labelled(ctx context.Context, noun, format string, ls, labels []string) ([]Object, error) {
	out, err := c.inspected(ctx, noun, "{{.Id}} "+format, ls, labels)
	if err != nil {
		return nil, err
	}
	return objects(noun, out)
}

// inspected lists ids, then inspects them: the labels that ls prints are joined
// by commas, which a label's value may hold too.
func (c Client) inspected(ctx context.Context, noun, format string, ls, labels []string) (string, error) {
	for _, l := range labels {
		ls = append(ls, "--filter", "label="+l)
	}
	out, err := c.query(ctx, append(ls, "--format", "{{.ID}}")...)
	if err != nil {
		return "", fmt.Errorf("list %ss: %w", noun, err)
	}
	ids := strings.Fields(string(out))
	if len(ids) == 0 {
		return "", nil
	}
	out, err = c.query(ctx, append([]string{noun, "inspect", "--format", format}, ids...)...)
	if _, err := c.found(err); err != nil { // some may be gone since they were listed
		return "", fmt.Errorf("inspect %ss: %w", noun, err)
	}
	return string(out), nil
}

// objects reads lines of an id and labels.
func objects(noun, out string) ([]Object, error) {
	var list []Object
	for line := range strings.Lines(out) {
		id, labels, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		o := Object{ID: id}
		if err := json.Unmarshal([]byte(labels), &o.Labels); err != nil {
			return nil, fmt.Errorf("read the labels of %s %s: %w", noun, id, err)
		}
		list = append(list, o)
	}
	return list, nil
}

// Volumes returns which of the named volumes exist.
func (c Client) Volumes(ctx context.Context, names []string) ([]string, error) {
	out, err := c.query(ctx, "volume", "ls", "--format", "{{.Name}}")
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	have := map[string]bool{}
	for _, n := range strings.Fields(string(out)) {
		have[n] = true
	}
	var found []string
	for _, n := range names {
		if have[n] {
			found = append(found, n)
		}
	}
	return found, nil
}

// Do runs a command that changes something on the engine and discards its output.
func (c Client) Do(ctx context.Context, argv []string) error {
	cmd := c.Cmd(argv)
	c.Traced(cmd.Argv)
	err := proc.Run(ctx, cmd)
	if exit := (*proc.ExitError)(nil); errors.As(err, &exit) {
		exit.Stderr = WithoutAdvice(exit.Stderr) // our caller did not type a docker command
	}
	return err
}

// WithoutAdvice returns what docker run says when it fails, without the advice to see its help, which
// comes after the reason.
func WithoutAdvice(text string) string {
	text, _, _ = strings.Cut(text, "\nSee '")
	text, _, _ = strings.Cut(text, "\n\nRun '")
	return strings.TrimSpace(text)
}

// Cmd returns a command of the engine that a terminal's Ctrl-C does not reach, for a
// caller that sets its streams.
func (c Client) Cmd(argv []string) proc.Cmd {
	return proc.Cmd{Argv: append([]string{c.Name()}, argv...), Env: c.Env, Detached: true}
}

func (c Client) query(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, queryTimeout, &NoAnswerError{After: queryTimeout})
	defer cancel()
	return proc.Output(ctx, c.Cmd(args))
}

// ContainerRunning reports whether a container of that name exists and runs.
func (c Client) ContainerRunning(ctx context.Context, name string) (bool, error) {
	out, err := c.query(ctx, "container", "inspect", "--format", "{{.State.Running}}", "--", name)
	exists, err := c.found(err)
	return exists && strings.TrimSpace(string(out)) == "true", err
}

// Logs returns what a container wrote to standard error, trimmed.
func (c Client) Logs(ctx context.Context, name string) (string, error) {
	var stderr strings.Builder
	cmd := c.Cmd([]string{"container", "logs", "--tail", "20", "--", name})
	cmd.Stderr = &stderr
	err := proc.Run(ctx, cmd)
	return strings.TrimSpace(stderr.String()), err
}

// Traced reports a command that a caller runs by itself.
func (c Client) Traced(argv []string) {
	if c.Trace != nil {
		c.Trace(argv)
	}
}
