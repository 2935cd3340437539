package merge

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRefusalNamesTheFile(t *testing.T) {
	require.Equal(t, "changes of yours that are not committed are in the way, first in a b", refusal("error: Entry 'a b' not uptodate. Cannot merge."))
	require.Contains(t, refusal("error: something\nelse"), "something else")
}

func TestBranchWithoutACommit(t *testing.T) {
	require.Equal(t, "main has no commit yet", decide(situation{base: "refs/heads/main", unborn: true}).left)
	require.Equal(t, "the branch main is gone", decide(situation{base: "refs/heads/main"}).left)
}
