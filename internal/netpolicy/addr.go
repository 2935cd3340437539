package netpolicy

import (
	"fmt"
	"net/netip"
	"slices"
)

// AddrError says that an address may not be reached for a rule.
type AddrError struct {
	Addr   netip.Addr
	Reason string
}

func (e *AddrError) Error() string { return fmt.Sprintf("%s is %s", e.Addr, e.Reason) }

// CheckAddr returns an *AddrError unless the address, to which the host of a request
// resolved that the rule allowed, may be reached. own are the addresses of this host's
// interfaces.
func (r Rule) CheckAddr(a netip.Addr, own []netip.Addr) error {
	if why := r.refuses(a.Unmap(), own); why != "" {
		return &AddrError{Addr: a, Reason: why}
	}
	return nil
}

func (r Rule) refuses(a netip.Addr, own []netip.Addr) string {
	if r.Host == HostAlias {
		if a != HostAddr {
			return "not the loopback of this host"
		}
		return ""
	}
	if what := unreachable(a); what != "" {
		return what
	}
	if literal, err := netip.ParseAddr(r.Host); err == nil {
		if literal.Unmap() != a {
			return "not the address that is allowed"
		}
		if r.Source != string(Open) { // somebody has named it, and may mean this host
			return ""
		}
	}
	for _, form := range forms(a) {
		switch {
		case slices.ContainsFunc(own, func(o netip.Addr) bool { return o.Unmap().WithZone("") == form }):
			return "an address of this host"
		case r.wildcard() != "" && isPrivate(form):
			return "private, and only a name that is allowed itself, and not by a wildcard, can have such an address"
		}
	}
	return ""
}

// HostAddr is the address that HostAlias means on the host.
var HostAddr = netip.AddrFrom4([4]byte{127, 0, 0, 1})

var (
	// special are ranges that are nobody's to name. Cloud providers answer with
	// credentials of the machine at addresses outside of 169.254.0.0/16, too.
	special = []struct {
		prefix netip.Prefix
		what   string
	}{
		{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
		{netip.MustParsePrefix("240.0.0.0/4"), "reserved"}, // with the broadcast address
		{netip.MustParsePrefix("64:ff9b:1::/48"), "an address of a local translator"},
		{netip.MustParsePrefix("2001::/32"), "an address of a Teredo tunnel"},
		{netip.MustParsePrefix("192.0.0.192/32"), metadata},
		{netip.MustParsePrefix("100.100.100.200/32"), metadata},
		{netip.MustParsePrefix("168.63.129.16/32"), metadata},
		{netip.MustParsePrefix("fd00:ec2::/32"), metadata},
		{netip.MustParsePrefix("fd20:ce::254/128"), metadata},
	}
	// private are the ranges that netip.Addr.IsPrivate does not know.
	private = []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"), // of carriers, and of overlay networks
		netip.MustParsePrefix("198.18.0.0/15"),
		netip.MustParsePrefix("fec0::/10"),
	}
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	compatible = netip.MustParsePrefix("::/96")
)

const metadata = "where the machine's provider hands out credentials"

// unreachable says what the address is when no rule can allow it, else "".
func unreachable(a netip.Addr) string {
	for _, form := range forms(a.Unmap()) {
		switch {
		case form.IsLoopback():
			return "a loopback address"
		case form.IsUnspecified():
			return "unspecified"
		case form.IsLinkLocalUnicast():
			return "link-local"
		case form.IsMulticast():
			return "multicast"
		}
		for _, s := range special {
			if s.prefix.Contains(form) {
				return s.what
			}
		}
	}
	return ""
}

func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forms returns the address and the IPv4 address in it that a translator or a tunnel
// on the way would reach.
func forms(a netip.Addr) []netip.Addr {
	list := []netip.Addr{a}
	b := a.As16()
	switch {
	case nat64.Contains(a), compatible.Contains(a):
		list = append(list, netip.AddrFrom4([4]byte(b[12:16])))
	case sixToFour.Contains(a):
		list = append(list, netip.AddrFrom4([4]byte(b[2:6])))
	}
	return list
}
