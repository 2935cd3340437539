package accept_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/accept"
)

// short is a listener of a process that has no file left at first.
type short struct {
	net.Listener
	fails int
}

func (s *short) Accept() (net.Conn, error) {
	if s.fails > 0 {
		s.fails--
		return nil, syscall.EMFILE
	}
	return s.Listener.Accept()
}

func TestNext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	s := &short{Listener: l, fails: 2}
	conn, err := accept.Next(s)
	require.NoError(t, err)
	require.Equal(t, client.LocalAddr().String(), conn.RemoteAddr().String())
	require.NoError(t, conn.Close())
	require.NoError(t, l.Close())
	_, err = accept.Next(s)
	require.ErrorIs(t, err, net.ErrClosed)
}
