package execproto

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestValidExecID(t *testing.T) {
	for _, ok := range []string{"a", "A-b_9", "0", strings.Repeat("x", MaxExecIDLen)} {
		assert.True(t, ValidExecID(ok), "%q", ok)
	}
	for _, bad := range []string{"", "-a", "a b", "a/b", "a.b", "ä", "a\n", "$a", strings.Repeat("x", MaxExecIDLen+1)} {
		assert.False(t, ValidExecID(bad), "%q", bad)
	}
}
