package execproxy

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListenTCP(t *testing.T) {
	l, err := ListenTCP("127.0.0.1")
	require.NoError(t, err)
	defer l.Close()
	assert.Regexp(t, `^127\.0\.0\.1:[1-9][0-9]*$`, l.Addr().String())

	for _, bad := range []string{"0.0.0.0", "::", "::ffff:0.0.0.0", "", "localhost", "127.0.0.1:80", ":0"} {
		_, err := ListenTCP(bad)
		assert.Error(t, err, "%q", bad)
	}
}

// TestListenTCPAhead listens at an address of the range for documentation, which no host has.
func TestListenTCPAhead(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no bridges elsewhere")
	}
	const absent = "203.0.113.77"
	l, err := ListenTCPAhead(absent)
	require.NoError(t, err)
	defer l.Close()
	assert.Contains(t, l.Addr().String(), absent+":")
	_, err = ListenTCP(absent)
	assert.Error(t, err)
	_, err = ListenTCPAhead("0.0.0.0")
	assert.Error(t, err)
}
