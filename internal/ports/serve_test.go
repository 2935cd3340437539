//go:build linux

package ports

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/publish"
)

func published(t *testing.T, values ...string) []publish.Port {
	t.Helper()
	var list []publish.Port
	for _, v := range values {
		p, err := publish.Parse(v)
		require.NoError(t, err)
		list = append(list, p)
	}
	return list
}

// TestListenInUse: a port that is taken is refused with who has it, and the others are left alone.
func TestListenInUse(t *testing.T) {
	self := fmt.Sprintf(`"ports.test" (process %d)`, os.Getpid())
	for _, c := range []struct{ held, asked string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.1"}, {"127.0.0.1:0", "0.0.0.0"}, {"[::1]:0", "[::1]"},
	} {
		l, err := net.Listen("tcp", c.held)
		if err != nil {
			t.Skip(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		list, err := Listen(published(t, "0:80", fmt.Sprintf("%s:%d:3000", c.asked, port)))
		require.Nil(t, list)
		var inUse *ListenError
		require.ErrorAs(t, err, &inUse)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.EqualError(t, err, fmt.Sprintf("publish %s:%d:3000: port %d of this machine is in use by %s", c.asked, port, port, self))
		require.Contains(t, inUse.Hint(), "--publish HOSTPORT:3000")
		require.NoError(t, l.Close())
	}
}

func TestListenElsewhere(t *testing.T) {
	_, err := Listen(published(t, "192.0.2.1:0:80"))
	require.EqualError(t, err, "publish 192.0.2.1:0:80: cannot assign requested address")
	var cannot *ListenError
	require.ErrorAs(t, err, &cannot)
	require.Contains(t, cannot.Hint(), "loopback")
}

// TestServe: the system's port leads into the session; where nobody listens the connection is reset.
func TestServe(t *testing.T) {
	w := newWorld(t, node)
	n := w.called("node")
	n.listens("node", 3000)
	list, err := Listen(published(t, "0:3000", "0:3001"))
	require.NoError(t, err)
	for _, l := range list {
		require.NotZero(t, l.Port.Host.Port())
		t.Cleanup(func() { _ = l.Close() })
		go w.Serve(t.Context(), l)
	}
	for range 2 * maxPublished {
		c, err := net.Dial("tcp", list[0].Port.Host.String())
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "node", string(got))
		require.NoError(t, c.Close())
	}
	c, err := net.Dial("tcp", list[1].Port.Host.String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}
