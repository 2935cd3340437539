package execproxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, "Transport".

// TestIdleConnectionsKeepNobodyOut opens more connections than there may be
// without the token, says little or nothing on them, and then makes a call.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	s := newConns()
	var first net.Conn
	for i := range maxPending + 10 {
		client, srv := net.Pipe()
		defer client.Close()
		if i == 0 {
			first = client
		}
		require.NotNil(t, s.add(fromAddress{srv, fmt.Sprintf("192.0.2.%d", i%8)}))
	}
	assert.Equal(t, maxPending, s.pending.Len())
	_, err := first.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF, "the oldest is closed")
}

// fromAddress is a connection from an address.
type fromAddress struct {
	net.Conn
	host string
}

func (c fromAddress) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.host), Port: 1} }

// TestOneAddressKeepsNobodyOut: a container that opens connections and says nothing
// loses its own, not those of others.
func TestOneAddressKeepsNobodyOut(t *testing.T) {
	s := newConns()
	other, srv := net.Pipe()
	defer other.Close()
	c := s.add(fromAddress{srv, "192.0.2.2"})
	var first net.Conn
	for i := range maxPending * 2 {
		client, srv := net.Pipe()
		defer client.Close()
		if i == 0 {
			first = client
		}
		require.NotNil(t, s.add(fromAddress{srv, "192.0.2.1"}))
	}
	assert.Equal(t, maxPendingFrom+1, s.pending.Len())
	_, err := first.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	assert.NotNil(t, c.element, "the other's is still there")
	s.closePending()
	assert.Empty(t, s.from)
}

func TestAdmittedConnectionsAreNotClosed(t *testing.T) {
	s := newConns()
	client, srv := net.Pipe()
	defer client.Close()
	c := s.add(srv)
	c.admit()
	for i := range maxPending + 1 {
		_, srv := net.Pipe()
		require.NotNil(t, s.add(fromAddress{srv, fmt.Sprintf("192.0.2.%d", i%8)}))
	}
	go c.Write([]byte("x"))
	c.enter()
	_, err := io.ReadFull(client, make([]byte, 1))
	assert.NoError(t, err)
}

func TestConnectionsAreLimited(t *testing.T) {
	s := newConns()
	var all []*conn
	for range maxConns {
		_, srv := net.Pipe()
		c := s.add(srv)
		c.admit()
		all = append(all, c)
	}
	_, srv := net.Pipe()
	assert.Nil(t, s.add(srv))
	all[0].Close()
	all[0].Close()
	assert.Equal(t, maxConns-1, s.total)
	assert.NotNil(t, s.add(srv))
}

// TestSlowHeader: a connection that sends its header slowly blocks nobody, and
// is closed in the end.
func TestSlowHeader(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.Executor = exit(0, "") }, func(t bubble) {
		slow, start := t.dial(), time.Now()
		_, err := io.WriteString(slow, "POST /exec HTTP/1.1\r\n")
		require.NoError(t, err)
		c := upgradeOn(t, t.dial(), form("cargo"))
		assert.Equal(t, result{}, c.rest())
		c.Close()
		_, err = slow.Read(make([]byte, 1))
		assert.Error(t, err)
		assert.Equal(t, headerTimeout, time.Since(start))
	})
}

// TestSlowBody: the same for a body, with and without the token.
func TestSlowBody(t *testing.T) {
	for _, header := range []string{"X-Filler: 1", auth} {
		inBubble(t, func(*Config) {}, func(t bubble) {
			c, start := t.dial(), time.Now()
			_, err := io.WriteString(c, strings.TrimSuffix(post("/exec", "tool=cargo", header), "o"))
			require.NoError(t, err)
			b, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.Equal(t, "bad request\n", parseReply(t, string(b)).body)
			assert.GreaterOrEqual(t, time.Since(start), bodyTimeout)
			assert.Less(t, time.Since(start), 2*bodyTimeout)
		})
	}
}

func TestHeadScanner(t *testing.T) {
	tests := map[string]int{
		"a\r\n\r\nb": 5, "a\n\nb": 3, "a\r\n\nb": 4, "a\n\r\nb": 4, "a\r\nb\r\n": -1, "": -1, "a\r\nb\n\n\n": 6,
	}
	for in, want := range tests {
		assert.Equal(t, want, new(headScanner).end([]byte(in)), "%q", in)
		s, got, n := new(headScanner), -1, 0
		for i := range in { // byte by byte
			if e := s.end([]byte{in[i]}); e >= 0 && got < 0 {
				got = n + e
			}
			n++
		}
		assert.Equal(t, want, got, "%q", in)
	}
}
