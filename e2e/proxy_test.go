//go:build linux

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// curlScript speaks protocol versions 1 and 2 with curl from the agent's
// container. $CURL has the options of the transport, $EXEC the address.
const curlScript = `
auth="Authorization: Bearer $AIFO_TOOLEEXEC_TOKEN"
case $AIFO_TOOLEEXEC_URL in
unix://*) set -- --unix-socket "${AIFO_TOOLEEXEC_URL#unix://}"; base=http://localhost ;;
*) base=${AIFO_TOOLEEXEC_URL%/exec} ;;
esac
call() { echo "== $1"; shift; curl -sS --raw -i "$@"; echo; }
call v1 "$@" -H "$auth" -H 'X-Aifo-Proto: 1' --data-urlencode tool=python --data-urlencode cwd=/workspace --data-urlencode arg=-c --data-urlencode 'arg=import sys; print("hé"); sys.exit(4)' $base/exec
call v2 "$@" -H "$auth" -H 'X-Aifo-Proto: 2' -H 'TE: trailers' -d tool=python -d cwd=/workspace -d arg=--version $base/exec
call noauth "$@" -H 'X-Aifo-Proto: 2' -d tool=python $base/exec
call noproto "$@" -H "$auth" -d tool=python $base/exec
call forbidden "$@" -H "$auth" -H 'X-Aifo-Proto: 2' -d tool=bash $base/exec
call absent "$@" -H "$auth" -H 'X-Aifo-Proto: 2' -d tool=cargo $base/exec
call outside "$@" -H "$auth" -H 'X-Aifo-Proto: 2' -d tool=python -d cwd=/etc $base/exec
call get "$@" $base/exec
call nowhere "$@" -X POST $base/nope
`

func checkCurl(t *testing.T, flags ...string) {
	t.Helper()
	c := self(t)
	r := c.script(curlScript, append(flags, "--toolchain", "python")...)
	require.Equal(t, 0, r.code)
	reply := map[string]string{}
	for _, part := range strings.Split(r.stdout, "== ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		reply[name] = text
	}
	require.Contains(t, reply["v1"], "HTTP/1.1 200 OK\r\n")
	require.Contains(t, reply["v1"], "X-Exit-Code: 4\r\n")
	require.Contains(t, reply["v1"], "\r\n\r\nhé\n")
	require.Contains(t, reply["v2"], "HTTP/1.1 200 OK\r\n")
	require.Contains(t, reply["v2"], "Transfer-Encoding: chunked\r\n")
	require.Contains(t, reply["v2"], "Trailer: X-Exit-Code\r\n")
	require.Contains(t, reply["v2"], "Python 3")
	require.Contains(t, reply["v2"], "\r\n0\r\nX-Exit-Code: 0\r\n\r\n")
	for name, status := range map[string]string{
		"noauth": "401 Unauthorized", "noproto": "426 Upgrade Required", "forbidden": "403 Forbidden",
		"absent": "409 Conflict", "outside": "400 Bad Request", "get": "405 Method Not Allowed", "nowhere": "404 Not Found",
	} {
		require.Contains(t, reply[name], "HTTP/1.1 "+status+"\r\n", name)
		require.Contains(t, reply[name], "X-Exit-Code: 86\r\n", name)
	}
}

func TestProxySmoke(t *testing.T) { checkCurl(t) }

func TestProxyUnix(t *testing.T) { checkCurl(t, "--toolchain-unix-socket") }
