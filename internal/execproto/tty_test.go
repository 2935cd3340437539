package execproto

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTTY(t *testing.T) {
	for text, want := range map[string]TTY{
		"1": TTYAll, "ioe": TTYAll, "io": TTYIn | TTYOut, "e": TTYErr, "oe": TTYOut | TTYErr,
		"": 0, "0": 0, "eo": 0, "ii": 0, "x": 0, "i o": 0, "11": 0,
	} {
		require.Equal(t, want, ParseTTY(text), "%q", text)
	}
	for streams := range TTYAll + 1 {
		require.Equal(t, streams, ParseTTY(streams.String()))
	}
	require.True(t, TTYErr.Has(2))
	require.False(t, TTYErr.Has(1))
}
