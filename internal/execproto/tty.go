package execproto

import "strings"

// TTY says which of a tool's standard streams are a terminal of its own: bit i
// stands for descriptor i.
type TTY uint8

// The streams, and all of them.
const (
	TTYIn TTY = 1 << iota
	TTYOut
	TTYErr
	TTYAll = TTYIn | TTYOut | TTYErr
)

const ttyLetters = "ioe"

// ParseTTY understands the value of KeyTTY: "1" is all streams, otherwise each has
// its letter. What it does not understand is none.
func ParseTTY(s string) TTY {
	if s == "1" {
		return TTYAll
	}
	var t TTY
	for i, letter := range ttyLetters {
		if strings.ContainsRune(s, letter) {
			t |= 1 << i
		}
	}
	if t.String() != s {
		return 0
	}
	return t
}

// String is the inverse of ParseTTY.
func (t TTY) String() string {
	var b strings.Builder
	for i, letter := range ttyLetters {
		if t.Has(i) {
			b.WriteRune(letter)
		}
	}
	return b.String()
}

// Has reports whether the stream of that descriptor is the terminal.
func (t TTY) Has(fd int) bool { return t&(1<<fd) != 0 }
