package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/support"
)

// TestSupportScreen is the table on a terminal: it is drawn over itself, in lines that
// fit, with dots for what is still to come.
func TestSupportScreen(t *testing.T) {
	var out bytes.Buffer
	s := &supportScreen{w: &out, live: true, width: 34, m: support.Matrix{
		Agents: []support.Agent{{Name: "shell", Image: "i"}}, Transports: []support.Transport{support.TCP},
		Columns: []support.Column{{Kind: "rust"}, {Kind: "go"}},
	}}
	s.draw()
	assert.Equal(t, "\r\x1b[KAGENT  TRANSPORT  STARTS  RUST  G\n\r\x1b[Kshell  tcp        ...     ...   .\n", out.String())
	out.Reset()
	s.color = true
	s.show(support.Cell{Agent: "shell", Transport: support.TCP, Runs: "rust", Code: 3, Output: "x"})
	text := out.String()
	assert.True(t, strings.HasPrefix(text, "\x1b[2A\r\x1b[K"), "over the two lines")
	assert.Contains(t, text, "\x1b[1;31mFAILED\x1b[0m")
	for line := range strings.Lines(text) {
		assert.NotContains(t, line, "G\n", "cut where the terminal would wrap")
	}
}

// TestPassedOn: sessions get the flags that say how sessions are.
func TestPassedOn(t *testing.T) {
	a := &app{}
	root := a.root()
	fs := root.PersistentFlags()
	require.NoError(t, fs.Parse([]string{"--network-policy", "none", "--network-policy", "rust=open", "--memory=2g", "--toolchain", "rust", "--image", "i", "--verbose", "--no-toolchain-cache"}))
	assert.ElementsMatch(t, []string{"--non-interactive", "--network-policy=none", "--network-policy=rust=open", "--memory=2g", "--no-toolchain-cache=true"}, passedOn(fs))
	for _, name := range notPassedOn {
		assert.True(t, name == "help" || fs.Lookup(name) != nil, name)
	}
	assert.Equal(t, []string{"A=1"}, supportEnv([]string{"A=1", "AIFO_CODER_FORK_SESSION=x", "AIFO_TOOLEEXEC_USE_UNIX=1"}))
}
