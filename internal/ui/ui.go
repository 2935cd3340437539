// Package ui writes to people: one line each on standard error, with the
// program's name in front, coloured where that is wanted, and on a terminal one
// below them that shows what takes long. Results for scripts do not pass through it.
package ui

import (
	"fmt"
	"strings"
)

// Mode says when to colour.
type Mode string

// The values of --color.
const (
	Auto   Mode = "auto"
	Always Mode = "always"
	Never  Mode = "never"
)

// ParseMode returns the mode that s names, as --color and AIFO_CODER_COLOR take it.
func ParseMode(s string) (Mode, error) {
	switch strings.ToLower(s) {
	case "", "auto":
		return Auto, nil
	case "always", "on", "true", "yes":
		return Always, nil
	case "never", "off", "false", "no":
		return Never, nil
	}
	return "", fmt.Errorf("%q is not a colour mode; modes are auto, always, never", s)
}

// Colored decides whether to colour: NO_COLOR (no-color.org) wins over the
// mode, and auto colours a terminal.
func Colored(m Mode, noColor string, tty bool) bool {
	if noColor != "" {
		return false
	}
	return m == Always || m == Auto && tty
}

// Printer writes messages.
type Printer struct {
	Screen *Screen
	Color  bool
	Quiet  bool // drops notices, and what is under way
}

// Escape sequences of colours and of bold, for results that colour a word themselves.
const (
	Red    = "\x1b[1;31m"
	Yellow = "\x1b[33m"
	Green  = "\x1b[32m"
	Dim    = "\x1b[2m"
	BoldOn = "\x1b[1m"
	Reset  = "\x1b[0m"

	cyan = "\x1b[1;36m"
)

// Error says why the program failed, with a hint on a line of its own.
func (p Printer) Error(err error, hint string) {
	p.line(Red, err.Error())
	if hint != "" {
		p.line("", hint)
	}
}

// Warn says what the user should know although the program goes on.
func (p Printer) Warn(msg string) { p.line(Yellow, msg) }

// Notice says what is going on.
func (p Printer) Notice(msg string) {
	if !p.Quiet {
		p.line(cyan, msg)
	}
}

func (p Printer) line(color, msg string) {
	_, _ = fmt.Fprint(p.Screen, p.format(color, msg)) // there is nobody left to tell
}

func (p Printer) format(color, msg string) string { return p.prefix(color) + " " + msg + "\n" }

// name is in front of every message.
const name = "aifo-coder:"

func (p Printer) prefix(color string) string {
	if !p.Color || color == "" {
		return name
	}
	return color + name + Reset
}
