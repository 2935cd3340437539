package plan

import (
	"fmt"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// PortEnd is a container whose ports lead to others, or into which those of others lead.
type PortEnd struct {
	Container string // KindAgent or the kind
	Name      string // of the container
	User      string // uid:gid of its end of the link
	SocketDir string // host directory that it has at execproto.SocketDir, or empty
	// Mode is its network policy. Ports of sidecars lead to others of the same alone: a closed one
	// shall not get out by a server in an open one.
	Mode netpolicy.Mode
}

// leadsPorts reports whether there is anybody for whom ports are led.
func (b planner) leadsPorts() bool {
	return len(b.o.Publish) > 0 || b.o.Agent != nil && len(b.o.Toolchains) > 0
}

// portsBySocket reports whether the containers get a directory for the socket of their port links,
// whatever else is in it.
func (b planner) portsBySocket() bool { return b.leadsPorts() && b.sharesSockets() }

// portEnds returns the containers whose ports are led.
func (b planner) portEnds() []PortEnd {
	if !b.leadsPorts() {
		return nil
	}
	var list []PortEnd
	if b.o.Agent != nil {
		list = append(list, PortEnd{
			Container: KindAgent, Name: b.agentName(), User: b.userSpec(toolchain.Kind{}),
			SocketDir: b.agentSocketDir(b.proxy()), Mode: b.o.Egress.Mode(KindAgent),
		})
	}
	for _, s := range b.o.Toolchains {
		list = append(list, PortEnd{
			Container: s.Kind.Name, Name: b.sidecarName(s.Kind.Name), User: b.userSpec(s.Kind),
			SocketDir: b.sidecarSocketDir(s.Kind.Name), Mode: b.o.Egress.Mode(s.Kind.Name),
		})
	}
	return list
}

// publishWarning tells of ports that are not this machine's alone.
func (b planner) publishWarning() []string {
	var list []string
	for _, p := range b.o.Publish {
		if p.Exposed() {
			list = append(list, fmt.Sprintf("--publish %s: whoever reaches that address of this machine reaches the session's port %d", p, p.Container))
		}
	}
	return list
}

// Ports returns the docker exec of a container's end of its port link. It is reached as that of
// Serve is.
func Ports(container, user, connect string) dockerargs.Exec {
	return shimExec("ports", container, user, connect)
}

// agentSocketDir returns the host directory that the agent's container has at
// execproto.SocketDir, or "".
func (b planner) agentSocketDir(p *Proxy) string {
	if b.tunnelled(KindAgent) || (p == nil || p.SocketDir == "") && !b.hasWayOut(KindAgent) && !b.portsBySocket() {
		return ""
	}
	return b.socketDir(KindAgent)
}

// sidecarSocketDir is the same for a sidecar.
func (b planner) sidecarSocketDir(kind string) string {
	if b.serveDir(kind) == "" && (!b.hasWayOut(kind) || b.tunnelled(kind)) && !b.portsBySocket() {
		return ""
	}
	return b.socketDir(kind)
}

// socketMount returns the mount of that directory.
func socketMount(dir string) []dockerargs.Mount {
	if dir == "" {
		return nil
	}
	return []dockerargs.Mount{dockerargs.BindRO(dir, execproto.SocketDir)}
}
