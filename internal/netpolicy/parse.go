package netpolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

const (
	maxPort  = 65535
	maxName  = 253 // RFC 1035, without the trailing dot
	maxLabel = 63
)

const taken = "takes HOST[:PORT], *.DOMAIN[:PORT], IP[:PORT], [IPV6][:PORT] or @PRESET"

// Parse returns the rules that s stands for: HOST[:PORT], *.DOMAIN[:PORT], IP[:PORT],
// [IPV6][:PORT] or @PRESET. Source is that of the rules, except of a preset's, whose
// source is its name. The error says what is wrong and what is taken.
func Parse(s, source string) ([]Rule, error) {
	if name, ok := strings.CutPrefix(s, "@"); ok {
		return presetRules(name)
	}
	r, err := parseRule(s)
	if err != nil {
		return nil, fmt.Errorf("%q: %w; %s", clip(s), err, taken)
	}
	r.Source = source
	return []Rule{r}, nil
}

func presetRules(name string) ([]Rule, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			return p.rules(), nil
		}
		names = append(names, "@"+p.Name)
	}
	return nil, fmt.Errorf("%q is not a preset; presets are %s", clip("@"+name), strings.Join(names, ", "))
}

func parseRule(s string) (Rule, error) {
	switch {
	case strings.Contains(s, "://"):
		return Rule{}, errors.New("it is a URL; give its host alone")
	case strings.Contains(s, "/"):
		return Rule{}, errors.New("a path or a range of addresses cannot be allowed")
	case s == "*" || strings.HasPrefix(s, "*:"):
		return Rule{}, fmt.Errorf("everything is not a host; choose the policy %s", Open)
	}
	host, port, err := splitPort(s)
	if err != nil {
		return Rule{}, err
	}
	r := Rule{Port: port}
	domain, wild := strings.CutPrefix(host, "*.")
	if r.Host, err = canonicalHost(domain); err != nil {
		return Rule{}, err
	}
	if wild {
		return wildcardRule(r)
	}
	return r, checkHost(r)
}

// wildcardRule makes a rule for the domain one for all names below it.
func wildcardRule(r Rule) (Rule, error) {
	if _, err := netip.ParseAddr(r.Host); err == nil {
		return Rule{}, errors.New("addresses have no names below them")
	}
	if isLocalhost(r.Host) || r.Host == HostAlias {
		return Rule{}, errLoopback
	}
	if !strings.Contains(r.Host, ".") {
		return Rule{}, errors.New("a whole top-level domain cannot be allowed")
	}
	r.Host = "*." + r.Host
	return r, nil
}

var errLoopback = fmt.Errorf("the loopback of a container is its own; for a service on the host's allow %s:PORT", HostAlias)

// checkHost refuses a rule that could never have an effect, or too much of one.
func checkHost(r Rule) error {
	if r.Host == HostAlias && r.Port == 0 {
		return fmt.Errorf("a service of the host needs its port: %s:PORT", HostAlias)
	}
	if isLocalhost(r.Host) {
		return errLoopback
	}
	a, err := netip.ParseAddr(r.Host)
	if err != nil {
		return nil // a name
	}
	if a.IsLoopback() || a.IsUnspecified() {
		return errLoopback
	}
	if what := unreachable(a); what != "" {
		return fmt.Errorf("it is %s, which cannot be allowed", what)
	}
	return nil
}

// isLocalhost reports whether the name always means the loopback (RFC 6761).
func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// splitPort takes HOST, HOST:PORT, [IPV6] and [IPV6]:PORT apart; 0 is no port.
func splitPort(s string) (string, int, error) {
	host, port, given := "", "", false
	if rest, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if host, port, closed = strings.Cut(rest, "]"); !closed {
			return "", 0, errors.New(`a "]" is missing`)
		}
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", 0, errors.New("what stands in brackets is not an IPv6 address")
		}
		if port != "" {
			if port, given = strings.CutPrefix(port, ":"); !given {
				return "", 0, errors.New(`only a port can follow "]"`)
			}
		}
	} else if host, port, given = strings.Cut(s, ":"); strings.Contains(port, ":") {
		return "", 0, errors.New("write an IPv6 address in brackets")
	}
	if !given {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port", clip(port))
	}
	return host, int(n), nil
}

var (
	labelRE = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$`)
	// numberRE finds the last label of what a resolver may take for an address:
	// inet_aton takes 127.1, 0x7f.1 and 2130706433. No top-level domain is a number.
	numberRE = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)
)

// canonicalHost returns a host name in lower case without a trailing dot, or an
// address in its usual form, an IPv4 address in IPv6 as what it is.
func canonicalHost(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(s, ".")); err == nil {
		if a.Zone() != "" {
			return "", errors.New("an address with a zone is one of this host's links alone")
		}
		return a.Unmap().String(), nil
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) {
		return "", errors.New("the name has characters beyond ASCII; write it in punycode (xn--…)")
	}
	host := strings.ToLower(strings.TrimSuffix(s, "."))
	if host == "" {
		return "", errors.New("there is no host")
	}
	if len(host) > maxName {
		return "", fmt.Errorf("the name has %d characters, %d are possible", len(host), maxName)
	}
	return host, checkLabels(strings.Split(host, "."))
}

func checkLabels(labels []string) error {
	for _, label := range labels {
		switch {
		case label == "":
			return errors.New("the name has an empty part between dots")
		case len(label) > maxLabel:
			return fmt.Errorf("the part %q… of the name has %d characters, %d are possible", clip(label), len(label), maxLabel)
		case !labelRE.MatchString(label):
			return fmt.Errorf("%q cannot be part of a host name", clip(label))
		}
	}
	if numberRE.MatchString(labels[len(labels)-1]) {
		return errors.New("it is neither a name nor an address in its usual form, as 192.0.2.1")
	}
	return nil
}

// clip shortens what somebody else wrote, for a message.
func clip(s string) string {
	const longest = 80
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}
