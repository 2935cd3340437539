package ui

import (
	"fmt"
	"io"
	"slices"
	"sync"
)

// Screen is where messages go. Where it is a terminal's, the line below the last message may say
// what is under way: it is drawn again as time goes by, and gives way to whatever is written. No
// mode of the terminal is changed for it, so that whoever is killed leaves some text and nothing else.
type Screen struct {
	w       io.Writer
	columns func() int // of the terminal, or NotNow; nil where there is none

	mu    sync.Mutex
	works []*Work // under way; the latest is shown
	drawn bool
}

// NotNow is the number of columns of a terminal that is another program's at the moment.
const NotNow = -1

// NewScreen returns the screen that w writes to. columns tells the width of the terminal at each moment: 0
// where it does not say, or NotNow. It is nil where there is none on which a line can be drawn again.
func NewScreen(w io.Writer, columns func() int) *Screen {
	return &Screen{w: w, columns: columns}
}

// Live reports whether a line can be drawn again.
func (s *Screen) Live() bool { return s.columns != nil }

// Write implements io.Writer.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	return s.w.Write(p)
}

// The methods below want the lock.

// add adds a work. One that needs the screen for itself finds it free.
func (s *Screen) add(w *Work) {
	s.works = append(s.works, w)
	if w.alone {
		s.erase()
	}
}

// remove takes a work that is over away. What it was part of is shown again.
func (s *Screen) remove(w *Work) {
	s.works = slices.DeleteFunc(s.works, func(o *Work) bool { return o == w })
	if s.drawn {
		s.erase()
		s.draw()
	}
}

// draw draws the line, and leaves the cursor behind it.
func (s *Screen) draw() {
	if len(s.works) == 0 || slices.ContainsFunc(s.works, func(w *Work) bool { return w.alone }) {
		return
	}
	columns := s.columns()
	switch columns {
	case NotNow:
		return
	case 0:
		columns = DefaultWidth
	}
	s.print(eraseLine + s.works[len(s.works)-1].line(columns))
	s.drawn = true
}

func (s *Screen) erase() {
	if s.drawn && s.columns() != NotNow { // otherwise there is a prompt by now, or what is typed there
		s.print(eraseLine)
	}
	s.drawn = false
}

// eraseLine empties the line of the cursor, which goes to its beginning.
const eraseLine = "\r\x1b[K"

func (s *Screen) print(text string) { _, _ = fmt.Fprint(s.w, text) } // there is nobody left to tell
