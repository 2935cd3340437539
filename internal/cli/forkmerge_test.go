package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/fork"
)

// TestMergedSaysWhatWasDone: a preview must not read as if something had been merged.
func TestMergedSaysWhatWasDone(t *testing.T) {
	done := fork.MergeReport{Strategy: fork.StrategyOctopus, Base: "main", Target: "refs/heads/main", Commit: "abc"}
	left := done
	left.Target, left.Left = "refs/heads/merge/ab12", "main is gone"
	nothing := fork.MergeReport{Strategy: fork.StrategyOctopus}
	for want, r := range map[string]fork.MergeReport{
		"merged to main: abc\n": done,
		"merged to the branch merge/ab12, not to main: main is gone\n": left,
		"there was nothing to merge\n":                                 nothing,
		"":                                                             {Strategy: fork.StrategyFetch},
	} {
		require.Equal(t, want, merged(r))
	}
	for want, r := range map[string]fork.MergeReport{
		"would merge to main\n": done,
		"would merge to the branch merge/ab12, not to main: main is gone\n": left,
		"there is nothing to merge\n":                                       nothing,
	} {
		r.DryRun = true
		require.Equal(t, want, merged(r))
	}
}
