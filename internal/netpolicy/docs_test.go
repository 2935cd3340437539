package netpolicy

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocsHaveThePresets wants the table of presets in the documentation to be what the
// code has.
func TestDocsHaveThePresets(t *testing.T) {
	data, err := os.ReadFile("../../docs/network.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(data), "\n## Presets\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	var got, want []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `@") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	for _, p := range Presets() {
		want = append(want, fmt.Sprintf("| `@%s` | %s | `%s` |", p.Name, p.Short, strings.Join(p.Hosts, "`, `")))
	}
	require.Equal(t, want, got)
}
