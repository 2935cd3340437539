package plan

import (
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Tunnel leads from the sockets of a container on another kernel to this process, by the
// standard input and output of a docker exec.
type Tunnel struct {
	Container string   // KindAgent or the kind
	Name      string   // of the container
	Sockets   []string // names in execproto.SocketDir
	Exec      dockerargs.Exec
}

// socketSpace is the size of the file system of a container's sockets. They take none of it.
const socketSpace = 64 << 10 // bytes

// otherKernel reports whether the engine's containers are on another kernel than this
// process, so that a mounted socket leads nowhere.
func (b planner) otherKernel() bool { return !b.nativeLinux() || b.o.Exec == ExecStream }

// tunnelled reports whether the sockets of a container are the ends of a tunnel.
func (b planner) tunnelled(container string) bool {
	calls := container == KindAgent && len(b.o.Toolchains) > 0 && b.f.OtherKernel
	return b.otherKernel() && (b.hasWayOut(container) || calls)
}

func (b planner) tunnels() []Tunnel {
	var list []Tunnel
	add := func(container, name string, k toolchain.Kind) {
		if !b.tunnelled(container) {
			return
		}
		t := Tunnel{Container: container, Name: name}
		if b.hasWayOut(container) {
			t.Sockets = append(t.Sockets, execproto.EgressSocketName)
		}
		if p := b.proxy(); container == KindAgent && p != nil && p.Tunnel {
			t.Sockets = append(t.Sockets, execproto.SocketName)
		}
		t.Exec = dockerargs.Exec{
			Interactive: true, User: b.userSpec(k), Container: name,
			Args: append([]string{execproto.ShimBinary, "tunnel"}, t.Sockets...),
		}
		list = append(list, t)
	}
	if b.o.Agent != nil {
		add(KindAgent, b.agentName(), toolchain.Kind{})
	}
	for _, s := range b.o.Toolchains {
		add(s.Kind.Name, b.sidecarName(s.Kind.Name), s.Kind)
	}
	return list
}

// tunnelMount returns where the end of a tunnel makes its sockets, which it does as the
// user.
func (b planner) tunnelMount(container string, k toolchain.Kind) []dockerargs.Tmpfs {
	if !b.tunnelled(container) {
		return nil
	}
	uid, gid := b.user(k)
	return []dockerargs.Tmpfs{{Target: execproto.SocketDir, UID: uid, GID: gid, Size: socketSpace}}
}
