package execproto

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPorts(t *testing.T) {
	for _, ports := range [][]uint16{{}, {1}, {80, 8000, 65535}} {
		got, err := DecodePorts(EncodePorts(ports))
		require.NoError(t, err)
		require.Equal(t, ports, got)
	}
	for name, bad := range map[string][]byte{
		"half a port": {0}, "port 0": {0, 0}, "twice": {0, 1, 0, 1}, "backwards": {0, 2, 0, 1}, "too many": make([]byte, 2*MaxPorts+2),
	} {
		_, err := DecodePorts(bad)
		require.ErrorIs(t, err, ErrFrame, name)
	}
}

func TestParsePort(t *testing.T) {
	for name, want := range map[string]uint16{
		"1": 1, "8000": 8000, "65535": 65535,
		"": 0, "0": 0, "65536": 0, "08": 0, "+8": 0, "-1": 0, "8000 ": 0, "http": 0, "8_0": 0,
	} {
		require.Equal(t, want, ParsePort(name), "%q", name)
	}
}

func FuzzDecodePorts(f *testing.F) {
	f.Add(EncodePorts([]uint16{80, 8000}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ports, err := DecodePorts(b)
		if err == nil {
			require.True(t, bytes.Equal(b, EncodePorts(ports)))
		}
	})
}
