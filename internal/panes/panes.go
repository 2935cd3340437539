// Package panes runs programs side by side: in a tmux session, in the background
// with logs, or in the windows of Windows Terminal and PowerShell. What is to be run is
// data without secrets, and the argument vectors are made from it by pure functions.
// Whatever was started is ended again when not all of it can be. Which program has
// ended is not known here: a window that closes, or a client that detaches, says nothing.
package panes

import (
	"fmt"
	"strings"
	"unicode"
)

// Spec is what runs side by side.
type Spec struct {
	Mark   string // whose they are: the id of a fork session
	Name   string // of the tmux session; SessionName makes one from any words
	Window string // of the first tmux window
	Layout Layout
	Panes  []Pane
}

// Pane is one program.
type Pane struct {
	Index int    // from 1
	Title string // for people
	Dir   string // working directory
	Argv  []string
	Log   string // file for its output where it has no terminal
}

// Layout is how panes share a window.
type Layout string

// The layouts, by the words of --fork-layout.
const (
	Tiled Layout = "tiled"
	EvenH Layout = "even-h" // side by side
	EvenV Layout = "even-v" // one above the other
)

// LayoutError says that a word is no layout.
type LayoutError struct{ Word string }

func (e *LayoutError) Error() string {
	return fmt.Sprintf("%q is not a layout; layouts are tiled, even-h, even-v", e.Word)
}

// ParseLayout returns the layout of that name, tiled for an empty one, or a *LayoutError.
func ParseLayout(word string) (Layout, error) {
	switch l := Layout(word); l {
	case "":
		return Tiled, nil
	case Tiled, EvenH, EvenV:
		return l, nil
	}
	return "", &LayoutError{Word: word}
}

// maxName keeps names readable in a status line.
const maxName = 60

// SessionName returns a name for a tmux session that tmux takes as it is, given what
// somebody asked for: letters, digits, hyphens and underscores. The rest would be changed
// by tmux itself (. and :), or have a meaning in a target ($ @ % = { ~) or a format (#).
func SessionName(asked string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToValidUTF8(asked, "_"))
	name = strings.TrimLeft(name, "-") // no option
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	if name == "" {
		return "fork"
	}
	return name
}

// ArgvError says that a pane's command cannot be run as it is.
type ArgvError struct {
	Index  int
	Reason string
}

func (e *ArgvError) Error() string {
	return fmt.Sprintf("the command of pane %d cannot be run: %s", e.Index, e.Reason)
}

// check refuses what no runner can run.
func (s Spec) check() error {
	for _, p := range s.Panes {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

func (p Pane) check() error {
	if len(p.Argv) < 2 {
		// tmux hands a single word to a shell.
		return &ArgvError{Index: p.Index, Reason: "it has fewer than two words"}
	}
	for _, word := range p.Argv {
		if strings.ContainsRune(word, 0) {
			return &ArgvError{Index: p.Index, Reason: "it has a word with a null character"}
		}
	}
	return nil
}
