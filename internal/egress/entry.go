package egress

import "time"

// Entry is one line of the log: a request or a tunnel that is over, or was refused. The
// names in JSON stay.
type Entry struct {
	Time      time.Time `json:"time"` // when it began
	Session   string    `json:"session"`
	Container string    `json:"container"` // "agent" or a toolchain kind
	Method    string    `json:"method"`    // CONNECT is a tunnel
	Host      string    `json:"host"`
	Port      int       `json:"port"`
	Allowed   bool      `json:"allowed"`
	// Code says in a word why something was refused or failed (docs/network.md), and
	// Reason says it to people.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Rule is the rule that allowed it, after its source.
	Rule       string `json:"rule,omitempty"`
	Status     int    `json:"status,omitempty"` // of the answer; 200 is a tunnel that was opened
	Sent       int64  `json:"sent"`             // bytes from the container
	Received   int64  `json:"received"`         // bytes to the container
	DurationMS int64  `json:"duration_ms"`
	// Count is how many times the same happened, when one entry stands for several.
	Count int `json:"count,omitempty"`
}

// Codes of an Entry.
const (
	CodePolicy  = "policy"  // the policy does not allow it
	CodeRequest = "request" // it is not a request that can be carried out
	CodeAddress = "address" // the name has only addresses that it may not have
	CodeDNS     = "dns"     // the name could not be resolved
	CodeConnect = "connect" // the destination does not take connections
	CodeTimeout = "timeout" // or does not answer
	CodeProxy   = "proxy"   // the host's own proxy does not let it through
	CodeTLS     = "tls"     // what goes through the tunnel is not TLS for its name
	CodeIdle    = "idle"    // nothing went through for too long
	CodeBusy    = "busy"    // the container has too many connections
	CodeLogFull = "log-full"
)

const (
	maxHostShown   = 253
	maxMethodShown = 16
)
