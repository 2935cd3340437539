package doctor

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// prober starts containers as sessions do: the plan is that of a session.
type prober struct {
	docker  docker.Client
	options plan.Options
	facts   hostfacts.Facts // with the engine, and with directories of the probe's own
	image   string
	id      string
}

// plan returns the plan of a session that runs the command in an agent's container, by the name
// that makes it one of several.
func (p prober) plan(name string, o plan.Options, command ...string) plan.Plan {
	shell, _ := agent.Lookup(agent.Shell)
	o.Agent, o.Args, o.Image = &shell, command, p.image
	return plan.Build(o, p.facts, p.id+name)
}

// base returns the options that every probe shares with the user's sessions.
func (p prober) base() plan.Options {
	return plan.Options{Kinds: p.options.Kinds, Limits: p.options.Limits, AppArmor: p.options.AppArmor, HostPath: p.options.HostPath}
}

// start starts a container of the agent's image as a session does, without a network.
func (p prober) start(ctx context.Context) error {
	pl := p.plan("s", p.base(), execproto.ShimBinary, "version")
	pl.Agent.Network = "none"
	_, err := p.run(ctx, *pl.Agent, pl.Secrets)
	return err
}

const (
	// removePause is the time between two attempts to remove a container, and removeLimit bounds one.
	removePause = 100 * time.Millisecond
	removeLimit = 8 * time.Second
)

// run runs a container to its end and returns what it printed. A docker command that is killed
// half-way may leave a container behind; so it is the container that is removed when ctx ends.
func (p prober) run(ctx context.Context, run dockerargs.Run, env ...map[string]string) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var out bytes.Buffer
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() {
		cmd := p.docker.With(merged(env)).Cmd(run.Argv())
		cmd.Stdout = &out
		done <- proc.Run(lasting, cmd)
	}()
	select {
	case err := <-done:
		if err != nil {
			p.remove(ctx, run.Name)
		}
		return out.String(), err
	case <-ctx.Done():
	}
	end := time.After(removeLimit)
	for {
		p.remove(ctx, run.Name)
		select {
		case <-done: //nolint:errcheck // it was ended by us
			p.remove(ctx, run.Name)
			return "", context.Cause(ctx)
		case <-end: // the engine hangs
			return "", context.Cause(ctx)
		case <-time.After(removePause):
		}
	}
}

func merged(list []map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range list {
		maps.Copy(all, m)
	}
	return all
}

// remove removes a container, where there is one.
func (p prober) remove(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
	defer cancel()
	_ = p.docker.Do(ctx, dockerargs.Remove(name)) // most often there is none
}

// network makes the network of a plan, and returns what removes it.
func (p prober) network(ctx context.Context, n plan.Network) (remove func(), err error) {
	if n.Create == nil {
		return func() {}, nil
	}
	// Seen to its end: nobody would know whether a command that was killed has made it.
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), usualLimit)
	defer cancel()
	err = p.docker.Do(lasting, n.Create)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
		defer cancel()
		_ = p.docker.Do(ctx, n.Remove()) // the next session removes what is left
	}, err
}

// tcpPlan returns the plan of a session whose shims reach this process by TCP.
func (p prober) tcpPlan() plan.Plan {
	o := p.base()
	o.Toolchains = []toolchain.Selection{{Kind: o.Kinds.Kinds()[0]}}
	return p.plan("t", o, execproto.NameTools)
}

// tcp tries to reach this process from a container of the plan, as the shims do.
func (p prober) tcp(ctx context.Context, pl plan.Plan) ProxyFacts {
	host, err := p.address(ctx, pl)
	if err != nil {
		return ProxyFacts{Listen: err}
	}
	listen := execproxy.ListenTCP
	if pl.Proxy.Gateway {
		listen = execproxy.ListenTCPAhead // podman makes the bridge with the first container
	}
	l, err := listen(host)
	if err != nil {
		return ProxyFacts{Listen: err}
	}
	if err := makeSocketDirs(pl); err != nil {
		return ProxyFacts{Listen: errors.Join(err, l.Close())}
	}
	defer func() { _ = l.Close() }()
	return p.reach(ctx, pl, l, ProxyFacts{Address: l.Addr().String()})
}

// address returns where the proxy of a session listens.
func (p prober) address(ctx context.Context, pl plan.Plan) (string, error) {
	switch {
	case pl.Proxy.Loopback:
		return "127.0.0.1", nil
	case pl.Proxy.Gateway:
		return session.HostAddress(ctx, p.docker, pl.Network.Name)
	}
	return session.HostAddress(ctx, p.docker, "bridge")
}

// unix tries the same by a mounted socket.
func (p prober) unix(ctx context.Context) ProxyFacts {
	o := p.base()
	o.Toolchains, o.UnixSocket = []toolchain.Selection{{Kind: o.Kinds.Kinds()[0]}}, true
	pl := p.plan("u", o, execproto.NameTools)
	f := ProxyFacts{Address: execproto.SocketPath, Unix: true}
	if err := makeSocketDirs(pl); err != nil {
		f.Listen = err
		return f
	}
	l, err := execproxy.ListenUnix(pl.Proxy.SocketDir)
	if err != nil {
		f.Listen = err
		return f
	}
	defer func() { _ = l.Close() }()
	pl.Agent.Network = "none" // a socket needs none
	return p.reach(ctx, pl, l, f)
}

// makeSocketDirs makes the directories that containers of the plan mount.
func makeSocketDirs(pl plan.Plan) error {
	for _, dir := range pl.SocketDirs() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// reach runs the agent's container of the plan, whose shim connects to the listener.
func (p prober) reach(ctx context.Context, pl plan.Plan, l net.Listener, f ProxyFacts) ProxyFacts {
	reached := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			close(reached)
			_ = c.Close()
		}
	}()
	port := 0
	if addr, ok := l.Addr().(*net.TCPAddr); ok {
		port = addr.Port
	}
	_, err := p.run(ctx, *pl.Agent, pl.Secrets, plan.ProxyEnv(*pl.Proxy, port, "none"))
	var exit *proc.ExitError
	select {
	case <-reached:
		f.Reached = true
	default:
		refused := errors.As(err, &exit) && exit.Code == execproto.ExitRefused
		f.TimedOut = refused && strings.Contains(exit.Stderr, os.ErrDeadlineExceeded.Error())
		if !refused {
			f.Start = err
		}
	}
	return f
}

// outside looks up and connects to an address outside, from a container in the network.
func (p prober) outside(ctx context.Context, n plan.Network, target string) Reach {
	pl := p.plan("o", p.base(), "bash", "-c", outsideScript, "outside", hostPart(target), portPart(target))
	pl.Agent.Network = n.Name
	out, err := p.run(ctx, *pl.Agent, pl.Secrets)
	r := Reach{Target: target, Resolved: strings.Contains(out, "resolved"), Reached: strings.Contains(out, "reached")}
	switch {
	case r.Reached:
	case err != nil && !strings.Contains(out, "asked"), isSlow(err):
		r.Err = err
	case !r.Resolved:
		r.Reason = "no answer of a name server"
	default:
		r.Reason = "no connection"
	}
	return r
}

// outsideScript says how far it got towards the host and port in its arguments.
const outsideScript = `echo asked
timeout 4 getent hosts "$1" >/dev/null || exit
echo resolved
timeout 4 bash -c 'exec 3<>"/dev/tcp/$1/$2"' connect "$1" "$2" 2>/dev/null && echo reached`

func hostPart(target string) string {
	h, _, err := net.SplitHostPort(target)
	if err != nil {
		return target
	}
	return h
}

func portPart(target string) string {
	_, port, err := net.SplitHostPort(target)
	if _, number := strconv.Atoi(port); err != nil || number != nil {
		return "443"
	}
	return port
}

// has returns which of the programs the image has.
func (p prober) has(ctx context.Context, name, ref string, programs ...string) (map[string]bool, error) {
	run := dockerargs.Run{
		Remove: true, Name: "aifo-coder-doctor-" + p.id + "-" + name, Network: "none", LogDriver: "none", PidsLimit: plan.DefaultPids,
		Labels:     p.plan("i", p.base()).Agent.Labels,
		Mounts:     []dockerargs.Mount{dockerargs.BindRO(filepath.Join(p.facts.ShimDir, execproto.NameShim), execproto.ShimBinary)},
		Entrypoint: execproto.ShimBinary, Image: ref, Args: append([]string{"which"}, programs...),
	}
	out, err := p.run(ctx, run)
	found := map[string]bool{}
	for _, line := range strings.Fields(out) {
		found[line] = true
	}
	return found, err
}
