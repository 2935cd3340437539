package netpolicy

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"example.org", "*.example.org:8443", "[2001:db8::1]:80", "192.0.2.1:80", "@crates", "host.docker.internal:1", "0x7f.1", "127.1", "a..b", "[::ffff:1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rules, err := Parse(s, "test")
		if err != nil {
			if len(rules) > 0 || len(err.Error()) > 1000 {
				t.Fatalf("%d rules and an error of %d bytes", len(rules), len(err.Error()))
			}
			return
		}
		for _, r := range rules {
			checkRule(t, r)
		}
	})
}

// checkRule wants of a rule what everything relies on.
func checkRule(t *testing.T, r Rule) {
	again, err := Parse(r.String(), r.Source)
	if err != nil || len(again) != 1 || again[0] != r {
		t.Fatalf("%+v is written %q, which is %+v, %v", r, r.String(), again, err)
	}
	if r.Host == HostAlias {
		return
	}
	for _, a := range never {
		if r.CheckAddr(netip.MustParseAddr(a), nil) == nil {
			t.Fatalf("%v reaches %s", r, a)
		}
	}
	// What inet_aton takes must not get here as a name: resolvers would take it, too.
	if _, err := netip.ParseAddr(r.Host); err != nil && strings.Trim(r.Host, "0123456789.") == "" {
		t.Fatalf("%v is a number and counts as a name", r)
	}
}

func FuzzDecide(f *testing.F) {
	policy := Policy{Mode: Allowlist}
	for _, s := range []string{"example.org", "*.example.net:8443", "192.0.2.1:80", "[2001:db8::1]", "host.docker.internal:5432"} {
		rules, err := Parse(s, "test")
		if err != nil {
			f.Fatal(err)
		}
		policy.Rules = append(policy.Rules, rules...)
	}
	for _, host := range []string{"example.org", "a.example.net", "192.0.2.1", "::ffff:192.0.2.1", "example.org.", "host.docker.internal", "example.org\x00", "0300.0.2.1"} {
		f.Add(host, 443, false)
	}
	f.Fuzz(func(t *testing.T, host string, port int, plain bool) {
		d := policy.Decide(Request{Host: host, Port: port, Plain: plain})
		if d.Allowed == (d.Reason != "") {
			t.Fatalf("%+v", d)
		}
		if !d.Allowed {
			return
		}
		plainName := strings.TrimSuffix(strings.ToLower(host), ".")
		ip := net.ParseIP(plainName)
		switch {
		case plainName == "example.org", plainName == HostAlias, strings.HasSuffix(plainName, ".example.net"):
		case ip != nil && (ip.Equal(net.ParseIP("192.0.2.1")) || ip.Equal(net.ParseIP("2001:db8::1"))):
		default:
			t.Fatalf("%q is allowed by %v", host, d.Rule)
		}
		if port < 1 || port > 65535 {
			t.Fatalf("port %d is allowed", port)
		}
	})
}
