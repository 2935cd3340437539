package ui

import (
	"fmt"
	"time"
	"unicode/utf8"
)

const (
	// drawEvery is the time from one drawing of the line to the next, and to the first: what is
	// over sooner is not worth a word.
	drawEvery = 500 * time.Millisecond
	// tellAfter is the same where no line can be drawn again: what is told there stays, often
	// among the output of a tool.
	tellAfter = 5 * time.Second
)

// Work is something under way that may take long. A nil one is shown to nobody.
type Work struct {
	printer Printer
	text    string
	begun   time.Time
	alone   bool // it needs the screen for itself

	// The screen's lock guards these.
	timer       *time.Timer // nil: nothing is to be shown
	done, total int
	told        bool // a message says that it has begun
	over        bool
}

// Begin says that something is under way, until End is called. On a terminal a line shows it, which
// is gone at the end. Elsewhere what takes long gets a message, and another when it has succeeded.
func (p Printer) Begin(text string) *Work {
	return p.begin(&Work{text: text}, func(w *Work) {
		wait := tellAfter
		if p.Screen.Live() {
			wait = drawEvery
		}
		w.timer = time.AfterFunc(wait, w.show)
	})
}

// Announce is Begin for what shows by itself on a terminal how it goes on. It has a message at once,
// and elsewhere one when it has succeeded, however long it took.
func (p Printer) Announce(text string) *Work {
	p.Notice(text)
	return p.begin(&Work{text: text, alone: true}, func(w *Work) { w.told = !p.Screen.Live() })
}

// Hold keeps the screen free until End is called, for a question.
func (p Printer) Hold() *Work {
	return p.begin(&Work{alone: true}, func(*Work) {})
}

func (p Printer) begin(w *Work, prepare func(*Work)) *Work {
	if p.Quiet {
		return nil
	}
	w.printer, w.begun = p, time.Now()
	p.Screen.mu.Lock()
	defer p.Screen.mu.Unlock()
	prepare(w)
	p.Screen.add(w)
	return w
}

// Of says that the work has that many parts. It returns the work.
func (w *Work) Of(total int) *Work {
	w.update(func() { w.total = total })
	return w
}

// Advance says that one part more is done.
func (w *Work) Advance() { w.update(func() { w.done++ }) }

func (w *Work) update(change func()) {
	if w == nil {
		return
	}
	s := w.printer.Screen
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.drawn {
		s.draw()
	}
}

// show draws the line and will do so again, or tells once.
func (w *Work) show() {
	s := w.printer.Screen
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case w.over:
	case s.Live():
		s.draw()
		w.timer.Reset(drawEvery)
	default:
		s.print(w.printer.format(cyan, w.text))
		w.told = true
	}
}

// End says that the work is over, and is to be called before anything else is written to the
// terminal than messages. Whether it has failed is for the caller to tell.
func (w *Work) End(err error) {
	if w == nil {
		return
	}
	s := w.printer.Screen
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.over {
		return
	}
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
	s.remove(w)
	if w.told && err == nil {
		s.print(w.printer.format(cyan, fmt.Sprintf("%s took %s", w.text, w.elapsed())))
	}
}

// elapsed is how long the work takes, in whole seconds.
func (w *Work) elapsed() time.Duration { return time.Since(w.begun).Truncate(time.Second) }

// line returns the work in less than that many columns: a terminal breaks a longer one, and of what
// is broken only the end could be erased. Of one that is very narrow nothing is wanted.
func (w *Work) line(columns int) string {
	text, since := w.text, ""
	if w.total > 1 {
		text += fmt.Sprintf(", %d of %d", w.done, w.total)
	}
	if elapsed := w.elapsed(); elapsed > 0 {
		since = fmt.Sprintf(" (%s)", elapsed)
	}
	room := columns - 1 - utf8.RuneCountInString(name+" "+since)
	if room < 1 {
		return ""
	}
	return w.printer.prefix(cyan) + " " + Cut(text, room) + since
}
