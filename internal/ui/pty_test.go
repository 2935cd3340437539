//go:build linux

package ui_test

import (
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// TestWorkOnARealTerminal: it is cut to the width that the terminal has at each moment, gives way to messages, and
// leaves nothing behind, neither text nor modes.
func TestWorkOnARealTerminal(t *testing.T) {
	master, tty, err := pty.Open()
	require.NoError(t, err)
	defer func() { _ = master.Close() }()
	before, err := term.GetState(int(tty.Fd()))
	require.NoError(t, err)
	var out syncbuf.Buffer
	sent := make(chan struct{})
	go func() { // outside of the bubble: reading would keep its time from going by
		defer close(sent)
		_, _ = io.Copy(&out, master) // EIO when the other end is closed
	}()

	resize(t, master, 60)
	synctest.Test(t, func(t *testing.T) { workOn(t, tty, master) })
	after, err := term.GetState(int(tty.Fd()))
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, tty.Close())
	<-sent
	require.Equal(t, "\r\x1b[Kaifo-coder: making things of many kinds"+
		"\r\x1b[Kaifo-coder: making things of… (1s)"+
		"\r\x1b[Kaifo-coder: careful\r\n"+
		"\r\x1b[Kaifo-coder: making things of… (1s)"+
		"\r\x1b[K", out.String())
}

func resize(t *testing.T, terminal *os.File, columns uint16) {
	t.Helper()
	require.NoError(t, pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: columns}))
}

func workOn(t *testing.T, tty, master *os.File) {
	p := ui.Printer{Screen: ui.NewScreen(tty, func() int {
		columns, _, err := term.GetSize(int(tty.Fd()))
		require.NoError(t, err)
		return columns
	})}
	w := p.Begin("making things of many kinds")
	wait(600 * time.Millisecond)
	resize(t, master, 35)
	wait(500 * time.Millisecond)
	p.Warn("careful")
	wait(500 * time.Millisecond)
	w.End(nil)
}
