package plan

import (
	"cmp"
	"path"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/imageref"
	"github.com/aifo-coder/aifo-coder/internal/samehost"
)

// program is the command line that the vectors are for.
func (b planner) program() string { return cmp.Or(b.f.Program, docker.Program) }

func (b planner) podman() bool { return b.program() == docker.Podman }

func (b planner) rootlessPodman() bool {
	return b.podman() && b.f.Engine != nil && b.f.Engine.Rootless()
}

// hostAlias is the name under which a container reaches the host.
func (b planner) hostAlias() string {
	if b.podman() {
		return podmanHostAlias
	}
	return dockerHostAlias
}

// hostName has a container know the name of the host, where the engine does not by itself.
func (b planner) hostName() []string {
	if b.podman() || !b.nativeLinux() {
		return nil
	}
	return []string{dockerHostAlias + ":host-gateway"}
}

// pullName is the name by which an image is pulled.
func (b planner) pullName(ref string) string {
	if b.podman() {
		return imageref.WithRegistry(ref)
	}
	return ref
}

// fit changes what this engine has another word for, or none.
func (b planner) fit(run *dockerargs.Run) {
	if b.f.Engine != nil && b.f.Engine.SELinux() {
		run.Security = append(run.Security, "label=disable")
	}
	if !b.podman() {
		return
	}
	run.NoHostProxies = true
	for i := range run.Tmpfs {
		run.Tmpfs[i].AnyOwner = true
	}
	if run.LogDriver == "local" {
		run.LogDriver = "k8s-file"
	}
	// A limit that podman cannot have the kernel keep it tells of on every start, into the
	// agent's output. It is left out, and told of once.
	if b.f.Engine != nil && !b.f.Engine.PidsLimit {
		run.PidsLimit = 0
	}
	if b.f.Engine != nil && !b.f.Engine.MemoryLimit {
		run.Memory = 0
	}
}

// engineWarnings tell of the protection that containers of this engine go without.
func (b planner) engineWarnings() []string {
	e := b.f.Engine
	if e == nil {
		return nil
	}
	var list []string
	if b.podman() && (!e.PidsLimit || !e.MemoryLimit) {
		list = append(list, "podman cannot limit the memory and the processes of containers here: without root that takes cgroups of version 2, delegated to you")
	}
	if e.SELinux() {
		list = append(list, "SELinux does not confine the containers: with its labels they could not read your workspace")
	}
	return list
}

// whereDir is where the container of Where has its second directory.
const whereDir = "/aifo-where"

// Where returns a container that says where it is as to the workspace and the directory, and
// ends. It has no network, and can change nothing. By its labels a sweep finds it, should this
// process be killed; id is what tells it from others.
func Where(f hostfacts.Facts, id, image, dir string) dockerargs.Run {
	return dockerargs.Run{
		Remove: true, Name: "aifo-" + id, Labels: planner{f: f, id: id}.labels(""), Network: noNetwork, User: bootUser, PidsLimit: DefaultPids, LogDriver: "none",
		Mounts: []dockerargs.Mount{
			dockerargs.BindRO(f.Workspace, execproto.Workspace),
			dockerargs.BindRO(hostJoin(f, f.ShimDir, path.Base(execproto.ShimBinary)), execproto.ShimBinary),
			dockerargs.BindRO(dir, whereDir),
		},
		Entrypoint: execproto.ShimBinary, Image: image, Args: []string{samehost.Command, execproto.Workspace, whereDir},
	}
}
