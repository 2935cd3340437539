package provider_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/provider"
)

// TestDocsTable keeps the table of docs/credentials.md equal to that of the code.
func TestDocsTable(t *testing.T) {
	code := func(names []string) string {
		if len(names) == 0 {
			return "–"
		}
		return "`" + strings.Join(names, "`, `") + "`"
	}
	rows := []string{
		"| Provider | Key | Address | Set in the agent besides | Default address | The key travels in |",
		"|---|---|---|---|---|---|",
	}
	for _, p := range provider.All() {
		var places []string
		for _, place := range p.Places {
			switch {
			case place.Header == "":
				places = append(places, "?"+place.Query+"=")
			case place.Scheme != "":
				places = append(places, place.Header+": "+place.Scheme)
			default:
				places = append(places, place.Header)
			}
		}
		upstream := "–"
		if p.Upstream != "" {
			upstream = p.Upstream
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s |",
			p.Name, code(slices.Concat(p.Keys, p.Tokens)), code(p.Bases), code(p.Written), upstream, code(places)))
	}
	doc, err := os.ReadFile("../../docs/credentials.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), strings.Join(rows, "\n")+"\n\n")
}
