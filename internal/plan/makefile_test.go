package plan_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// TestHintsNameRealTargets checks that what a message tells the user to make is
// a target of the Makefile.
func TestHintsNameRealTargets(t *testing.T) {
	var targets []string
	for _, k := range (toolchain.Set{}).Kinds() {
		targets = append(targets, k.MakeTarget)
	}
	for _, a := range agent.All() {
		for _, slim := range []bool{false, true} {
			if target := a.MakeTarget(slim); target != "" {
				targets = append(targets, target)
			}
		}
	}
	for _, target := range targets {
		out, err := exec.Command("make", "--dry-run", "--directory", "../..", target).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}
