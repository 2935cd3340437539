//go:build linux

package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFirstCall: a call that comes before its sidecar has started is like any
// other. One file for two streams keeps their order only where the tool has the
// file itself.
func TestFirstCall(t *testing.T) {
	c := self(t)
	got := c.script(checks["order"]+";"+checks["order"], "--toolchain-unix-socket", "--toolchain", "python")
	require.Zero(t, got.code)
	truth := natively(t)["order"] + "\n"
	require.Equal(t, truth+truth, got.stdout)
}
