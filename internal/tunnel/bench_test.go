//go:build unix

package tunnel

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// ends returns the two ends of a connection, by a unix socket alone or by a tunnel over pipes.
func ends(b *testing.B, way string) (inside, here net.Conn) {
	b.Helper()
	if way == "tunnel" {
		return start(b, "s").pair(b, "s")
	}
	dir, err := os.MkdirTemp("", "tunnel") //nolint:usetesting // its names are too long for a socket
	require.NoError(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(b, err)
	defer l.Close()
	inside, err = net.Dial("unix", filepath.Join(dir, "s"))
	require.NoError(b, err)
	here, err = l.Accept()
	require.NoError(b, err)
	b.Cleanup(func() {
		_ = inside.Close()
		_ = here.Close()
	})
	return inside, here
}

// BenchmarkBulk is how fast bytes go, as the way out reads and writes them.
func BenchmarkBulk(b *testing.B) {
	for _, way := range []string{"unix", "tunnel"} {
		for _, direction := range []string{"up", "down"} {
			b.Run(way+"/"+direction, func(b *testing.B) {
				from, to := ends(b, way)
				if direction == "down" {
					from, to = to, from
				}
				block := make([]byte, 16<<10)
				b.SetBytes(int64(len(block)))
				b.ResetTimer()
				go func() {
					for range b.N {
						_, _ = from.Write(block)
					}
				}()
				_, err := io.CopyN(io.Discard, to, int64(b.N)*int64(len(block)))
				require.NoError(b, err)
			})
		}
	}
}

// BenchmarkRoundTrip is how long a byte takes there and back.
func BenchmarkRoundTrip(b *testing.B) {
	for _, way := range []string{"unix", "tunnel"} {
		b.Run(way, func(b *testing.B) {
			inside, here := ends(b, way)
			go func() { _, _ = io.Copy(here, here) }()
			one := make([]byte, 1)
			b.ResetTimer()
			for range b.N {
				_, _ = inside.Write(one)
				_, err := io.ReadFull(inside, one)
				require.NoError(b, err)
			}
		})
	}
}
