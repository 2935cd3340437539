//go:build linux

package relay

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// served has connections passed on to a unix socket where each is handled, and returns the address.
func served(t *testing.T, handle func(*net.UnixConn)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay") //nolint:usetesting // its names are too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	outer, err := net.Listen("unix", socket)
	require.NoError(t, err)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := outer.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				handle(c.(*net.UnixConn))
			})
		}
	})
	done.Go(func() {
		if err := Serve(inner, socket); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = outer.Close()
		_ = inner.Close()
		done.Wait()
	})
	return inner.Addr().String()
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// TestBothWays: each direction arrives whole, and its end while the other goes on.
func TestBothWays(t *testing.T) {
	addr := served(t, func(c *net.UnixConn) {
		got, _ := io.ReadAll(c) // to the end that the client sends
		_, _ = c.Write(append(got, '!'))
	})
	sent := make([]byte, 3<<20)
	_, err := rand.Read(sent)
	require.NoError(t, err)
	c := dial(t, addr)
	_, err = c.Write(sent)
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, bytes.Equal(append(sent, '!'), got))
}

// TestServerGone: a client learns that the other side is gone, also while it sends.
func TestServerGone(t *testing.T) {
	addr := served(t, func(*net.UnixConn) {})
	c := dial(t, addr)
	_, err := io.ReadAll(c)
	require.NoError(t, err)
	for err == nil {
		_, err = c.Write(make([]byte, 64<<10))
	}
}

// TestNobodyBehind: without the socket a client's connection is closed, and the next is taken.
func TestNobodyBehind(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() { _ = Serve(listener, "/nowhere/s") }()
	for range 3 {
		_, err := io.ReadAll(dial(t, listener.Addr().String()))
		require.NoError(t, err)
	}
}

// TestManyAtOnce: more connections than are passed on at once wait, and come through.
func TestManyAtOnce(t *testing.T) {
	addr := served(t, func(c *net.UnixConn) { _, _ = io.Copy(c, c) })
	var clients sync.WaitGroup
	for range maxConns + 50 {
		clients.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = c.Write([]byte("x"))
			_ = c.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != "x" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	clients.Wait()
}
