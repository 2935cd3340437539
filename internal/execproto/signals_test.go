package execproto

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSignalNames(t *testing.T) {
	for name, n := range map[string]syscall.Signal{
		"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "CONT": 18, "TSTP": 20, "WINCH": 28,
	} {
		s, ok := ParseSignal(name)
		assert.True(t, ok)
		assert.Equal(t, n, s)
		assert.Equal(t, name, SignalName(s))
	}
	for _, bad := range []string{"", "int", "SIGINT", "STOP", "PIPE", "2"} {
		_, ok := ParseSignal(bad)
		assert.False(t, ok, bad)
	}
	assert.Empty(t, SignalName(syscall.SIGPIPE))
}

func TestEnds(t *testing.T) {
	for name := range signals {
		assert.Equal(t, name != "CONT" && name != "TSTP" && name != "WINCH", Ends(name), name)
	}
}
