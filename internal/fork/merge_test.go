package fork_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/fork"
)

func TestPaneFetchLines(t *testing.T) {
	for want, p := range map[string]fork.PaneFetch{
		"pane 1: no commits":                     {Index: 1},
		"pane 1: commits beyond the base: 2":     {Index: 1, Ahead: 2},
		"pane 1: it is broken":                   {Index: 1, Problem: "it is broken", Ahead: 2},
		"pane 1: fork/main/a-1":                  {Index: 1, Ahead: 2, Fetched: foreign.Fetched{Refs: []foreign.FetchedRef{{Ref: "refs/heads/fork/main/a-1"}}}},
		"pane 1: fork/main/a-1 in submodule s m": {Index: 1, Fetched: foreign.Fetched{Refs: []foreign.FetchedRef{{Submodule: "s m", Ref: "refs/heads/fork/main/a-1"}}}},
	} {
		require.Equal(t, []string{want}, p.Lines())
	}
}

func TestDiffOfARemovedPane(t *testing.T) {
	r := fork.Record{SID: "ab12", Panes: []fork.Pane{{Index: 1, Removed: true}}}
	err := fork.Service{}.Diff(t.Context(), r, 1, foreign.Diff{})
	var removed *fork.RemovedError
	require.ErrorAs(t, err, &removed)
	require.NotEmpty(t, removed.Hint())
}
