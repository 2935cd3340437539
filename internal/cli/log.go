package cli

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// messages is a slog.Handler whose records are messages of this program like any other. Their values may be an
// agent's.
type messages struct {
	printer ui.Printer
	level   slog.Level
	attrs   []slog.Attr
}

// Enabled implements slog.Handler.
func (m messages) Enabled(_ context.Context, level slog.Level) bool { return level >= m.level }

// Handle implements slog.Handler.
func (m messages) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(m.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	if r.Level >= slog.LevelWarn {
		m.printer.Warn(message(r.Message, attrs))
	} else {
		m.printer.Notice(message(r.Message, attrs))
	}
	return nil
}

// message returns the text of a record: what is said, with the values that belong to it, and then why.
func message(text string, attrs []slog.Attr) string {
	var why strings.Builder
	for _, a := range attrs {
		value := foreign.Printable(a.Value.String())
		if a.Key == "err" || a.Key == "reason" {
			why.WriteString(": " + value)
			continue
		}
		text += " " + a.Key + "=" + value
	}
	return text + why.String()
}

// WithAttrs implements slog.Handler.
func (m messages) WithAttrs(attrs []slog.Attr) slog.Handler {
	m.attrs = slices.Concat(m.attrs, attrs)
	return m
}

// WithGroup implements slog.Handler. Our records have no groups.
func (m messages) WithGroup(string) slog.Handler { return m }
