// Package publish says which ports of this machine lead into a session. It is pure: what listens
// is internal/ports.
package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Port is a port of this machine that leads to one in the session's containers.
type Port struct {
	Host      netip.AddrPort `json:"host"`      // port 0: the system chooses one
	Container uint16         `json:"container"` // never 0
}

// loopback is the address of this machine where nothing else is said.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Parse reads what docker's --publish takes, as far as it has a meaning here: PORT, HOSTPORT:PORT,
// IP:HOSTPORT and IP:HOSTPORT:PORT, with /tcp or without. An address of IPv6 is in brackets. Without an
// address the port is on the loopback alone.
func Parse(s string) (Port, error) {
	text, protocol, found := strings.Cut(s, "/")
	switch {
	case found && strings.EqualFold(protocol, "udp"):
		return Port{}, errors.New("only TCP can be published, and not UDP; leave /udp out")
	case found && protocol != "tcp":
		return Port{}, fmt.Errorf("%q is not a protocol; only TCP can be published", protocol)
	}
	p := Port{}
	addr, text, err := cutAddress(text)
	if err != nil {
		return p, err
	}
	host, container, two := strings.Cut(text, ":")
	if !two {
		container = host
	}
	from, err := port(host)
	if err != nil {
		return p, err
	}
	if p.Container, err = port(container); err != nil {
		return p, err
	}
	if p.Container == 0 {
		return p, errors.New("port 0 is none of a container; for a port of this machine that the system chooses say 0:PORT")
	}
	p.Host = netip.AddrPortFrom(addr, from)
	return p, nil
}

// cutAddress takes the address off, if there is one.
func cutAddress(text string) (netip.Addr, string, error) {
	host, rest := "", ""
	switch in, after, bracketed := strings.Cut(strings.TrimPrefix(text, "["), "]:"); {
	case strings.HasPrefix(text, "[") && bracketed:
		host, rest = in, after
	case strings.HasPrefix(text, "["):
		return netip.Addr{}, "", errors.New("an address in brackets is followed by :HOSTPORT")
	case strings.Count(text, ":") == 2, strings.Contains(text, "."):
		host, rest, _ = strings.Cut(text, ":")
	default:
		return loopback, text, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return addr, "", fmt.Errorf("%q is not an IP address; an address of IPv6 is in brackets", host)
	}
	return addr, rest, nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	switch {
	case strings.Contains(s, "-"):
		return 0, fmt.Errorf("%q: name each port by itself, there are no ranges", s)
	case err != nil || s[0] == '+':
		return 0, fmt.Errorf("%q is not a port; the form is [IP:]HOSTPORT[:PORT]", s)
	}
	return uint16(n), nil
}

// String returns the port as Parse takes it.
func (p Port) String() string { return fmt.Sprintf("%s:%d", p.Host, p.Container) }

// Exposed reports whether others than this machine reach the port.
func (p Port) Exposed() bool { return !p.Host.Addr().IsLoopback() }

// Check refuses what cannot be had together: one port of this machine that leads to two places.
func Check(ports []Port) error {
	for i, a := range ports {
		for _, b := range ports[:i] {
			if a.Host.Port() != 0 && a.Host.Port() == b.Host.Port() && overlap(a.Host.Addr(), b.Host.Addr()) {
				return fmt.Errorf("port %d of this machine is published twice: %s and %s", a.Host.Port(), b, a)
			}
		}
	}
	return nil
}

// overlap reports whether a port of one address is one of the other as well.
func overlap(a, b netip.Addr) bool {
	return a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}
