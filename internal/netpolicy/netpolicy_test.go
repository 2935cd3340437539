package netpolicy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseMode(t *testing.T) {
	for _, name := range Modes() {
		m, err := ParseMode(name)
		require.NoError(t, err)
		require.Equal(t, name, string(m))
	}
	_, err := ParseMode("closed")
	require.EqualError(t, err, `"closed" is not a network policy; policies are open, allowlist, none`)
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		host string
		port int
	}{
		{"example.org", "example.org", 0},
		{"Example.ORG.", "example.org", 0},
		{"example.org.:8443", "example.org", 8443},
		{"registry", "registry", 0},
		{"_dmarc.a-b.example", "_dmarc.a-b.example", 0},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
		{"*.Example.org:8443", "*.example.org", 8443},
		{"192.0.2.1", "192.0.2.1", 0},
		{"192.0.2.1:80", "192.0.2.1", 80},
		{"10.1.2.3", "10.1.2.3", 0},
		{"[2001:DB8::1]", "2001:db8::1", 0},
		{"[2001:db8::1]:8080", "2001:db8::1", 8080},
		{"[::ffff:192.0.2.1]:80", "192.0.2.1", 80},
		{"host.docker.internal:5432", HostAlias, 5432},
	} {
		rules, err := Parse(tt.in, "--allow-host")
		require.NoError(t, err, tt.in)
		require.Equal(t, []Rule{{Host: tt.host, Port: tt.port, Source: "--allow-host"}}, rules)
		again, err := Parse(rules[0].String(), "--allow-host")
		require.NoError(t, err, rules[0].String())
		require.Equal(t, rules, again)
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "there is no host",
		".":                      "there is no host",
		":443":                   "there is no host",
		"*":                      "choose the policy open",
		"*:443":                  "choose the policy open",
		"*.":                     "there is no host",
		"*.org":                  "top-level domain",
		"*.localhost":            "host.docker.internal:PORT",
		"*.host.docker.internal": "host.docker.internal:PORT",
		"*.192.0.2.1":            "no names below",
		"a.*.example.org":        `"*" cannot be part`,
		"https://example.org":    "it is a URL",
		"example.org/path":       "a path or a range",
		"10.0.0.0/8":             "a path or a range",
		"ann@example.org":        `"ann@example" cannot be part`,
		"a..b":                   "empty part",
		".example.org":           "empty part",
		"example.org..":          "empty part",
		"-a.example":             `"-a" cannot be part`,
		"a b.example":            `"a b" cannot be part`,
		" example.org":           `" example" cannot be part`,
		"a\x00.example":          "cannot be part",
		"bücher.example":         "punycode",
		"exаmple.org":            "punycode", // a Cyrillic letter
		"example.org:":           `"" is not a port`,
		"example.org:0":          `"0" is not a port`,
		"example.org:65536":      `"65536" is not a port`,
		"example.org:+1":         `"+1" is not a port`,
		"example.org:https":      `"https" is not a port`,
		"2001:db8::1":            "in brackets",
		"[2001:db8::1":           `a "]" is missing`,
		"[2001:db8::1]80":        `only a port can follow`,
		"[example.org]:80":       "not an IPv6 address",
		"[192.0.2.1]":            "not an IPv6 address",
		"[fe80::1%eth0]":         "with a zone",
		"127.1":                  "neither a name nor an address",
		"0x7f.1":                 "neither a name nor an address",
		"0x7f000001":             "neither a name nor an address",
		"2130706433":             "neither a name nor an address",
		"017700000001":           "neither a name nor an address",
		"127.0.0.01":             "neither a name nor an address",
		"127.0.0.0x1":            "neither a name nor an address",
		"1.2.3.4.5":              "neither a name nor an address",
		"localhost:80":           "host.docker.internal:PORT",
		"x.localhost":            "host.docker.internal:PORT",
		"127.0.0.1:80":           "host.docker.internal:PORT",
		"127.9.9.9:80":           "host.docker.internal:PORT",
		"[::1]:80":               "host.docker.internal:PORT",
		"0.0.0.0":                "host.docker.internal:PORT",
		"[::]":                   "host.docker.internal:PORT",
		"[::ffff:127.0.0.1]":     "host.docker.internal:PORT",
		"[64:ff9b::7f00:1]":      "a loopback address",
		"[2002:7f00:1::]":        "a loopback address",
		"169.254.169.254":        "link-local",
		"[fe80::1]":              "link-local",
		"[fd00:ec2::254]":        "credentials",
		"224.0.0.1":              "multicast",
		"255.255.255.255":        "reserved",
		"host.docker.internal":   "needs its port",
		"@nothing":               "presets are @alpine, @anthropic",
		"@":                      `"@" is not a preset`,
		"@crates:443":            `"@crates:443" is not a preset`,

		strings.Repeat("a", 64) + ".example":              "64 characters, 63 are possible",
		strings.Repeat("a23456789.", 25) + "example.org":  "261 characters, 253 are possible",
		strings.Repeat("Я", 1000):                         "punycode",
		"[" + strings.Repeat(":", 5000) + "]":             "not an IPv6 address",
		"example.org:" + strings.Repeat("9", 1000):        "is not a port",
		strings.Repeat("a", 300) + "@" + "b.example:8080": "characters, 253 are possible",
	} {
		rules, err := Parse(in, "--allow-host")
		if assert.ErrorContains(t, err, want, "%q gave %v", in, rules) {
			assert.Less(t, len(err.Error()), 600, "%q", in)
		}
	}
}

func TestPresets(t *testing.T) {
	all := Presets()
	require.True(t, slices.IsSortedFunc(all, func(a, b Preset) int { return strings.Compare(a.Name, b.Name) }))
	for _, p := range all {
		require.NotEmpty(t, p.Short, p.Name)
		require.True(t, slices.IsSorted(p.Hosts), p.Name)
		require.Equal(t, slices.Compact(slices.Clone(p.Hosts)), p.Hosts)
		rules, err := Parse("@"+p.Name, "--allow-host")
		require.NoError(t, err)
		require.Len(t, rules, len(p.Hosts))
		for i, host := range p.Hosts {
			one, err := Parse(host, "@"+p.Name)
			require.NoError(t, err)
			require.Equal(t, one[0], rules[i])
		}
	}
	all[0].Name = "changed"
	require.NotEqual(t, "changed", Presets()[0].Name)
}

func rules(t *testing.T, list ...string) []Rule {
	t.Helper()
	var all []Rule
	for _, s := range list {
		parsed, err := Parse(s, "--allow-host")
		require.NoError(t, err)
		all = append(all, parsed...)
	}
	return all
}

func TestDecideAllowlist(t *testing.T) {
	p := Policy{Mode: Allowlist, Rules: rules(t, "example.org", "example.org:8080", "*.example.net", "192.0.2.1:22", "[2001:db8::1]", "host.docker.internal:5432", "*.docker.internal", "@crates")}
	for _, tt := range []struct {
		q      Request
		rule   string // that allows it
		reason string // or why not
	}{
		{Request{Host: "example.org", Port: 443}, "example.org", ""},
		{Request{Host: "EXAMPLE.org.", Port: 443}, "example.org", ""},
		{Request{Host: "example.org", Port: 80, Plain: true}, "example.org", ""},
		{Request{Host: "example.org", Port: 80}, "", "it is allowed only on port 443, 8080"},
		{Request{Host: "example.org", Port: 443, Plain: true}, "", "it is allowed only on port 80, 8080"},
		{Request{Host: "example.org", Port: 8080}, "example.org:8080", ""},
		{Request{Host: "example.org", Port: 8080, Plain: true}, "example.org:8080", ""},
		{Request{Host: "a.example.org", Port: 443}, "", "it is not in the allowlist"},
		{Request{Host: "notexample.org", Port: 443}, "", "it is not in the allowlist"},
		{Request{Host: "example.net", Port: 443}, "", "it is not in the allowlist"},
		{Request{Host: "notexample.net", Port: 443}, "", "it is not in the allowlist"},
		{Request{Host: "a.b.example.net", Port: 443}, "*.example.net", ""},
		{Request{Host: "*.example.net", Port: 443}, "", `"*" cannot be part of a host name`},
		{Request{Host: "192.0.2.1", Port: 22}, "192.0.2.1:22", ""},
		{Request{Host: "::ffff:192.0.2.1", Port: 22}, "192.0.2.1:22", ""},
		{Request{Host: "192.0.2.1", Port: 443}, "", "it is allowed only on port 22"},
		{Request{Host: "2001:DB8:0::1", Port: 443}, "[2001:db8::1]", ""},
		{Request{Host: "host.docker.internal", Port: 5432}, "host.docker.internal:5432", ""},
		{Request{Host: "host.docker.internal", Port: 443}, "", "it is allowed only on port 5432"},
		{Request{Host: "static.crates.io", Port: 443}, "static.crates.io", ""},
		{Request{Host: "127.0.0.1", Port: 5432}, "", "it is not in the allowlist"},
		{Request{Host: "localhost", Port: 5432}, "", "it is not in the allowlist"},
		{Request{Host: "0x7f.1", Port: 443}, "", "it is neither a name nor an address in its usual form, as 192.0.2.1"},
		{Request{Host: "example.org", Port: 0}, "", "0 is not a port"},
		{Request{Host: "example.org", Port: 65979}, "", "65979 is not a port"}, // 443 in 16 bits
		{Request{Host: "example.org\x00.evil.example", Port: 443}, "", `"org\x00" cannot be part of a host name`},
		{Request{Host: "", Port: 443}, "", "there is no host"},
	} {
		d := p.Decide(tt.q)
		if tt.rule == "" {
			require.Equal(t, Decision{Reason: tt.reason, Host: d.Host}, d, "%+v", tt.q)
			continue
		}
		require.True(t, d.Allowed, "%+v: %s", tt.q, d.Reason)
		require.Equal(t, tt.rule, d.Rule.String())
	}
	require.Equal(t, "example.org", p.Decide(Request{Host: "EXAMPLE.org.", Port: 443}).Host)
	require.Empty(t, p.Decide(Request{Host: "0x7f.1", Port: 443}).Host)
	require.Equal(t, "@crates", p.Decide(Request{Host: "crates.io", Port: 443}).Rule.Source)
}

func TestDecideOtherModes(t *testing.T) {
	some := rules(t, "example.org", "host.docker.internal:5432")
	none := Policy{Mode: None, Rules: some}
	require.Equal(t, Decision{Host: "example.org", Reason: "the network policy is none"}, none.Decide(Request{Host: "example.org", Port: 443}))
	require.False(t, Policy{Rules: some}.Decide(Request{Host: "example.org", Port: 443}).Allowed)

	open := Policy{Mode: Open, Rules: some}
	for _, q := range []Request{{Host: "evil.example", Port: 25}, {Host: "example.org", Port: 1}, {Host: "192.0.2.9", Port: 443}, {Host: "10.0.0.1", Port: 443}, {Host: HostAlias, Port: 5432}} {
		require.True(t, open.Decide(q).Allowed, "%+v", q)
	}
	for _, q := range []Request{{Host: HostAlias, Port: 5433}, {Host: "127.0.0.1", Port: 80}, {Host: "169.254.169.254", Port: 80, Plain: true}, {Host: "::1", Port: 80}, {Host: "127.1", Port: 80}} {
		require.False(t, open.Decide(q).Allowed, "%+v", q)
	}
}

func TestCheckAddr(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:5::7"), netip.MustParseAddr("192.168.7.7")}
	const public, publicV6 = "198.51.100.1", "2001:db8:1::1"
	for _, tt := range []struct {
		rule    string
		allowed []string
		refused []string
	}{
		{"example.org", []string{public, publicV6, "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "fd12::1", "64:ff9b::c633:6401", "::ffff:198.51.100.1", "2002:c633:6401::1"}, nil},
		{"*.example.org", []string{public, publicV6, "64:ff9b::c633:6401"}, []string{
			"10.0.0.1", "192.168.1.1", "172.31.255.255", "100.64.0.1", "100.127.255.255", "198.18.0.1", "fd12::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
		}},
		{"198.51.100.1", []string{public, "::ffff:198.51.100.1"}, []string{"198.51.100.2", publicV6}},
		{"203.0.113.7", []string{"203.0.113.7"}, []string{public}}, // somebody means this host
		{"[2001:db8:1::1]", []string{publicV6}, []string{public}},
	} {
		r := rules(t, tt.rule)[0]
		for _, a := range tt.allowed {
			require.NoError(t, r.CheckAddr(netip.MustParseAddr(a), own), "%s to %s", tt.rule, a)
		}
		for _, a := range append(tt.refused, never...) {
			var refused *AddrError
			require.ErrorAs(t, r.CheckAddr(netip.MustParseAddr(a), own), &refused, "%s to %s", tt.rule, a)
		}
		if _, err := netip.ParseAddr(r.Host); err == nil || strings.HasPrefix(tt.rule, "[") {
			continue
		}
		for _, a := range []string{"203.0.113.7", "::ffff:203.0.113.7", "2001:db8:5::7", "192.168.7.7", "64:ff9b::cb00:7107", "2002:cb00:7107::1"} {
			require.ErrorContains(t, r.CheckAddr(netip.MustParseAddr(a), own), "an address of this host", "%s to %s", tt.rule, a)
		}
	}
	for _, a := range []string{"203.0.113.7", "::ffff:203.0.113.7", "2001:db8:5::7", "64:ff9b::cb00:7107"} {
		d := Policy{Mode: Open}.Decide(Request{Host: a, Port: 22})
		require.True(t, d.Allowed)
		require.ErrorContains(t, d.Rule.CheckAddr(netip.MustParseAddr(a), own), "an address of this host", "an open policy, and %s", a)
	}
	alias := rules(t, "host.docker.internal:80")[0]
	require.NoError(t, alias.CheckAddr(HostAddr, own))
	for _, a := range []string{"127.0.0.2", "::1", public, "203.0.113.7"} {
		require.Error(t, alias.CheckAddr(netip.MustParseAddr(a), own), a)
	}
}

// never are addresses that no rule reaches.
var never = []string{
	"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1",
	"100.100.100.200", "168.63.129.16", "192.0.0.192",
	"::", "::1", "fe80::1", "ff02::1", "ff05::1", "fd00:ec2::254", "fd20:ce::254", "2001::1", "64:ff9b:1::1",
	"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1",
	"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::", "64:ff9b::ffff:ffff", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:e000:1::",
}
