package ui_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/ui"
)

func TestWidth(t *testing.T) {
	for columns, want := range map[int]int{-1: 80, 0: 80, 10: 40, 60: 60, 80: 80, 100: 100, 250: 100} {
		require.Equal(t, want, ui.Width(columns), columns)
	}
}

func TestWrap(t *testing.T) {
	require.Equal(t, []string{"one two", "three", "four"}, ui.Wrap(" one  two\nthree four", 8))
	require.Equal(t, []string{"a", "very-long-word", "b"}, ui.Wrap("a very-long-word b", 5))
	require.Equal(t, []string{"äöü äöü"}, ui.Wrap("äöü äöü", 7), "columns, not bytes")
	require.Empty(t, ui.Wrap(" ", 10))
}

func TestReflow(t *testing.T) {
	require.Equal(t, "one two\nthree\n\n  as it is, however long\n\nfour\n",
		ui.Reflow("one two three\n\n  as it is, however long\n\nfour", 8))
}

func TestColumns(t *testing.T) {
	long := strings.Repeat("x", 30)
	got := ui.Columns([]ui.Row{{"-a", "one two three"}, {"--bcd", ""}, {long, "four"}}, 18)
	require.Equal(t, "  -a     one two\n         three\n  --bcd\n  "+long+"\n         four\n", got)
	for line := range strings.Lines(ui.Columns([]ui.Row{{"--flag ü", strings.Repeat("word ", 40)}}, 60)) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 60)
	}
}

func TestBold(t *testing.T) {
	require.Equal(t, "x", ui.Bold("x", false))
	require.Equal(t, "\x1b[1mx\x1b[0m", ui.Bold("x", true))
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"abcdef", 0, "abcdef"}, {"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"", 3, ""},
	} {
		require.Equal(t, tt.want, ui.Cut(tt.in, tt.n), "%q to %d", tt.in, tt.n)
	}
}
