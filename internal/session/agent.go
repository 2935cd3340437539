package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/notify"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/ports"
	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// dockerFailed is the exit code of `docker run` when it could not run the container.
const dockerFailed = 125

// agentFirst is how long everything else leaves the machine to the start of the
// agent's container: containers that start at the same time slow each other
// down, and the agent is what somebody waits for. An agent that ends sooner without
// having called a tool has no use for sidecars.
const agentFirst = 500 * time.Millisecond

// runAgent runs the agent's container. The sidecars start when it has, or when
// it calls a tool.
func (s *Session) runAgent(ctx context.Context, w *signalWatch) (int, error) {
	env := maps.Clone(s.Plan.Secrets)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, s.placeholders)
	s.onCleanup(s.awaitAgentGone)
	var sc *sidecars
	if s.Plan.Proxy != nil {
		sc = s.startSidecars(w, s.executor())
		proxyEnv, err := s.startProxy(sc, s.openPorts())
		if cause := context.Cause(w.starting); cause != nil {
			return 0, cause // a signal or a sidecar, which is why the proxy could not start
		}
		if err != nil {
			return 0, err
		}
		maps.Copy(env, proxyEnv)
	} else {
		s.openPorts()
	}
	if err := s.mountBeforeAgent(w.starting, sc); err != nil {
		return 0, err
	}
	running, forward := w.run(ctx)
	defer time.AfterFunc(agentFirst, s.started.happen).Stop()
	s.tellReady(sc)
	code, err := s.agentContainer(running, env, forward)
	return w.result(running, code, err)
}

// mountBeforeAgent waits for all sidecars where they cannot find out whether their mounts are what was meant, or
// are where they were meant to be: then nobody may be there yet who could change that.
func (s *Session) mountBeforeAgent(ctx context.Context, sc *sidecars) error {
	if sc == nil || s.Plan.ChecksMounts && !s.mountsInside() {
		return nil
	}
	work := s.Begin("starting the sidecars")
	s.started.happen()
	var err error
	for kind := range sc.byKind {
		err = cmp.Or(err, sc.Ready(ctx, kind))
	}
	work.End(err)
	return err
}

// tellReady has Ready called when everything has started, or never will, and before
// the session is over.
func (s *Session) tellReady(sc *sidecars) {
	if s.Ready == nil {
		return
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		<-s.started.done
		if sc != nil {
			sc.started.Wait()
		}
		s.Ready()
	}()
	s.onCleanup(func(context.Context) error {
		<-told
		return nil
	})
}

// agentContainer runs the container on the caller's streams until it ends, or
// removes it when running ends.
func (s *Session) agentContainer(running context.Context, env map[string]string, forward <-chan os.Signal) (int, error) {
	cmd := s.interactive(s.Plan.Agent.Argv())
	cmd.Env = s.Docker.With(s.withMounts(env, *s.Plan.Agent)).Env
	lasting := context.WithoutCancel(running)
	ended, end := context.WithCancel(lasting)
	var ran atomic.Bool // when a signal came
	cmd.Signals = s.whenRunning(ended, forward, &ran)
	held := &heldMessages{}
	if s.Facts.Interactive() {
		cmd.Stderr = held
	}
	s.Docker.Traced(cmd.Argv)

	s.startTunnel(ended, plan.KindAgent)
	unhook := context.AfterFunc(running, func() { s.keepRemovingAgent(ended) })
	err := proc.Run(lasting, cmd)
	end()
	unhook()
	// The container outlives a docker command whose output broke, that was
	// killed, or that was told to detach. The sidecars can go meanwhile.
	s.agentGone = make(chan error, 1)
	var exit *proc.ExitError
	late := errors.As(err, &exit) && s.Facts.Interactive() && s.watch.first() != nil && !ran.Load()
	go func() { s.agentGone <- s.removeAgent(lasting, late) }()
	code, err := agentResult(err, held.interrupted())
	var sig *SignalError
	if text := held.String(); text != "" && !errors.As(err, &sig) {
		fmt.Fprint(s.Streams.Err, text)
	}
	return code, err
}

// agentResult returns what the agent's container came to. interrupted says that Ctrl-C ended it
// while it started, which docker reports as a failure of its own.
func agentResult(err error, interrupted bool) (int, error) {
	var exit *proc.ExitError
	switch {
	case !errors.As(err, &exit):
		return 0, err
	case exit.Code == dockerFailed && interrupted:
		return 0, &SignalError{Signal: syscall.SIGINT}
	}
	return exit.Code, nil
}

// awaitAgentGone waits for the removal of the agent's container, where there was
// one to remove.
func (s *Session) awaitAgentGone(context.Context) error {
	if s.agentGone == nil {
		return nil
	}
	return <-s.agentGone
}

// whenRunning passes signals on once the container runs. Before that they would
// end docker alone, half-way, and the engine would go on to create a container
// that nobody waits for. It notes in ran that the container did run then.
func (s *Session) whenRunning(ended context.Context, signals <-chan os.Signal, ran *atomic.Bool) <-chan os.Signal {
	passed := make(chan os.Signal)
	go func() {
		for {
			select {
			case sig := <-signals:
				if s.awaitAgent(ended) {
					ran.Store(true)
				}
				select {
				case passed <- sig:
				case <-ended.Done():
				}
			case <-ended.Done():
				return
			}
		}
	}()
	return passed
}

// awaitAgent waits until the agent's container runs, and reports whether it does.
func (s *Session) awaitAgent(ended context.Context) bool {
	for ended.Err() == nil {
		running, err := s.Docker.ContainerRunning(ended, s.Plan.Agent.Name)
		if running || err != nil {
			return running
		}
		time.Sleep(removePause)
	}
	return false
}

// keepRemovingAgent removes the agent's container until docker run has ended: it
// may be about to create it.
func (s *Session) keepRemovingAgent(ended context.Context) {
	for ended.Err() == nil {
		_ = s.removeAgent(ended, false) // said once more, and reported, when docker has ended
		time.Sleep(removePause)
	}
}

// removeAgent removes the agent's container where there still is one. A late one
// is waited for.
func (s *Session) removeAgent(ctx context.Context, late bool) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	if late {
		s.awaitLateAgent(ctx)
	}
	return s.removeContainers(ctx, plan.KindAgent)
}

// lateLimit is how long an engine may take to create a container that it was asked
// for by a docker command which is no more. A busy one takes seconds, and a container that
// comes after the limit is left behind; only who ended docker before there was any
// waits for all of it.
const lateLimit = 5 * time.Second

// awaitLateAgent waits for the agent's container to be there. A terminal's Ctrl-C
// reaches docker as well, before it takes the terminal, and may end it between its
// asking for the container and the engine's making it.
func (s *Session) awaitLateAgent(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lateLimit)
	defer cancel()
	for ctx.Err() == nil {
		ids, err := s.containers(ctx, plan.KindAgent)
		if err != nil || len(ids) > 0 {
			return
		}
		time.Sleep(removePause)
	}
}

// startProxy makes the proxy listen where the containers reach it, and returns
// the variables that tell the agent's shims about it.
func (s *Session) startProxy(sc *sidecars, b *ports.Bridge) (map[string]string, error) {
	listener, err := s.listen()
	if err != nil {
		return nil, err
	}
	token, err := newToken()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	proxy := s.newProxy(sc, token, b)
	go func() {
		if err := proxy.Serve(listener); err != nil {
			s.Log.Debug("proxy ended", "err", err)
		}
	}()
	s.onCleanup(proxy.Shutdown)
	s.listenMCP(proxy)
	port := 0
	if addr, ok := listener.Addr().(*net.TCPAddr); ok {
		port = addr.Port
	}
	return plan.ProxyEnv(*s.Plan.Proxy, port, token), nil
}

// newProxy returns the proxy of the session's sidecars for clients with the token.
func (s *Session) newProxy(sc *sidecars, token string, b *ports.Bridge) *execproxy.Proxy {
	var proxy *execproxy.Proxy
	proxy = execproxy.New(execproxy.Config{
		Token: token, Workspace: s.Plan.Workspace, Executor: sc.exec, Sidecars: sc, Complete: newCompleter(s.Plan.Kinds, sc.exec).complete,
		Candidates: s.Plan.Kinds.Candidates, Toolchains: s.toolchains(), MaxRuntime: s.Plan.ToolTimeout, Log: s.Log, Observe: s.observe(),
		Notify: notify.New(notify.FromEnv(s.Facts.Env, s.Facts.Home, append(s.writable(), s.Facts.StateDir)...)).Run,
		Begin:  beginCall(b),
		MCP:    func(ctx context.Context, conn io.ReadWriteCloser) { s.serveMCP(ctx, s.mcpConfig(proxy), conn) },
	})
	return proxy
}

// toolchains tells the proxy what the session has.
func (s *Session) toolchains() []execproxy.Toolchain {
	var list []execproxy.Toolchain
	for _, p := range s.Plan.Sidecars {
		k, _ := s.Plan.Kinds.Lookup(p.Kind)
		list = append(list, execproxy.Toolchain{Kind: p.Kind, Aliases: k.Aliases, Image: p.Image, Tools: k.ToolNames(), Probe: k.Probe})
	}
	return list
}

func (s *Session) listen() (net.Listener, error) {
	p := s.Plan.Proxy
	switch {
	case p.Tunnel:
		return s.tunnels[plan.KindAgent].Listener(execproto.SocketName), nil
	case p.SocketDir != "":
		return execproxy.ListenUnix(p.SocketDir)
	}
	host := "127.0.0.1"
	if !p.Loopback {
		var err error
		if host, err = s.gateway(); err != nil {
			return nil, fmt.Errorf("find the address at which containers reach this host: %w", err)
		}
	}
	listen := execproxy.ListenTCP
	if p.Gateway {
		listen = execproxy.ListenTCPAhead // podman makes the bridge with the first container
	}
	l, err := listen(host)
	if err != nil {
		return nil, &ListenError{Err: err}
	}
	return l, nil
}

// ListenError says that the proxy has no address that containers can reach.
type ListenError struct{ Err error }

func (e *ListenError) Error() string { return "start the toolexec proxy: " + e.Err.Error() }
func (e *ListenError) Unwrap() error { return e.Err }

// Hint says what works without such an address.
func (e *ListenError) Hint() string { return "try --toolchain-unix-socket, which needs no network" }

// newToken returns 16 random bytes in hexadecimal.
func newToken() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make the proxy's token: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// removePause is the time between two looks at containers that are being removed.
const removePause = 50 * time.Millisecond

// removeContainers removes the session's containers, those of one kind or, with
// an empty kind, all. It returns when they are gone: a container that ends by
// itself at the same time is refused ("removal is already in progress") and
// still there for a moment.
func (s *Session) removeContainers(ctx context.Context, kind string) error {
	for {
		ids, err := s.containers(ctx, kind)
		if err != nil || len(ids) == 0 {
			return err
		}
		err = s.Docker.Do(ctx, dockerargs.Remove(ids...))
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(removePause):
		}
	}
}

// containers returns the ids of the containers that this process created for
// the session. Another process may have been given the same session id.
func (s *Session) containers(ctx context.Context, kind string) ([]string, error) {
	labels := []string{plan.LabelSession + "=" + s.Plan.ID}
	if kind != "" {
		labels = append(labels, plan.LabelKind+"="+kind)
	}
	objects, err := s.Docker.Containers(ctx, labels...)
	var ids []string
	for _, o := range objects {
		if owner, _ := sessions.OwnerOf(o); owner == s.Facts.Owner {
			ids = append(ids, o.ID)
		}
	}
	return ids, err
}
