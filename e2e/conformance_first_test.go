//go:build linux

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFirstCall: a call that comes before its sidecar has started is like any
// other. One file for two streams keeps their order only where the tool has the
// file itself.
func TestFirstCall(t *testing.T) {
	c := self(t)
	// A sidecar that needs more than a second has the shim say so on standard error, which is the same
	// pipe: that line is not the tool's.
	const sum = "| cksum"
	require.Contains(t, checks["order"], sum)
	order := strings.Replace(checks["order"], sum, "| grep -vx 'aifo-shim: waiting for the python sidecar to start' "+sum, 1)
	got := c.script(order+";"+order, "--toolchain-unix-socket", "--toolchain", "python")
	require.Zero(t, got.code)
	truth := natively(t)["order"] + "\n"
	require.Equal(t, truth+truth, got.stdout)
}
