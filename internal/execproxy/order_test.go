package execproxy

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const absentMake = "\r\ntool 'make' not available in running sidecars; start an appropriate toolchain " +
	"(e.g., --toolchain c-cpp or --toolchain rust)\n"

// TestOrderOfChecks pins status, body and exit code of every refusal, and which
// of two wins (docs/protocol.md, "Order of checks").
func TestOrderOfChecks(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	manyHeaders := make([]string, 1100)
	for i := range manyHeaders {
		manyHeaders[i] = "X-Filler: 1"
	}
	tests := []struct {
		name    string
		raw     string
		session string // kinds, "rust" by default
		status  int
		body    string
	}{
		// 1: a request that cannot be read
		{"not HTTP", "hello\r\n\r\n", "", 400, "bad request\n"},
		{"HTTP/1.1 without Host", "POST /exec HTTP/1.1\r\n\r\n", "", 400, "bad request\n"},
		{"unknown transfer encoding", "POST /exec HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "", 400, "bad request\n"},
		{"unknown expectation", post("/exec", "", "Expect: 200-ok"), "", 400, "bad request\n"},
		{"too many header lines", post("/exec", "", manyHeaders...), "", 431, "request headers too large\n"},
		{"headers too long", post("/exec", "", "X-Filler: "+long(200<<10)), "", 431, "request headers too large\n"},
		{"headers before path", post("/nope", "", manyHeaders...), "", 431, "request headers too large\n"},
		{"more body than announced", "POST /exec HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntool=cargo", "", 400, "bad request\n"},
		{"body without a length", "POST /exec HTTP/1.1\r\nHost: x\r\n\r\ntool=cargo", "", 400, "bad request\n"},
		{"bad chunk size", "POST /exec HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", 400, "bad request\n"},
		// 2: path and method
		{"unknown path", post("/nope", ""), "", 404, "not found\n"},
		{"legacy path", post("/notifications-cmd", ""), "", 404, "not found\n"},
		{"unknown path, not POST", "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n", "", 404, "not found\n"},
		{"not POST", "GET /exec HTTP/1.1\r\nHost: x\r\n\r\n", "", 405, "method not allowed\n"},
		{"not POST, lines ending in LF", "GET /exec HTTP/1.1\nHost: x\n\n", "", 405, "method not allowed\n"},
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "", 404, "not found\n"},
		{"method before cwd", "PUT /exec?cwd=/etc HTTP/1.1\r\nHost: x\r\n\r\n", "", 405, "method not allowed\n"},
		// 3 and 4: cwd and limits, before the token is looked at
		{"cwd outside", post("/exec", "tool=cargo&cwd=/etc"), "", 400, "bad request\n"},
		{"cwd empty", post("/exec", "tool=cargo&cwd="), "", 400, "bad request\n"},
		{"cwd outside, unknown tool", post("/exec", "tool=bash&cwd=/etc"), "", 400, "bad request\n"},
		{"cwd outside for signal", post("/signal", "cwd=/workspace/.."), "", 400, "bad request\n"},
		{"cwd outside for notify", post("/notify", "cwd=relative"), "", 400, "bad request\n"},
		{"tool too long", post("/exec", "tool="+long(65)), "", 400, "bad request\n"},
		{"cwd too long", post("/exec", "cwd=/workspace/"+long(4096)), "", 400, "bad request\n"},
		{"cmd too long", post("/notify", "cmd="+long(129)), "", 400, "bad request\n"},
		{"argument too long", post("/exec", "tool=cargo&arg="+long(execproto.MaxArgLen+1), auth, proto1), "", 400, "bad request\n"},
		{"arguments too long", post("/exec", "tool=cargo"+strings.Repeat("&arg="+long(100<<10), 21), auth, proto1), "", 400, "bad request\n"},
		{"too many arguments", post("/exec", "tool=cargo"+strings.Repeat("&arg=", execproto.MaxArgs+1), auth, proto1), "", 400, "bad request\n"},
		{"NUL in an argument", post("/exec", "tool=cargo&arg=a%00b", auth, proto1), "", 400, "bad request\n"},
		{"body over the limit", post("/exec", "tool=cargo&x="+long(execproto.MaxBody), auth, proto1), "", 400, "bad request\n"},
		{"body over the limit without token", post("/exec", "tool=bash&x="+long(execproto.MaxBodyNoAuth)), "", 401, "unauthorized\n"},
		{"chunks over the limit without token", "POST /exec HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" +
			long(0x20000), "", 401, "unauthorized\n"},
		// 5: unknown tool, before the token
		{"unknown tool without token", post("/exec", "tool=bash"), "", 403, "forbidden\n"},
		{"known tool without token", post("/exec", "tool=cargo"), "", 401, "unauthorized\n"},
		{"known tool in capitals without token", post("/exec", "tool=CARGO"), "", 401, "unauthorized\n"},
		// 6: token, version, tool
		{"no tool, no token", post("/exec", ""), "", 401, "unauthorized\n"},
		{"wrong token", post("/exec", "tool=cargo", "Authorization: Bearer "+testToken[1:], proto1), "", 401, "unauthorized\n"},
		{"bare token", post("/exec", "tool=cargo", "Authorization: "+testToken, proto1), "", 401, "unauthorized\n"},
		{"basic", post("/exec", "tool=cargo", "Authorization: Basic "+testToken, proto1), "", 401, "unauthorized\n"},
		{"quoted token", post("/exec", "tool=cargo", `Authorization: Bearer "`+testToken+`"`, proto1), "", 401, "unauthorized\n"},
		{"token and comma", post("/exec", "tool=cargo", auth+",", proto1), "", 401, "unauthorized\n"},
		{"last token counts", post("/exec", "tool=cargo", auth, "Authorization: Bearer x", proto1), "", 401, "unauthorized\n"},
		{"no version", post("/exec", "tool=cargo", auth), "", 426, "Unsupported shim protocol; expected 1 or 2\n"},
		{"version 99", post("/exec", "tool=cargo", auth, "X-Aifo-Proto: 99"), "", 426, "Unsupported shim protocol; expected 1 or 2\n"},
		{"version before empty tool", post("/exec", "", auth), "", 426, "Unsupported shim protocol; expected 1 or 2\n"},
		{"no tool", post("/exec", "", auth, proto1), "", 400, "bad request\n"},
		{"version 2 on HTTP/1.0", "POST /exec?tool=cargo HTTP/1.0\r\n" + auth + "\r\n" + proto2 + "\r\n\r\n", "", 400, "bad request\n"},
		{"version 3 without upgrade", post("/exec", "tool=cargo", auth, "X-Aifo-Proto: 3"), "", 426, "protocol 3 needs an upgrade to aifo-exec/3\n"},
		{"version 3, other upgrade", post("/exec", "tool=cargo", auth, "X-Aifo-Proto: 3", "Connection: Upgrade", "Upgrade: websocket"), "", 426,
			"protocol 3 needs an upgrade to aifo-exec/3\n"},
		{"version 3, chunked", "POST /exec HTTP/1.1\r\nHost: x\r\n" + strings.Join(upgrade, "\r\n") +
			"\r\nTransfer-Encoding: chunked\r\n\r\na\r\ntool=cargo\r\n0\r\n\r\n", "", 400, "bad request\n"},
		// 7 and 8: routing
		{"tool in capitals", post("/exec", "tool=CARGO", auth, proto1), "", 403, "forbidden\n"},
		{"no sidecar", post("/exec", "tool=make", auth, proto1), "python", 409, absentMake},
		{"no sidecar, version 2", post("/exec", "tool=make", auth, proto2), "python", 409, absentMake},
		{"no sidecar, version 3", post("/exec", "tool=make", upgrade...), "python", 409, "this session has no toolchain with make; start it with --toolchain c-cpp, or rust, or node\n"},
		{"no such toolchain", post("/exec", "tool=app&kind=c-cpp", upgrade...), "", 409, "this session has no toolchain \"c-cpp\"; it has rust\n"},
		{"toolchain in version 2", post("/exec", "tool=app&kind=rust", auth, proto2), "", 403, "forbidden\n"},
		{"path without a slash", post("/exec", "tool=cargo&path=cargo", upgrade...), "", 400, "bad request\n"},
		{"path with a NUL", post("/exec", "tool=cargo&path=/a%00", upgrade...), "", 400, "bad request\n"},
		{"path too long", post("/exec", "tool=cargo&path=/"+long(4096), upgrade...), "", 400, "bad request\n"},
		{"tool by path, on no list", post("/exec", "tool=bash&path=/bin/bash", upgrade...), "", 403, "forbidden\n"},
		{"long name by path, on no list", post("/exec", "tool="+long(255)+"&path=/x/y", upgrade...), "", 403, "forbidden\n"},
		{"name that no file has", post("/exec", "kind=rust&tool="+long(256), upgrade...), "", 400, "bad request\n"},
		// 9: exec id
		{"bad exec id", post("/exec", "tool=cargo", auth, proto1, "X-Aifo-Exec-Id: a/b"), "", 400, "bad request\n"},
		{"bad exec id, no sidecar", post("/exec", "tool=make", auth, proto1, "X-Aifo-Exec-Id: a/b"), "python", 409, absentMake},
		// /signal
		{"signal without token", post("/signal", "exec_id=x"), "", 401, "unauthorized\n"},
		{"signal without version", post("/signal", "exec_id=x", auth), "", 426, "Unsupported shim protocol; expected 1 or 2\n"},
		{"signal without id", post("/signal", "signal=INT", auth, proto2), "", 400, "bad request\n"},
		{"signal with id in the query", post("/signal?exec_id=x", "signal=INT", auth, proto2), "", 400, "bad request\n"},
		{"signal with key in capitals", post("/signal", "EXEC_ID=x", auth, proto2), "", 400, "bad request\n"},
		{"signal to nobody", post("/signal", "exec_id=x&signal=FOO", auth, proto2), "", 404, "not found\n"},
		// /notify
		{"notify without token", post("/notify", "cmd=say"), "", 401, "unauthorized\n"},
		{"notify without version", post("/notify", "cmd=say", auth), "", 426, "Unsupported shim protocol; expected 1 or 2\n"},
		{"notify in version 1", post("/notify", "", auth, proto1), "", 426, "unsupported notify protocol; expected 2\n"},
		{"notify without command", post("/notify", "", auth, proto2), "", 400, "bad request\n"},
		{"notify", post("/notify", "cmd=say", auth, proto2), "", 403, "notifications are not configured\n"},
		// /tools
		{"tools without token", post("/tools", ""), "", 401, "unauthorized\n"},
		{"tools without version", post("/tools", "", auth), "", 426, "Unsupported shim protocol; expected 1 or 2\n"},
		{"tools in version 1", post("/tools", "", auth, proto1), "", 400, "bad request\n"},
		{"tools with an unknown word", post("/tools", "arg=--yaml", auth, proto2), "", 400, "bad request\n"},
		{"MCP without token", post("/mcp", "", "X-Aifo-Proto: 3"), "", 401, "unauthorized\n"},
		{"MCP in version 2", post("/mcp", "", auth, proto2), "", 400, "bad request\n"},
		{"no MCP here", post("/mcp", "", auth, "X-Aifo-Proto: 3", "Connection: Upgrade", "Upgrade: aifo-mcp/1"), "", 403, "this session does not serve MCP\n"},
		{"tools with two words", post("/tools", "arg=--json&arg=--json", auth, proto2), "", 400, "bad request\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(newFakeExecutor(func(_ context.Context, c Call) (int, error) {
				t.Errorf("%v was run", c.Argv)
				return 0, nil
			}))
			if tt.session != "" {
				cfg.Sidecars = &fakeSidecars{has: []string{tt.session}}
			}
			raw := serve(t, cfg).send(t, tt.raw)
			got := parseReply(t, raw)
			assert.Equal(t, tt.status, got.status)
			assert.Equal(t, tt.body, got.body)
			assert.Equal(t, "86", got.exit)
			assert.Equal(t, contentType, got.header.Get("Content-Type"))
			if strings.HasPrefix(raw, "HTTP/1.1") { // in HTTP/1.0 it goes without saying
				assert.Contains(t, raw, "\r\nConnection: close\r\n")
			}
		})
	}
}

// TestAccepted holds the near misses: what looks unusual and is served.
func TestAccepted(t *testing.T) {
	tests := map[string]string{
		"plain":                   post("/exec", "tool=cargo", auth, proto1),
		"path in capitals":        post("/EXEC", "tool=cargo", auth, proto1),
		"method in small letters": strings.Replace(post("/exec", "tool=cargo", auth, proto1), "POST", "post", 1),
		"lines ending in LF":      strings.ReplaceAll(post("/exec", "tool=cargo", auth, proto1), "\r\n", "\n"),
		"form in the query":       post("/exec?tool=cargo", "", auth, proto1),
		"keys in capitals":        post("/exec", "TOOL=cargo", auth, proto1),
		"last tool counts":        post("/exec?tool=bash", "tool=cargo", auth, proto1),
		"scheme in capitals":      post("/exec", "tool=cargo", "authorization:  BEARER \t "+testToken+"  ", proto1),
		"last token counts":       post("/exec", "tool=cargo", "Authorization: Bearer x", auth, proto1),
		"version with blanks":     post("/exec", "tool=cargo", auth, "X-Aifo-Proto:   1 "),
		"chunks": "POST /exec HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n" + proto1 +
			"\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\ntool=\r\n5\r\ncargo\r\n0\r\n\r\n",
		"HTTP/1.0": "POST /exec?tool=cargo HTTP/1.0\r\n" + auth + "\r\n" + proto1 + "\r\n\r\n",
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			got := parseReply(t, serve(t, testConfig(exit(3, "ran\n"))).send(t, raw))
			assert.Equal(t, reply{status: 200, exit: "3", body: "ran\n", header: got.header}, got)
		})
	}
}

func TestEmptyTokenLetsNobodyIn(t *testing.T) {
	for _, h := range []string{"Bearer ", "Bearer", "Bearer  \t"} {
		assert.False(t, authorized(http.Header{"Authorization": {h}}, ""), h)
	}
}
