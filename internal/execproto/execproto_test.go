package execproto

import (
	"strings"
	"syscall"
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

func TestSignalNames(t *testing.T) {
	for _, name := range []string{"HUP", "INT", "QUIT", "KILL", "TERM"} {
		s, ok := ParseSignal(name)
		assert.True(t, ok)
		assert.Equal(t, name, SignalName(s))
	}
	for _, bad := range []string{"", "int", "SIGINT", "STOP", "WINCH", "2"} {
		_, ok := ParseSignal(bad)
		assert.False(t, ok, bad)
	}
	assert.Empty(t, SignalName(syscall.SIGPIPE))
}
