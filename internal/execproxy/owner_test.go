package execproxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTokenOfAnotherContainer: the token works where it was used first, and nowhere else.
func TestTokenOfAnotherContainer(t *testing.T) {
	s := serve(t, testConfig(exit(7, "")))
	status := func(from string) int {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "tcp", s.addr)
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, post("/exec", "tool=cargo", auth, "X-Aifo-Proto: 1"))
		require.NoError(t, err)
		reply, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		defer reply.Body.Close()
		return reply.StatusCode
	}
	assert.Equal(t, http.StatusOK, status("127.0.0.1"))
	assert.Equal(t, http.StatusUnauthorized, status("127.0.0.2"))
	assert.Equal(t, http.StatusOK, status("127.0.0.1"), "the owner goes on")
}
