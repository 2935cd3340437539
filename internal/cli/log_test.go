package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/ui"
)

func TestMessages(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(messages{printer: ui.Printer{Screen: ui.NewScreen(&b, nil)}, level: slog.LevelInfo})
	log.Warn("calls are not traced", "err", errors.New("open \x1b[31mx"))
	log.With("kind", "rust").Info("tool call", "tool", "a\nb")
	log.Debug("not shown")
	require.Equal(t, "aifo-coder: calls are not traced: open \\x1b[31mx\naifo-coder: tool call kind=rust tool=a\\nb\n", b.String())
}
