package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

const (
	// maxAddrs is how many addresses of a host are tried.
	maxAddrs = 16
	// headStart is what an address is ahead of the next (RFC 8305), so that one that
	// does not answer, as with IPv6 that leads nowhere, costs no more.
	headStart = 250 * time.Millisecond
)

// failure says why what is allowed could not be reached. The reason is for the
// container, too, so it holds nothing of this host's, such as its name servers.
type failure struct {
	code   string
	reason string
}

func (f *failure) Error() string { return f.reason }

// status returns the status of the answer that tells it.
func (f *failure) status() int {
	switch f.code {
	case CodeAddress:
		return http.StatusForbidden
	case CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// failureOf returns the failure in err, which came of reaching a destination.
func failureOf(err error) *failure {
	var (
		known   *failure
		dns     *net.DNSError
		errno   syscall.Errno
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return &failure{CodeConnect, "who asked did not wait for it"}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &failure{CodeTimeout, "it does not answer in time"}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &failure{CodeDNS, "there is no host of that name"}
	case errors.As(err, &dns):
		return &failure{CodeDNS, "the name cannot be resolved now"}
	case errors.As(err, &errno):
		return &failure{CodeConnect, errno.Error()}
	}
	return &failure{CodeConnect, "the connection failed"}
}

// dialer reaches destinations.
type dialer struct {
	policy  netpolicy.Policy
	resolve func(context.Context, string) ([]netip.Addr, error)
	proxy   func(*url.URL) (*url.URL, error)
	// own returns the addresses of this host. They change when it joins a network.
	own func() ([]netip.Addr, error)
	// connect connects with an address, never with a name.
	connect func(context.Context, netip.AddrPort) (net.Conn, error)
}

func newDialer(cfg Config) dialer {
	d := dialer{policy: cfg.Policy, resolve: cfg.Resolve, proxy: cfg.Proxy, own: hostfacts.Addresses}
	if d.resolve == nil {
		d.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if d.proxy == nil {
		d.proxy = func(*url.URL) (*url.URL, error) { return nil, nil }
	}
	d.connect = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", a.String())
	}
	return d
}

// proxyFor returns the host's proxy for a destination that is allowed, or nil. What is
// on the host itself needs none.
func (d dialer) proxyFor(scheme string, p place) (*url.URL, error) {
	if p.rule.Host == netpolicy.HostAlias {
		return nil, nil
	}
	proxy, err := d.proxy(&url.URL{Scheme: scheme, Host: p.addr()})
	if err != nil {
		return nil, &failure{CodeProxy, "the setting of this host's HTTP proxy is wrong"}
	}
	return proxy, nil
}

// place is a destination that a rule allows.
type place struct {
	host string // in canonical form
	port int
	rule netpolicy.Rule
}

func (p place) addr() string { return net.JoinHostPort(p.host, strconv.Itoa(p.port)) }

// tunnel connects with the place, through the host's proxy when there is one.
func (d dialer) tunnel(ctx context.Context, p place) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	proxy, err := d.proxyFor("https", p)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		return throughProxy(ctx, proxy, p.addr())
	}
	return d.dial(ctx, p)
}

// dial connects with the place itself, at an address that is checked.
func (d dialer) dial(ctx context.Context, p place) (net.Conn, error) {
	addrs, err := d.addrs(ctx, p)
	if err != nil {
		return nil, err
	}
	return race(ctx, len(addrs), func(ctx context.Context, i int) (net.Conn, error) {
		return d.connect(ctx, netip.AddrPortFrom(addrs[i], uint16(p.port))) //nolint:gosec // Decide checked the port
	})
}

// addrs returns the addresses of the place that may be reached. The name is resolved
// once: what is checked is what is connected with.
func (d dialer) addrs(ctx context.Context, p place) ([]netip.Addr, error) {
	if p.rule.Host == netpolicy.HostAlias {
		return []netip.Addr{netpolicy.HostAddr}, nil
	}
	own, err := d.own()
	if err != nil {
		return nil, err
	}
	found, err := d.lookup(ctx, p.host)
	if err != nil {
		return nil, err
	}
	var good []netip.Addr
	var refused error
	for _, a := range found {
		if err := p.rule.CheckAddr(a, own); err != nil {
			refused = err
		} else if good = append(good, a.Unmap()); len(good) == maxAddrs {
			break
		}
	}
	switch {
	case len(good) > 0:
		return good, nil
	case refused != nil:
		return nil, &failure{CodeAddress, fmt.Sprintf("its address %v", refused)}
	}
	return nil, &failure{CodeDNS, "the name has no address"}
}

func (d dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return d.resolve(ctx, host)
}

// race makes up to n connections, each a little later than the one before or when that
// has failed, and returns the first that stands, or the first error.
func race(ctx context.Context, n int, connect func(context.Context, int) (net.Conn, error)) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, n) // nobody waits for a loser
	next := time.NewTimer(0)
	defer next.Stop()
	var first error
	for started, ended := 0, 0; ended < n; {
		select {
		case <-next.C:
			if i := started; i < n {
				started++
				go func() { c, err := connect(ctx, i); results <- result{c, err} }()
				next.Reset(headStart)
			}
		case r := <-results:
			ended++
			if r.err == nil {
				losers := started - ended
				go func() {
					for range losers {
						if r := <-results; r.err == nil {
							r.conn.Close()
						}
					}
				}()
				return r.conn, nil
			}
			if first == nil {
				first = r.err
			}
			next.Reset(0)
		}
	}
	return nil, first
}

// isTimeout reports whether err says that a deadline has passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
