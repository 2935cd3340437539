package egress

import (
	"sync/atomic"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
)

// exchange is a request or a tunnel under way, of which an entry is made.
type exchange struct {
	entry  Entry
	host   string // in canonical form, when it is allowed
	record func(Entry)

	sent, received atomic.Int64
}

func (s *Server) begun(t target) *exchange {
	return &exchange{record: s.cfg.Record, entry: Entry{
		Time: time.Now(), Container: s.cfg.Container,
		Method: jsonlog.Clean(t.method, maxMethodShown), Host: jsonlog.Clean(t.host, maxHostShown), Port: t.port,
	}}
}

func (x *exchange) allow(d netpolicy.Decision) {
	x.host = d.Host
	x.entry.Allowed, x.entry.Host, x.entry.Rule = true, d.Host, d.Rule.Source+" "+d.Rule.String()
}

// refuse notes an answer of ours. What has an address that it may not have counts as
// refused, although its name is allowed.
func (x *exchange) refuse(r *refusal) {
	x.entry.Status = r.status
	x.fail(&failure{r.code, r.reason})
}

func (x *exchange) fail(f *failure) {
	x.entry.Code, x.entry.Reason = f.code, f.reason
	if f.code == CodeAddress || f.code == CodeTLS {
		x.entry.Allowed = false
	}
}

func (x *exchange) status(code int) { x.entry.Status = code }

func (x *exchange) count(sent, received int64) {
	x.sent.Store(sent)
	x.received.Store(received)
}

// over records the exchange.
func (x *exchange) over() {
	x.entry.Sent, x.entry.Received = x.sent.Load(), x.received.Load()
	x.entry.DurationMS = time.Since(x.entry.Time).Milliseconds()
	x.record(x.entry)
}
