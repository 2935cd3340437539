package ui_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/ui"
)

func TestParseMode(t *testing.T) {
	for want, spellings := range map[ui.Mode][]string{
		ui.Auto:   {"", "auto", "AUTO"},
		ui.Always: {"always", "on", "true", "yes", "Always"},
		ui.Never:  {"never", "off", "false", "no", "OFF"},
	} {
		for _, s := range spellings {
			got, err := ui.ParseMode(s)
			require.NoError(t, err, s)
			require.Equal(t, want, got, s)
		}
	}
	for _, s := range []string{"1", "0", "alway", " auto", "none"} {
		_, err := ui.ParseMode(s)
		require.ErrorContains(t, err, "modes are auto, always, never", s)
	}
}

func TestColored(t *testing.T) {
	for _, tt := range []struct {
		mode    ui.Mode
		noColor string
		tty     bool
		want    bool
	}{
		{ui.Auto, "", true, true},
		{ui.Auto, "", false, false},
		{ui.Always, "", false, true},
		{ui.Always, "", true, true},
		{ui.Never, "", true, false},
		{ui.Auto, "1", true, false},
		{ui.Always, "1", true, false},
		{ui.Always, "0", true, false}, // no-color.org: any value but the empty one
	} {
		require.Equal(t, tt.want, ui.Colored(tt.mode, tt.noColor, tt.tty), "%+v", tt)
	}
}

func TestPrinter(t *testing.T) {
	say := func(p ui.Printer) string {
		var b strings.Builder
		p.Screen = ui.NewScreen(&b, nil)
		p.Error(errors.New("broken"), "mend it")
		p.Error(errors.New("no hint"), "")
		p.Warn("careful")
		p.Notice("working")
		return b.String()
	}
	plain := "aifo-coder: broken\naifo-coder: mend it\naifo-coder: no hint\naifo-coder: careful\n"
	require.Equal(t, plain+"aifo-coder: working\n", say(ui.Printer{}))
	require.Equal(t, plain, say(ui.Printer{Quiet: true}), "quiet drops notices and nothing else")

	colored := say(ui.Printer{Color: true})
	require.Contains(t, colored, "\x1b[1;31maifo-coder:\x1b[0m broken\n")
	require.Contains(t, colored, "\naifo-coder: mend it\n", "a hint has no colour")
	for line := range strings.Lines(colored) {
		require.NotContains(t, strings.TrimPrefix(line, "\x1b"), "m\n", "no colour runs on: %q", line)
	}
}
