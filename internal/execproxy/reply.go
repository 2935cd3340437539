package execproxy

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const contentType = "text/plain; charset=utf-8"

// refusal is a plain reply to a request that is not carried out.
type refusal struct {
	status int
	exit   int
	body   string
}

// The refusals that do not depend on the request (docs/protocol.md, "Order of
// checks").
var (
	refuseHeaders      = refused(http.StatusRequestHeaderFieldsTooLarge, "request headers too large")
	refuseRequest      = refused(http.StatusBadRequest, "bad request")
	refuseNotFound     = refused(http.StatusNotFound, "not found")
	refuseMethod       = refused(http.StatusMethodNotAllowed, "method not allowed")
	refuseTool         = refused(http.StatusForbidden, "forbidden")
	refuseToken        = refused(http.StatusUnauthorized, "unauthorized")
	refuseProto        = refused(http.StatusUpgradeRequired, "Unsupported shim protocol; expected 1 or 2")
	refuseNotifyProto  = refused(http.StatusUpgradeRequired, "unsupported notify protocol; expected 2")
	refuseNoUpgrade    = refused(http.StatusUpgradeRequired, "protocol 3 needs an upgrade to "+execproto.Upgrade)
	refuseNotify       = refused(http.StatusForbidden, "notifications are not configured")
	refuseMCP          = refused(http.StatusForbidden, "this session does not serve MCP")
	refuseIDInUse      = refused(http.StatusConflict, "exec id already in use")
	refuseBusy         = refused(http.StatusServiceUnavailable, "too many tool calls at once")
	refuseMemory       = refused(http.StatusServiceUnavailable, TooMuchHeld)
	refuseEnding       = refused(http.StatusServiceUnavailable, "the session is ending")
	refuseTooLong      = &refusal{http.StatusBadRequest, execproto.ExitNotExecutable, "argument list too long\n"}
	refuseNoMCPUpgrade = refused(http.StatusUpgradeRequired, "MCP needs an upgrade to "+execproto.UpgradeMCP)
	replyTimeout       = &refusal{http.StatusGatewayTimeout, execproto.ExitTimeout, "timeout\n"}
)

func refused(status int, text string) *refusal {
	return &refusal{status, execproto.ExitRefused, text + "\n"}
}

// refuseError is the reply to a failure outside the tool.
func refuseError(err error) *refusal {
	return refused(http.StatusInternalServerError, fmt.Sprintf("aifo-coder proxy error: %v", err))
}

// refuseWaiting is the reply to a version 3 call whose wait for its sidecar was
// ended by err. One that a signal ended has the signal's code and no more.
func refuseWaiting(err error) *refusal {
	if out := failed(err); out.err == nil {
		return &refusal{http.StatusOK, out.code, ""}
	}
	return refuseFailed(err)
}

// refuseAbsent is the reply when the session has none of the kinds that may serve the tool. Versions 1
// and 2 keep the existing program's text, line break in front included; others name what would help.
func (req *request) refuseAbsent(kinds []string) *refusal {
	if req.proto == protoBuffered || req.proto == protoStreamed {
		return refused(http.StatusConflict, fmt.Sprintf("\r\ntool '%s' not available in running sidecars; "+
			"start an appropriate toolchain (e.g., --toolchain c-cpp or --toolchain rust)", req.tool))
	}
	return refused(http.StatusConflict, fmt.Sprintf("this session has no toolchain with %s; start it with --toolchain %s",
		req.tool, strings.Join(kinds, ", or ")))
}

// refuseKind is the reply to a call for a toolchain that the session lacks.
func refuseKind(kind string, session []Toolchain) *refusal {
	var names []string
	for _, t := range session {
		names = append(names, t.Kind)
	}
	return refused(http.StatusConflict, fmt.Sprintf("this session has no toolchain %q; it has %s", kind, strings.Join(names, ", ")))
}

func (f *refusal) write(w http.ResponseWriter) {
	if f.status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", f.upgrade()) // RFC 9110, 15.5.22
	}
	plain(w, f.status, f.exit, int64(len(f.body)))
	_, _ = io.WriteString(w, f.body)
}

// upgrade is the protocol that a client has to upgrade to.
func (f *refusal) upgrade() string {
	if f == refuseNoMCPUpgrade {
		return execproto.UpgradeMCP
	}
	return execproto.Upgrade
}

// raw is the reply as bytes, for a request that net/http could not read.
func (f *refusal) raw() []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s: %d\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		f.status, http.StatusText(f.status), contentType, execproto.HeaderExitCode, f.exit, len(f.body), f.body)
}

// plain sends the head of a plain reply.
func plain(w http.ResponseWriter, status, exit int, length int64) {
	h := w.Header()
	h["Date"] = nil // nobody reads it
	h.Set("Content-Type", contentType)
	h.Set(execproto.HeaderExitCode, strconv.Itoa(exit))
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	h.Set("Connection", "close")
	w.WriteHeader(status)
}

// noBody is the reply to a delivered signal.
func noBody(w http.ResponseWriter) {
	h := w.Header()
	h["Date"] = nil
	h.Set("Connection", "close")
	w.WriteHeader(http.StatusNoContent)
}
