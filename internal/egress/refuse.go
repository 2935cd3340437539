package egress

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// deniedHeader has the code of a refusal, for programs.
const deniedHeader = "X-Aifo-Denied"

// refusal is an answer of ours in place of the destination's.
type refusal struct {
	status int
	code   string
	short  string // fits a status line, which is all that most clients show
	reason string // why, for the log
	text   string // a paragraph for whoever reads answers
}

// target is what a container asks for, in its own words.
type target struct {
	method string
	host   string
	port   int
	plain  bool
}

// String returns the target for people.
func (t target) String() string {
	return jsonlog.Clean(net.JoinHostPort(t.host, strconv.Itoa(t.port)), maxHostShown)
}

// allowFlag returns what --allow-host would have to be to allow the target, or "" when
// nothing would. The host is the target's in canonical form, and empty when it is none.
func (t target) allowFlag(host string) string {
	r := netpolicy.Rule{Host: host, Port: t.port}
	if usual := map[bool]int{true: 80, false: 443}[t.plain]; r.Port == usual && r.Host != netpolicy.HostAlias {
		r.Port = 0
	}
	s := r.String()
	if _, err := netpolicy.Parse(s, ""); err != nil {
		return ""
	}
	return s
}

// refusePolicy says that the policy does not allow the target, and what would.
func (s *Server) refusePolicy(t target, d netpolicy.Decision) *refusal {
	text := fmt.Sprintf("the network policy of this session does not allow %s to reach %s: %s", s.cfg.Container, t, d.Reason)
	if rule := t.allowFlag(d.Host); rule != "" {
		flags := fmt.Sprintf("--allow-host %s=%s", s.cfg.Container, rule)
		if s.cfg.Policy.Mode == netpolicy.None {
			flags = fmt.Sprintf("--network-policy %s=%s %s", s.cfg.Container, netpolicy.Allowlist, flags)
		}
		text += fmt.Sprintf("; the user can allow it with %s", flags)
	}
	return &refusal{
		status: http.StatusForbidden, code: CodePolicy, reason: d.Reason,
		short: fmt.Sprintf("%s is not allowed by the network policy", t),
		text:  text + " (aifo-coder network log shows what was refused)",
	}
}

// refuseFailure says that the target was allowed and could not be reached.
func refuseFailure(t target, f *failure) *refusal {
	return &refusal{
		status: f.status(), code: f.code, reason: f.reason,
		short: fmt.Sprintf("%s: %s", t, f.reason),
		text:  fmt.Sprintf("%s cannot be reached: %s", t, f.reason),
	}
}

// refuseRequest says that a request makes no sense to a proxy.
func refuseRequest(why string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: CodeRequest, reason: why, short: why, text: why}
}

var busyRefusal = &refusal{
	status: http.StatusServiceUnavailable, code: CodeBusy,
	short: "too many connections",
	text:  fmt.Sprintf("this container has %d connections, and more are not possible", maxConns),
}

func (r *refusal) body() string { return "aifo-coder: " + r.text + "\n" }

// write answers with the refusal.
func (r *refusal) write(w http.ResponseWriter) {
	w.Header().Set(deniedHeader, r.code)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body())))
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body())
}

// raw returns the whole answer with a status line that says why, after which the
// connection is closed.
func (r *refusal) raw() []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d aifo-coder: %s\r\nContent-Type: text/plain; charset=utf-8\r\n%s: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		r.status, ascii(r.short), deniedHeader, r.code, len(r.body()), r.body())
}

// ascii keeps a status line to what every client can read.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
