package publish

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"3000":                   "127.0.0.1:3000:3000",
		"8080:3000":              "127.0.0.1:8080:3000",
		"0:3000":                 "127.0.0.1:0:3000",
		"3000/tcp":               "127.0.0.1:3000:3000",
		"0.0.0.0:8080:80":        "0.0.0.0:8080:80",
		"192.0.2.1:8080":         "192.0.2.1:8080:8080",
		"[::1]:8080:80":          "[::1]:8080:80",
		"[::]:8080":              "[::]:8080:8080",
		"127.0.0.2:65535:1":      "127.0.0.2:65535:1",
		"[::ffff:192.0.2.1]:1:2": "[::ffff:192.0.2.1]:1:2",
	} {
		got, err := Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got.String(), in)
	}
	for in, want := range map[string]string{
		"":                "is not a port",
		"0":               "say 0:PORT",
		"3000:0":          "say 0:PORT",
		"3000/udp":        "not UDP",
		"3000/UDP":        "not UDP",
		"3000/sctp":       "only TCP",
		"3000-3005":       "no ranges",
		"3000-3005:80":    "no ranges",
		"65536":           "is not a port",
		"+80":             "is not a port",
		"http":            "is not a port",
		":80":             "is not a port",
		"80:":             "is not a port",
		"localhost:80:80": "is not an IP address",
		"::1:80":          "is not",
		"[::1]":           "brackets",
		"[::1]8080":       "brackets",
		"[::1%lo]:80:80":  "is not an IP address",
		"256.0.0.1:80:80": "is not an IP address",
		"127.0.0.1":       "is not a port",
		"127.0.0.1::80":   "is not a port",
		"1:2:3:4":         "is not",
	} {
		_, err := Parse(in)
		require.ErrorContains(t, err, want, in)
	}
}

func TestExposed(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1": false, "127.0.0.9": false, "::1": false, "0.0.0.0": true, "::": true, "192.0.2.1": true} {
		require.Equal(t, want, Port{Host: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}.Exposed(), addr)
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		ports []string
		fails bool
	}{
		"different":            {[]string{"80", "81"}, false},
		"the same":             {[]string{"80", "80"}, true},
		"to two places":        {[]string{"80:1", "80:2"}, true},
		"other addresses":      {[]string{"127.0.0.1:80", "127.0.0.2:80"}, false},
		"all addresses":        {[]string{"127.0.0.1:80", "0.0.0.0:80"}, true},
		"both versions":        {[]string{"127.0.0.1:80", "[::1]:80"}, false},
		"chosen by the system": {[]string{"0:80", "0:80"}, false},
	} {
		var ports []Port
		for _, s := range c.ports {
			p, err := Parse(s)
			require.NoError(t, err)
			ports = append(ports, p)
		}
		require.Equal(t, c.fails, Check(ports) != nil, name)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"3000", "0.0.0.0:0:80/tcp", "[::1]:80", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
