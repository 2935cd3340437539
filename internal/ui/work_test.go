package ui_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/syncbuf"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// terminal returns a printer on a terminal of that many columns, and what was written to it.
func terminal(columns int) (ui.Printer, *syncbuf.Buffer) {
	var b syncbuf.Buffer
	return ui.Printer{Screen: ui.NewScreen(&b, func() int { return columns })}, &b
}

// plain is terminal for a file.
func plain() (ui.Printer, *syncbuf.Buffer) {
	var b syncbuf.Buffer
	return ui.Printer{Screen: ui.NewScreen(&b, nil)}, &b
}

// lines is what a terminal shows that was sent the text. The last line is the cursor's.
func lines(sent string) []string {
	sent = strings.ReplaceAll(sent, "\r\n", "\n") // a terminal's driver makes it of the other
	var list []string
	for line := range strings.SplitSeq(sent, "\n") {
		drawn := strings.Split(line, "\r\x1b[K")
		list = append(list, drawn[len(drawn)-1])
	}
	return list
}

func TestWorkOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(40)
		w := p.Begin("making things")
		wait(499 * time.Millisecond)
		require.Empty(t, out.String(), "what is quick is not worth a word")
		wait(2 * time.Millisecond)
		require.Equal(t, []string{"aifo-coder: making things"}, lines(out.String()))
		wait(500 * time.Millisecond)
		require.Equal(t, []string{"aifo-coder: making things (1s)"}, lines(out.String()))
		p.Warn("careful")
		require.Equal(t, []string{"aifo-coder: careful", ""}, lines(out.String()), "a message has a line of its own")
		wait(71 * time.Second)
		require.Equal(t, []string{"aifo-coder: careful", "aifo-coder: making things (1m12s)"}, lines(out.String()))
		w.End(nil)
		w.End(nil)
		wait(time.Minute)
		require.Equal(t, []string{"aifo-coder: careful", ""}, lines(out.String()), "nothing is left, and nothing comes any more")
	})
}

func TestQuickWorkIsNotShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(40)
		w := p.Begin("making things")
		wait(400 * time.Millisecond)
		w.End(nil)
		wait(time.Minute)
		require.Empty(t, out.String())
	})
}

func TestWorkInPlainLines(t *testing.T) {
	for _, tt := range []struct {
		name string
		took time.Duration
		err  error
		want string
	}{
		{"quick", 4900 * time.Millisecond, nil, ""},
		{"long", 65 * time.Second, nil, "aifo-coder: making things\naifo-coder: making things took 1m5s\n"},
		{"in vain", 65 * time.Second, errors.New("no"), "aifo-coder: making things\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, out := plain()
				w := p.Begin("making things").Of(2)
				w.Advance()
				wait(tt.took)
				w.End(tt.err)
				w.End(tt.err)
				wait(time.Minute)
				require.Equal(t, tt.want, out.String())
			})
		})
	}
}

func TestQuietShowsNoWork(t *testing.T) {
	for _, columns := range []func() int{nil, func() int { return 80 }} {
		synctest.Test(t, func(t *testing.T) {
			var out syncbuf.Buffer
			p := ui.Printer{Screen: ui.NewScreen(&out, columns), Quiet: true}
			for _, w := range []*ui.Work{p.Begin("making things").Of(2), p.Announce("pulling things"), p.Hold()} {
				w.Advance()
				wait(time.Minute)
				w.End(nil)
			}
			require.Empty(t, out.String())
		})
	}
}

func TestWorkIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(80)
		w := p.Begin("making things").Of(3)
		w.Advance()
		wait(600 * time.Millisecond)
		require.Equal(t, []string{"aifo-coder: making things, 1 of 3"}, lines(out.String()))
		w.Advance()
		require.Equal(t, []string{"aifo-coder: making things, 2 of 3"}, lines(out.String()))
		w.End(nil)

		p, out = terminal(80)
		defer p.Begin("making a thing").Of(1).End(nil)
		wait(600 * time.Millisecond)
		require.Equal(t, []string{"aifo-coder: making a thing"}, lines(out.String()), "one is no number")
	})
}

// TestWorkWithinWork: the latest is shown, and then again what it was part of.
func TestWorkWithinWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(80)
		outer := p.Begin("making things")
		wait(1100 * time.Millisecond)
		inner := p.Begin("making a part")
		wait(600 * time.Millisecond)
		require.Equal(t, []string{"aifo-coder: making a part"}, lines(out.String()))
		inner.End(nil)
		require.Equal(t, []string{"aifo-coder: making things (1s)"}, lines(out.String()))
		outer.End(nil)
		require.Equal(t, []string{""}, lines(out.String()))
	})
}

// TestWorkLeavesTheScreenToOthers: to a question, and to a program that shows by itself how it goes on.
func TestWorkLeavesTheScreenToOthers(t *testing.T) {
	for name, begin := range map[string]func(ui.Printer) *ui.Work{
		"question": ui.Printer.Hold,
		"program":  func(p ui.Printer) *ui.Work { return p.Announce("pulling things") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, out := terminal(80)
				w := p.Begin("making things")
				wait(1100 * time.Millisecond)
				other := begin(p)
				require.Empty(t, lines(out.String())[len(lines(out.String()))-1], "it begins on an empty line")
				out.Reset()
				wait(time.Minute)
				w.Advance()
				require.Empty(t, out.String())
				other.End(nil)
				wait(time.Second)
				require.Equal(t, []string{"aifo-coder: making things (1m2s)"}, lines(out.String()))
				w.End(nil)
			})
		})
	}
}

func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(80)
		w := p.Announce("pulling things")
		wait(7 * time.Second)
		w.End(nil)
		require.Equal(t, "aifo-coder: pulling things\n", out.String(), "the rest was shown by another")

		p, out = plain()
		w = p.Announce("pulling things")
		require.Equal(t, "aifo-coder: pulling things\n", out.String())
		wait(7 * time.Second)
		w.End(nil)
		require.Equal(t, "aifo-coder: pulling things\naifo-coder: pulling things took 7s\n", out.String())

		p, out = plain()
		p.Announce("pulling things").End(errors.New("no"))
		require.Equal(t, "aifo-coder: pulling things\n", out.String(), "why is said elsewhere")
	})
}

// TestWorkIsOneLine: the terminal would break a longer one, and only its end could be erased.
func TestWorkIsOneLine(t *testing.T) {
	for columns, want := range map[int]string{
		0:  "aifo-coder: making things of many kinds (1m0s)", // the terminal does not say
		47: "aifo-coder: making things of many kinds (1m0s)",
		46: "aifo-coder: making things of many kin… (1m0s)",
		21: "aifo-coder: … (1m0s)",
		20: "",
		1:  "",
	} {
		synctest.Test(t, func(t *testing.T) {
			p, out := terminal(columns)
			w := p.Begin("making things of many kinds")
			wait(time.Minute + time.Millisecond)
			require.Equal(t, []string{want}, lines(out.String()), columns)
			if columns > 0 {
				require.Less(t, utf8.RuneCountInString(want), columns)
			}
			w.End(nil)
		})
	}
}

// TestWorkInTheBackground: the terminal is somebody else's for the time being.
func TestWorkInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(ui.NotNow)
		w := p.Begin("making things")
		wait(time.Minute)
		require.Empty(t, out.String())
		w.End(nil)
	})
}

// TestWorkThatGoesToTheBackground: what stands in its line by then is the shell's.
func TestWorkThatGoesToTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b syncbuf.Buffer
		var columns atomic.Int64
		columns.Store(80)
		p := ui.Printer{Screen: ui.NewScreen(&b, func() int { return int(columns.Load()) })}
		w := p.Begin("making things")
		wait(time.Minute)
		columns.Store(ui.NotNow)
		before := b.String()
		wait(time.Minute)
		w.End(nil)
		require.Equal(t, before, b.String())
	})
}

func TestWorkIsColouredLikeANotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(30)
		p.Color = true
		w := p.Begin("making things of many kinds")
		wait(600 * time.Millisecond)
		require.Equal(t, []string{"\x1b[1;36maifo-coder:\x1b[0m making things of…"}, lines(out.String()), "colours take no columns")
		w.End(nil)
	})
}

// TestScreenIsForSeveral is for the race detector.
func TestScreenIsForSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := terminal(80)
		whole := p.Begin("making things").Of(10)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				part := p.Begin("making a part")
				time.Sleep(time.Second)
				p.Notice("one more")
				part.End(nil)
				whole.Advance()
			})
		}
		all.Wait()
		whole.End(nil)
		require.Equal(t, strings.Split(strings.Repeat("aifo-coder: one more\n", 10), "\n"), lines(out.String()))
	})
}

// wait lets the time of a test go by.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
