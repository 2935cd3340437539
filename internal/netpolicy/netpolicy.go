// Package netpolicy decides what a container may reach. It is pure: it resolves no
// names and opens no connections. Who does gives each address that a name resolved to
// to Rule.CheckAddr and connects to that very address, so that a name server cannot
// answer one thing for the check and another for the connection (docs/network.md).
package netpolicy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Mode is the kind of a policy.
type Mode string

// The modes.
const (
	Open      Mode = "open"      // everything but the host itself
	Allowlist Mode = "allowlist" // what the rules allow
	None      Mode = "none"      // nothing
)

// Modes returns the modes, for messages and completion.
func Modes() []string { return []string{string(Open), string(Allowlist), string(None)} }

// ParseMode returns the mode that s names.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Open, Allowlist, None:
		return m, nil
	}
	return "", fmt.Errorf("%q is not a network policy; policies are %s", s, strings.Join(Modes(), ", "))
}

// HostAlias is the name by which containers reach services on the loopback of the host.
const HostAlias = "host.docker.internal"

// Rule allows one destination.
type Rule struct {
	// Host is a lower-case DNS name, "*.example.org" for all names below that one, an
	// IP address, or HostAlias.
	Host string
	// Port is 0 for the usual ones: 443 of a tunnel, 80 of plain HTTP.
	Port int
	// Source says who allowed it: a flag, or a preset as "@crates".
	Source string
}

// String returns the rule as Parse takes it.
func (r Rule) String() string {
	if r.Port != 0 {
		return net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	}
	if strings.Contains(r.Host, ":") {
		return "[" + r.Host + "]"
	}
	return r.Host
}

// wildcard returns the name below which the rule allows all, or "".
func (r Rule) wildcard() string {
	if domain, ok := strings.CutPrefix(r.Host, "*."); ok {
		return domain
	}
	return ""
}

// matches reports whether the rule is about the host, which is in canonical form.
func (r Rule) matches(host string) bool {
	if domain := r.wildcard(); domain != "" {
		return strings.HasSuffix(host, "."+domain) && host != HostAlias
	}
	return r.Host == host
}

// port returns the port that the rule allows.
func (r Rule) port(plain bool) int {
	switch {
	case r.Port != 0:
		return r.Port
	case plain:
		return 80
	}
	return 443
}

// Policy is what one container may reach.
type Policy struct {
	Mode  Mode
	Rules []Rule // of an open policy, too: they allow services of the host
}

// Request is what a container wants to reach, in its own words.
type Request struct {
	Host  string // without brackets
	Port  int
	Plain bool // by plain HTTP, and not by a tunnel
}

// Decision is what a policy says about a request.
type Decision struct {
	Allowed bool
	Host    string // of the request in canonical form, to be resolved; empty: it is no host
	Rule    Rule   // what allowed it
	Reason  string // for people, when it is refused
}

// Decide returns whether the request is allowed, before its name is resolved.
func (p Policy) Decide(q Request) Decision {
	host, err := canonicalHost(q.Host)
	if err != nil {
		return Decision{Reason: err.Error()}
	}
	d := p.decide(host, q)
	d.Host = host
	return d
}

func (p Policy) decide(host string, q Request) Decision {
	switch {
	case q.Port < 1 || q.Port > maxPort:
		return Decision{Reason: fmt.Sprintf("%d is not a port", q.Port)}
	case p.Mode == None:
		return Decision{Reason: "the network policy is none"}
	case p.Mode != Open && p.Mode != Allowlist: // the zero value, which somebody forgot to set
		return Decision{Reason: "there is no network policy"}
	}
	if d := p.byRules(host, q); d.Allowed || p.Mode == Allowlist {
		return d
	}
	return openDecision(host)
}

// byRules looks for a rule that allows the request for the canonical host.
func (p Policy) byRules(host string, q Request) Decision {
	var ports []string
	for _, r := range p.Rules {
		if !r.matches(host) {
			continue
		}
		if r.port(q.Plain) == q.Port {
			return Decision{Allowed: true, Rule: r}
		}
		ports = append(ports, strconv.Itoa(r.port(q.Plain)))
	}
	if len(ports) > 0 {
		return Decision{Reason: "it is allowed only on port " + strings.Join(ports, ", ")}
	}
	return Decision{Reason: "it is not in the allowlist"}
}

// openDecision allows what needs no rule: all but the host.
func openDecision(host string) Decision {
	if host == HostAlias {
		return Decision{Reason: "a service of the host needs a rule in every policy"}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if what := unreachable(a); what != "" {
			return Decision{Reason: "it is " + what}
		}
	}
	return Decision{Allowed: true, Rule: Rule{Host: host, Source: string(Open)}}
}
