package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Egress is what the user said about the network: of all containers under the empty
// name, and of one under KindAgent or the name of its kind.
type Egress struct {
	Modes map[string]netpolicy.Mode
	Rules map[string][]netpolicy.Rule
}

// Mode returns the mode of a container; none given is open.
func (e Egress) Mode(container string) netpolicy.Mode {
	return cmp.Or(e.Modes[container], e.Modes[""], netpolicy.Open)
}

// Brokered is what leads an agent to the credential broker (docs/credentials.md).
type Brokered struct {
	Env          map[string]string // addresses, which are no secret
	Placeholders map[string]string // a variable, and the provider whose placeholder it gets
	Git          []string          // settings of git, KEY=VALUE
}

// WayOut is the way out of one container: a unix socket of the host, at which requests
// are allowed or refused.
type WayOut struct {
	Container string // KindAgent or the kind
	Dir       string // host directory of the socket, which this container alone sees; empty with a tunnel
	Tunnel    bool   // by the container's tunnel
	UID       int    // of who connects
	Policy    netpolicy.Policy
	Broker    bool // the credential broker answers here
}

// noNetwork is docker's network that has nothing but the loopback.
const noNetwork = "none"

// closed reports whether the container has no network.
func (b planner) closed(container string) bool { return b.o.Egress.Mode(container) != netpolicy.Open }

// hasWayOut reports whether the container has a relay to a socket of ours.
func (b planner) hasWayOut(container string) bool {
	return b.closed(container) || container == KindAgent && b.o.Broker != nil
}

func (b planner) networkOf(container string) string {
	if b.closed(container) {
		return noNetwork
	}
	return b.network().Name
}

// Closes reports whether a container has no network, "" any that it may be.
func (o Options) Closes(container string) bool {
	return slices.ContainsFunc(planner{o: o}.containers(), func(c string) bool {
		return (container == "" || c == container) && o.Egress.Mode(c) != netpolicy.Open
	})
}

// containers returns the containers of the session, as they are named in Egress.
func (b planner) containers() []string {
	var list []string
	if b.o.Agent != nil {
		list = append(list, KindAgent)
	}
	for _, s := range b.o.Toolchains {
		list = append(list, s.Kind.Name)
	}
	return list
}

// openWarning tells of sidecars by which an agent reaches more than its own policy says:
// it can have them run anything.
func (b planner) openWarning() []string {
	if b.o.Agent == nil || !b.closed(KindAgent) {
		return nil
	}
	var open []string
	for _, s := range b.o.Toolchains {
		if !b.closed(s.Kind.Name) {
			open = append(open, s.Kind.Name)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("the network policy closes the agent's network and not that of %s, where the agent can run programs: say --network-policy without a container's name to close all",
		strings.Join(open, ", "))}
}

// needsNetwork reports whether any container joins a network.
func (b planner) needsNetwork() bool {
	return slices.ContainsFunc(b.containers(), func(c string) bool { return !b.closed(c) })
}

func (b planner) waysOut() []WayOut {
	var list []WayOut
	add := func(container string, k toolchain.Kind) {
		if b.hasWayOut(container) {
			w := WayOut{
				Container: container, Tunnel: b.tunnelled(container), UID: b.peerUID(k),
				Policy: b.policy(container, k), Broker: container == KindAgent && b.o.Broker != nil,
			}
			if !w.Tunnel {
				w.Dir = b.socketDir(container)
			}
			list = append(list, w)
		}
	}
	if b.o.Agent != nil {
		add(KindAgent, toolchain.Kind{})
	}
	for _, s := range b.o.Toolchains {
		add(s.Kind.Name, s.Kind)
	}
	return list
}

// peerUID returns who the tools of a kind are to this host.
func (b planner) peerUID(k toolchain.Kind) int {
	if k.User == "" {
		return b.f.UID // without root, the engine's uid 0 is the caller
	}
	uid, _ := b.user(k)
	return uid
}

// policy returns what a container may reach through its way out. With an open network
// that is there for the broker alone.
func (b planner) policy(container string, k toolchain.Kind) netpolicy.Policy {
	if b.o.Egress.Mode(container) != netpolicy.Allowlist {
		return netpolicy.Policy{Mode: netpolicy.None}
	}
	rules := slices.Concat(b.o.Egress.Rules[""], b.o.Egress.Rules[container])
	if container == KindAgent {
		rules = append(rules, b.o.ModelHosts...)
	} else {
		rules = append(rules, slices.Concat(k.HostRules(), b.registryRules())...)
	}
	return netpolicy.Policy{Mode: netpolicy.Allowlist, Rules: rules}
}

// registryRules allow the registries that the user's own variables name.
func (b planner) registryRules() []netpolicy.Rule {
	var rules []netpolicy.Rule
	for _, name := range slices.Sorted(maps.Keys(b.net.registries)) {
		for _, word := range wordRE.FindAllString(b.net.registries[name], -1) {
			u, err := url.Parse(word)
			if err != nil || u.Hostname() == "" {
				continue // "direct", a module's path and the like
			}
			rules = append(rules, HostRule(u, name)...)
		}
	}
	return rules
}

// HostRule returns the rule that allows the host of an address, in the name of source;
// none where a policy takes no such host.
func HostRule(u *url.URL, source string) []netpolicy.Rule {
	port := cmp.Or(u.Port(), map[string]string{"http": "80"}[u.Scheme], "443")
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil
	}
	rules, err := netpolicy.Parse(net.JoinHostPort(u.Hostname(), port), source)
	if err != nil {
		return nil
	}
	return rules
}

// egressEnv returns the variables by which the programs of a container without a network
// find the way out. Unsetting them gains nothing: there is no other.
func (b planner) egressEnv(container string) []dockerargs.Env {
	if !b.closed(container) {
		return nil
	}
	var env []dockerargs.Env
	both := func(name, value string) {
		env = append(env, dockerargs.Env{Name: name, Value: value}, dockerargs.Env{Name: strings.ToLower(name), Value: value})
	}
	for _, name := range proxyVariables {
		both(name, execproto.EgressURL)
	}
	both(noProxy, loopbackNames)
	return append(env, dockerargs.Env{Name: "NODE_USE_ENV_PROXY", Value: "1"})
}

// loopbackNames are what a container reaches without a way out.
const loopbackNames = "localhost,127.0.0.1,::1"

// ownName has a container without a network know its own name, which programs look up:
// the engine tells it only to those that have an address.
func ownName(name string) []string { return []string{name + ":127.0.0.1"} }

// networkValues returns the variables about the network that the container gets by
// name: one without a network has no use for the host's proxies.
func (b planner) networkValues(container string) map[string]string {
	values := maps.Clone(b.net.registries)
	if !b.closed(container) {
		maps.Copy(values, b.net.proxies)
	}
	return values
}
