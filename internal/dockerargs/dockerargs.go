// Package dockerargs builds the argument vectors of the docker command line
// from specs. It is pure: the same spec gives the same bytes, nothing is
// looked up, and a value is never interpreted by a shell. Quote exists for
// showing a vector to a person, not for running it.
package dockerargs

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Mount is one --mount.
type Mount struct {
	Type     string // "bind", "volume" or "tmpfs"
	Source   string // host path or volume name; empty for tmpfs
	Target   string
	ReadOnly bool
}

// Bind returns a bind mount.
func Bind(source, target string) Mount { return Mount{Type: "bind", Source: source, Target: target} }

// BindRO returns a read-only bind mount.
func BindRO(source, target string) Mount {
	return Mount{Type: "bind", Source: source, Target: target, ReadOnly: true}
}

// Volume returns a mount of a named volume.
func Volume(name, target string) Mount { return Mount{Type: "volume", Source: name, Target: target} }

// value is the mount as one CSV record, which is what docker parses it as: a
// path with a comma or a quote survives. --volume would split at colons.
func (m Mount) value() string {
	fields := []string{"type=" + m.Type}
	if m.Source != "" {
		fields = append(fields, "source="+m.Source)
	}
	fields = append(fields, "target="+m.Target)
	switch {
	case m.ReadOnly && m.Type == "tmpfs":
		fields = append(fields, "ro") // podman knows readonly for mounts of files alone, docker both for all
	case m.ReadOnly:
		fields = append(fields, "readonly")
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(fields) // a bytes.Buffer takes every write
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// Tmpfs is one --tmpfs: a file system in memory whose owner is not root, which --mount
// has no word for.
type Tmpfs struct {
	Target   string // without a colon
	UID, GID int    // who owns it, with mode 0700
	Size     int64  // bytes
	// AnyOwner lets every user of the container write, for podman, which takes no owner.
	AnyOwner bool
}

func (t Tmpfs) value() string {
	if t.AnyOwner {
		return fmt.Sprintf("%s:mode=1777,size=%d", t.Target, t.Size)
	}
	return fmt.Sprintf("%s:mode=0700,uid=%d,gid=%d,size=%d", t.Target, t.UID, t.GID, t.Size)
}

// Env is one --env. Secret keeps the value out of the vector: docker then
// takes it from its own environment, which the caller must set.
type Env struct {
	Name   string
	Value  string
	Secret bool
}

func (e Env) value() string {
	if e.Secret {
		return e.Name
	}
	return e.Name + "=" + e.Value
}

// Run is one `docker run`.
type Run struct {
	Detach      bool
	Remove      bool
	Interactive bool
	TTY         bool

	Name      string
	Hostname  string
	Network   string
	AddHosts  []string // NAME:ADDRESS
	Labels    map[string]string
	Mounts    []Mount
	Tmpfs     []Tmpfs
	Workdir   string
	Env       []Env
	User      string
	CapAdd    []string // everything else is dropped
	Security  []string // --security-opt, beside no-new-privileges
	PidsLimit int
	Memory    int64  // bytes; 0: no limit
	CPUs      string // a decimal number of processors; empty: no limit
	GPUs      string // as docker run --gpus takes it
	LogDriver string
	// NoHostProxies keeps podman from giving the container the proxies of its own environment.
	NoHostProxies bool
	Entrypoint    string
	Image         string
	Args          []string
}

// Targets returns the paths of the container at which something is mounted.
func (r Run) Targets() []string {
	var list []string
	for _, m := range r.Mounts {
		list = append(list, m.Target)
	}
	for _, t := range r.Tmpfs {
		list = append(list, t.Target)
	}
	return list
}

// Argv returns the vector, beginning with "run". Every container runs with
// --init, without capabilities but those of CapAdd, without new privileges, and
// never pulls: pulling is a step of its own.
func (r Run) Argv() []string {
	b := builder{argv: []string{"run"}}
	b.flag(r.Detach, "--detach")
	b.flag(r.Remove, "--rm")
	b.flag(r.Interactive, "--interactive")
	b.flag(r.TTY, "--tty")
	b.add("--init", "--pull=never")
	b.option("--name", r.Name)
	b.option("--hostname", r.Hostname)
	b.option("--network", r.Network)
	b.options("--add-host", r.AddHosts)
	for _, k := range slices.Sorted(maps.Keys(r.Labels)) {
		b.option("--label", k+"="+r.Labels[k])
	}
	b.option("--user", r.User)
	b.option("--cap-drop", "ALL")
	b.options("--cap-add", r.CapAdd)
	b.option("--security-opt", "no-new-privileges")
	b.options("--security-opt", r.Security)
	if r.PidsLimit > 0 {
		b.option("--pids-limit", strconv.Itoa(r.PidsLimit))
	}
	if r.Memory > 0 {
		b.option("--memory", strconv.FormatInt(r.Memory, 10))
	}
	b.option("--cpus", r.CPUs)
	b.option("--gpus", r.GPUs)
	b.option("--log-driver", r.LogDriver)
	b.flag(r.NoHostProxies, "--http-proxy=false")
	for _, m := range r.Mounts {
		b.option("--mount", m.value())
	}
	for _, t := range r.Tmpfs {
		b.option("--tmpfs", t.value())
	}
	b.env(r.Env)
	b.option("--workdir", r.Workdir)
	b.option("--entrypoint", r.Entrypoint)
	b.add(r.Image)
	b.add(r.Args...)
	return b.argv
}

// Exec is one `docker exec`.
type Exec struct {
	Interactive bool
	TTY         bool
	User        string
	Env         []Env
	Container   string
	Args        []string
}

// Argv returns the vector, beginning with "exec".
func (e Exec) Argv() []string {
	b := builder{argv: []string{"exec"}}
	b.flag(e.Interactive, "--interactive")
	b.flag(e.TTY, "--tty")
	b.option("--user", e.User)
	b.env(e.Env)
	b.add(e.Container)
	b.add(e.Args...)
	return b.argv
}

// NetworkCreate returns the vector that creates a bridge network.
func NetworkCreate(name string, labels map[string]string) []string {
	b := builder{argv: []string{"network", "create", "--driver", "bridge"}}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		b.option("--label", k+"="+labels[k])
	}
	b.add(name)
	return b.argv
}

// NetworkRemove returns the vector that removes a network.
func NetworkRemove(name string) []string { return []string{"network", "rm", name} }

// Remove returns the vector that ends and removes containers with their
// anonymous volumes, without a grace period.
func Remove(containers ...string) []string {
	return append([]string{"rm", "--force", "--volumes"}, containers...)
}

// Logs returns the vector that prints what a container wrote: its last lines, or with a
// negative tail all of them, and with follow what comes until it ends.
func Logs(container string, follow bool, tail int) []string {
	b := builder{argv: []string{"container", "logs"}}
	b.flag(follow, "--follow")
	if tail >= 0 {
		b.option("--tail", strconv.Itoa(tail))
	}
	b.add("--", container)
	return b.argv
}

// VolumeRemove returns the vector that removes a volume.
func VolumeRemove(name string) []string { return []string{"volume", "rm", name} }

// Pull returns the vector that pulls an image.
func Pull(image string) []string { return []string{"pull", image} }

type builder struct{ argv []string }

func (b *builder) add(words ...string) { b.argv = append(b.argv, words...) }

func (b *builder) flag(on bool, name string) {
	if on {
		b.add(name)
	}
}

// option adds a flag with its value as two words; an empty value adds nothing.
func (b *builder) option(name, value string) {
	if value != "" {
		b.add(name, value)
	}
}

func (b *builder) options(name string, values []string) {
	for _, v := range values {
		b.option(name, v)
	}
}

func (b *builder) env(env []Env) {
	for _, e := range env {
		b.option("--env", e.value())
	}
}
