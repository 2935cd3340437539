package egress

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

func TestTunnelToAName(t *testing.T) {
	there, tlsConfig := secure(t, hello)
	h := start(t, Config{Policy: allow(t, "example.com")})
	h.reach("198.51.100.1:443", there.Listener.Addr().String())
	c := h.http(tlsConfig)
	for range 3 { // of one connection
		require.Equal(t, "hello", get(t, c, "https://example.com/"))
	}
	c.CloseIdleConnections()
	e := h.recorded(1)[0]
	require.NotZero(t, e.Sent)
	require.NotZero(t, e.Received)
	require.WithinDuration(t, time.Now(), e.Time, patience)
	e.Time, e.Sent, e.Received, e.DurationMS = time.Time{}, 0, 0, 0
	require.Equal(t, Entry{Container: "rust", Method: "CONNECT", Host: "example.com", Port: 443, Allowed: true, Rule: "--allow-host example.com", Status: 200}, e)
}

func TestTunnelToTheHost(t *testing.T) {
	there, tlsConfig := secure(t, hello)
	p := port(there.Listener.Addr().String())
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+p)})
	tlsConfig.ServerName = "example.com"
	require.Equal(t, "hello", get(t, h.http(tlsConfig), "https://host.docker.internal:"+p))
	require.Zero(t, h.lookups, "the name is nobody's to resolve")
}

// TestTunnelRefused wants that whoever is refused can read why, in the status line
// at least, and what to do.
func TestTunnelRefused(t *testing.T) {
	refusedByResolver := map[string][]netip.Addr{
		"internal.example":  {netip.MustParseAddr("127.0.0.1")},
		"cloud.example":     {netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("::ffff:169.254.169.254")},
		"lan.wild.example":  {netip.MustParseAddr("10.0.0.1")},
		"nothing.example":   {},
		"this-host.example": nil, // filled in below
	}
	own, err := hostfacts.Addresses()
	require.NoError(t, err)
	refusedByResolver["this-host.example"] = own
	resolve := func(_ context.Context, host string) ([]netip.Addr, error) {
		if addrs, ok := refusedByResolver[host]; ok {
			return addrs, nil
		}
		return nil, errNoHost
	}
	policy := allow(t, "internal.example", "cloud.example", "*.wild.example", "nothing.example", "this-host.example", "absent.example", "example.org:8443")
	for _, tt := range []struct {
		policy             netpolicy.Policy
		target             string
		status, code, body string
	}{
		{policy, "Evil.Example:443", "403 aifo-coder: Evil.Example:443 is not allowed by the network policy", CodePolicy,
			"aifo-coder: the network policy of this session does not allow rust to reach Evil.Example:443: it is not in the allowlist; the user can allow it with --allow-host rust=evil.example (aifo-coder network log shows what was refused)\n"},
		{policy, "evil.example:22", "403 aifo-coder: evil.example:22 is not allowed by the network policy", CodePolicy, "--allow-host rust=evil.example:22 "},
		{policy, "[2001:db8::9]:443", "403 aifo-coder: [2001:db8::9]:443 is not allowed by the network policy", CodePolicy, "--allow-host rust=[2001:db8::9] "},
		{policy, "host.docker.internal:443", "403 aifo-coder: host.docker.internal:443 is not allowed by the network policy", CodePolicy, "--allow-host rust=host.docker.internal:443 "},
		{policy, "example.org:443", "403 aifo-coder: example.org:443 is not allowed by the network policy", CodePolicy, "it is allowed only on port 8443"},
		{policy, "internal.example:443", "403 aifo-coder: internal.example:443: its address 127.0.0.1 is a loopback address", CodeAddress, "cannot be reached: its address 127.0.0.1 is a loopback address\n"},
		{policy, "cloud.example:443", "403 aifo-coder: cloud.example:443: its address ::ffff:169.254.169.254 is link-local", CodeAddress, ""},
		{policy, "lan.wild.example:443", "403 aifo-coder: lan.wild.example:443: its address 10.0.0.1 is private", CodeAddress, ""},
		{policy, "this-host.example:443", "403 aifo-coder: this-host.example:443: its address ", CodeAddress, ""},
		{policy, "nothing.example:443", "502 aifo-coder: nothing.example:443: the name has no address", CodeDNS, ""},
		{policy, "absent.example:443", "502 aifo-coder: absent.example:443: there is no host of that name", CodeDNS, ""},
		{policy, "*.wild.example:443", "403 aifo-coder: *.wild.example:443 is not allowed by the network policy", CodePolicy, `"*" cannot be part of a host name (aifo`},
		{policy, "127.1:443", "403 aifo-coder: 127.1:443 is not allowed by the network policy", CodePolicy, "in its usual form, as 192.0.2.1 (aifo"},
		{policy, "169.254.169.254:80", "403 aifo-coder: 169.254.169.254:80 is not allowed by the network policy", CodePolicy, "it is not in the allowlist (aifo"},
		{policy, "b\u00fccher.example:443", "403 aifo-coder: b?cher.example:443 is not allowed by the network policy", CodePolicy, "write it in punycode"},
		{policy, "example.org", "400 aifo-coder: CONNECT takes a host and a port", CodeRequest, ""},
		{policy, "example.org:0", "400 aifo-coder: CONNECT takes a host and a port", CodeRequest, ""},
		{policy, "example.org:65979", "400 aifo-coder: CONNECT takes a host and a port", CodeRequest, ""},
		{policy, "example.org:x", "400 Bad Request", "", "400 Bad Request"}, // of net/http
		{netpolicy.Policy{Mode: netpolicy.None}, "example.org:443", "403 aifo-coder: example.org:443 is not allowed by the network policy", CodePolicy,
			"the network policy is none; the user can allow it with --network-policy rust=allowlist --allow-host rust=example.org "},
	} {
		t.Run(tt.target, func(t *testing.T) {
			h := start(t, Config{Policy: tt.policy, Resolve: resolve})
			c := h.dial()
			c.send("CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", tt.target)
			if tt.code != "" {
				c.send("%s", strings.Repeat("sent ahead", 1000))
			}
			resp, body := c.answer()
			require.True(t, strings.HasPrefix(resp.Status, tt.status), resp.Status)
			require.Equal(t, tt.code, resp.Header.Get("X-Aifo-Denied"))
			require.Contains(t, body, tt.body)
			require.NotContains(t, body, "10.9.8.7", "the host's name server is not a container's to know")
			if tt.code == "" {
				return
			}
			_, err := c.r.ReadByte()
			require.ErrorIs(t, err, io.EOF)
			c.Close()
			e := h.recorded(1)[0]
			require.Equal(t, []any{"rust", "CONNECT", tt.code, resp.StatusCode, int64(0)}, []any{e.Container, e.Method, e.Code, e.Status, e.Sent})
			require.NotEmpty(t, e.Reason)
			require.Equal(t, tt.code == CodeDNS, e.Allowed)
			require.Empty(t, h.connected)
		})
	}
}

// TestTunnelAddressIsTheCheckedOne: a name server that answers differently the second
// time gains nothing, for there is no second time.
func TestTunnelAddressIsTheCheckedOne(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "hello") })
	var once sync.Once
	h := start(t, Config{Policy: allow(t, "example.org:80"), Resolve: func(context.Context, string) ([]netip.Addr, error) {
		addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		once.Do(func() { addrs = []netip.Addr{netip.MustParseAddr("127.0.0.2"), public, netip.MustParseAddr("::1")} })
		return addrs, nil
	}})
	h.reach("198.51.100.1:80", there)
	c := h.dial()
	c.connect("example.org:80")
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:80")}, h.connected)
	require.Equal(t, 1, h.lookups)
}

// TestTunnelTriesAllAddresses: the first address does not answer, the second refuses.
func TestTunnelTriesAllAddresses(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "hello") })
	list := []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("198.51.100.2"), public}
	h := start(t, Config{Policy: allow(t, "example.org:80"), Resolve: func(context.Context, string) ([]netip.Addr, error) { return list, nil }})
	h.reach("[2001:db8::1]:80", "")
	h.reach("198.51.100.1:80", there)
	c := h.dial()
	c.connect("example.org:80")
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

func TestTunnelFailures(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	p := port(closed.Addr().String())
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+p, "slow.example"), Resolve: func(ctx context.Context, _ string) ([]netip.Addr, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	for target, want := range map[string]string{
		"host.docker.internal:" + p: "502 aifo-coder: host.docker.internal:" + p + ": connection refused",
		"slow.example:443":          "504 aifo-coder: slow.example:443: it does not answer in time",
	} {
		c := h.dial()
		c.send("CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", target)
		resp, _ := c.answer()
		require.Equal(t, want, resp.Status)
	}
}

// TestTunnelHalfClose: either side may end what it sends and go on reading.
func TestTunnelHalfClose(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) {
		if first, err := io.ReadAll(c); err == nil {
			_, _ = c.Write([]byte(strings.ToUpper(string(first))))
		}
	})
	p := port(there)
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+p)})
	c := h.dial()
	// What is sent together with the request belongs to the tunnel.
	c.send("CONNECT host.docker.internal:%s HTTP/1.1\r\nHost: x\r\n\r\nahead ", p)
	resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	c.send("and after")
	require.NoError(t, c.Conn.(*net.UnixConn).CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "AHEAD AND AFTER", string(got))
	e := h.recorded(1)[0]
	require.Equal(t, []int64{15, 15}, []int64{e.Sent, e.Received})
	require.Empty(t, e.Code)

	other := raw(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "first")
		_ = c.CloseWrite()
		got, _ := io.ReadAll(c)
		if string(got) != "second" {
			t.Errorf("got %q", got)
		}
	})
	h = start(t, Config{Policy: allow(t, "host.docker.internal:"+port(other))})
	c = h.dial()
	c.connect("host.docker.internal:" + port(other))
	got, err = io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "first", string(got))
	c.send("second")
	require.NoError(t, c.Conn.(*net.UnixConn).CloseWrite())
	h.recorded(1)
}

// TestTunnelMuch sends more than any buffer holds, both ways at once.
func TestTunnelMuch(t *testing.T) {
	const size = 32 << 20
	there := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+port(there))})
	c := h.dial()
	c.connect("host.docker.internal:" + port(there))
	go func() {
		block := make([]byte, 1<<20)
		for i := range size / len(block) {
			binary.BigEndian.PutUint32(block, uint32(i))
			if _, err := c.Write(block); err != nil {
				return // the other end tells
			}
		}
		_ = c.Conn.(*net.UnixConn).CloseWrite()
	}()
	block := make([]byte, 1<<20)
	for i := range size / len(block) {
		_, err := io.ReadFull(c, block)
		require.NoError(t, err)
		require.EqualValues(t, i, binary.BigEndian.Uint32(block))
	}
	_, err := c.r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	e := h.recorded(1)[0]
	require.Equal(t, []int64{size, size}, []int64{e.Sent, e.Received})
}

func TestTunnelIdle(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+port(there))}, func(l *limits) { l.idle = 400 * time.Millisecond })
	c := h.dial()
	begun := time.Now()
	c.connect("host.docker.internal:" + port(there))
	for time.Since(begun) < time.Second { // bytes keep it
		c.send("x")
		_, err := c.r.ReadByte()
		require.NoError(t, err)
	}
	_, err := c.r.ReadByte() // until it ends
	require.True(t, ended(err), "%v", err)
	e := h.recorded(1)[0]
	require.Equal(t, CodeIdle, e.Code)
	require.True(t, e.Allowed)
}

// TestShutdownEndsTunnels: all ends, and is in the log before Shutdown returns.
func TestShutdownEndsTunnels(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	web := site(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	h := start(t, Config{Policy: allow(t, "host.docker.internal:"+port(there), "host.docker.internal:"+port(web.URL))})
	tunnel, plain, idle := h.dial(), h.dial(), h.dial()
	tunnel.connect("host.docker.internal:" + port(there))
	plain.send("GET http://host.docker.internal:%s/ HTTP/1.1\r\nHost: x\r\n\r\n", port(web.URL))
	resp, err := http.ReadResponse(plain.r, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, h.server.Shutdown(ctx))
	h.mu.Lock()
	require.Len(t, h.entries, 2)
	h.mu.Unlock()
	for _, c := range []*client{tunnel, plain, idle} {
		_, err := io.Copy(io.Discard, c)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
	_, err = net.Dial("unix", h.socket)
	require.Error(t, err)
}

// clientHello returns the message with which a TLS client begins, without records.
func clientHello(t *testing.T, cfg *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	go func() { _ = tls.Client(b, cfg).Handshake() }()
	var message []byte
	for len(message) < 4 || len(message) < 4+int(message[1])<<16+int(message[2])<<8+int(message[3]) {
		head := make([]byte, 5)
		_, err := io.ReadFull(a, head)
		require.NoError(t, err)
		part := make([]byte, binary.BigEndian.Uint16(head[3:]))
		_, err = io.ReadFull(a, part)
		require.NoError(t, err)
		message = append(message, part...)
	}
	return message
}

// protocols are names that make a ClientHello of about so many bytes.
func protocols(size int) []string {
	var list []string
	for n := 0; n < size; n += 256 {
		list = append(list, strings.Repeat("x", 255))
	}
	return list
}

// records puts a message into TLS records of at most size bytes.
func records(message []byte, size int) []byte {
	var out []byte
	for len(message) > 0 {
		n := min(size, len(message))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out = append(out, message[:n]...)
		message = message[n:]
	}
	return out
}

// TestTunnel443 sends different beginnings to the port of HTTPS.
func TestTunnel443(t *testing.T) {
	of := func(name string, size int) []byte {
		return clientHello(t, &tls.Config{ServerName: name, InsecureSkipVerify: name == "", NextProtos: protocols(size), MinVersion: tls.VersionTLS12})
	}
	const record = 16 << 10
	for _, tt := range []struct {
		name   string
		begin  []byte
		reason string // why it ends
	}{
		{"own name", records(of("example.org", 0), record), ""},
		{"own name in capitals", records(of("EXAMPLE.org", 0), record), ""},
		{"no name", records(of("", 0), record), "TLS is begun for no name, where example.org is allowed"},
		{"large", records(of("example.org", 40<<10), record), ""},
		{"small records", records(of("example.org", 15<<10), 100), ""},
		{"records of one byte", records(of("example.org", 0), 1), ""},
		{"other name", records(of("evil.example", 0), record), "TLS is begun for another name: evil.example"},
		{"other name in small records", records(of("evil.example", 0), 7), "TLS is begun for another name: evil.example"},
		{"subdomain", records(of("www.example.org", 0), record), "TLS is begun for another name: www.example.org"},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), "what is sent to port 443 is not TLS"},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.9\r\n"), "what is sent to port 443 is not TLS"},
		{"another message", []byte{22, 3, 1, 0, 5, 2, 0, 0, 1, 0}, "what is sent to port 443 is not TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan []byte, 1)
			there := raw(t, func(c *net.TCPConn) { b, _ := io.ReadAll(c); got <- b })
			h := start(t, Config{Policy: allow(t, "example.org")})
			h.reach("198.51.100.1:443", there)
			c := h.dial()
			c.connect("example.org:443")
			for _, part := range [][]byte{tt.begin[:3], tt.begin[3:]} { // a record's head is cut, too
				_, err := c.Write(part)
				require.NoError(t, err)
			}
			if tt.reason == "" {
				_, err := c.Write([]byte(" and more"))
				require.NoError(t, err)
				require.NoError(t, c.Conn.(*net.UnixConn).CloseWrite())
				require.True(t, string(tt.begin)+" and more" == string(<-got), "what arrived is not what was sent")
				e := h.recorded(1)[0]
				require.Equal(t, []any{true, "", int64(len(tt.begin) + 9)}, []any{e.Allowed, e.Code, e.Sent})
				return
			}
			answer, err := io.ReadAll(c)
			require.NoError(t, err)
			if strings.Contains(tt.reason, "name") {
				require.Equal(t, unrecognizedName, answer)
			} else {
				require.Empty(t, answer)
			}
			require.Empty(t, <-got, "nothing of it gets out")
			e := h.recorded(1)[0]
			require.Equal(t, []any{false, CodeTLS, tt.reason}, []any{e.Allowed, e.Code, e.Reason})
		})
	}
}

// TestTunnel443ToAnAddress: clients of an address have no name to give.
func TestTunnel443ToAnAddress(t *testing.T) {
	for name, ok := range map[string]bool{"": true, "evil.example": false} {
		got := make(chan []byte, 1)
		there := raw(t, func(c *net.TCPConn) { b, _ := io.ReadAll(c); got <- b })
		h := start(t, Config{Policy: allow(t, "198.51.100.1")})
		h.reach("198.51.100.1:443", there)
		c := h.dial()
		c.connect("198.51.100.1:443")
		begin := records(clientHello(t, &tls.Config{ServerName: name, InsecureSkipVerify: true}), 1<<14)
		_, err := c.Write(begin)
		require.NoError(t, err)
		require.NoError(t, c.Conn.(*net.UnixConn).CloseWrite())
		require.Equal(t, ok, string(begin) == string(<-got))
	}
}

// TestTunnel443Silent: who opens a tunnel and says nothing does not keep it.
func TestTunnel443Silent(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	h := start(t, Config{Policy: allow(t, "example.org")}, func(l *limits) { l.hello = 50 * time.Millisecond })
	h.reach("198.51.100.1:443", there)
	c := h.dial()
	c.connect("example.org:443")
	_, err := io.Copy(io.Discard, c)
	require.NoError(t, err)
	e := h.recorded(1)[0]
	require.Equal(t, []any{true, "", int64(0)}, []any{e.Allowed, e.Code, e.Sent})
}

// TestTunnelOpenPolicy: nothing is compared where everything is allowed.
func TestTunnelOpenPolicy(t *testing.T) {
	there := raw(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	h := start(t, Config{Policy: netpolicy.Policy{Mode: netpolicy.Open}})
	h.reach("198.51.100.1:443", there)
	c := h.dial()
	c.connect("example.org:443")
	c.send("SSH-2.0")
	got := make([]byte, 7)
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	c.Close()
	require.Equal(t, "open example.org", h.recorded(1)[0].Rule)
}

func FuzzReadHello(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		name, read, err := readHello(strings.NewReader(string(data)))
		if !strings.HasPrefix(string(data), string(read)) {
			t.Fatalf("read %q of %q", read, data)
		}
		if err != nil && name != "" {
			t.Fatalf("%q and %v", name, err)
		}
	})
}

func FuzzConnectTarget(f *testing.F) {
	for _, s := range []string{"example.org:443", "b\u00fccher.example:1", "[::1]:80", "a:b:c", ":", "", "example.org:+1"} {
		f.Add(s)
	}
	policy := netpolicy.Policy{Mode: netpolicy.Allowlist}
	s := newServer(Config{Policy: policy, Container: "agent"}, limits{conns: 1})
	f.Fuzz(func(t *testing.T, uri string) {
		target, err := connectTarget(uri)
		if err != nil {
			return
		}
		ref := s.refusePolicy(target, policy.Decide(netpolicy.Request{Host: target.host, Port: target.port}))
		head, _, _ := strings.Cut(string(ref.raw()), "\r\n\r\n")
		if lines := strings.Split(head, "\r\n"); len(lines) != 5 || strings.ContainsFunc(head, func(r rune) bool { return r > '~' || r < ' ' && r != '\r' && r != '\n' }) || len(head) > 1500 {
			t.Fatalf("%q makes %q", uri, head)
		}
	})
}
