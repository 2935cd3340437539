// Package foreign looks at clones that agents have written and takes over their
// work. Nothing in a clone is believed: its git directory is parsed here, below an os.Root
// and without following links; its objects are copied into a quarantine of ours, each
// checked against its name, and the host's git works there, never in the clone's git
// directory. So none of the clone's configuration, hooks, attributes' drivers, alternates,
// replacements or index extensions has a say. An agent may go on writing meanwhile: what is
// then seen is an older state, or an error, but nothing that it did not write.
//
// What is not looked at: files that the clone's own .gitignore names, and commits that
// only a reflog other than that of the stash still knows.
package foreign

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// RefusedError says why a clone cannot be looked at. Such a clone counts as one with
// work in it.
type RefusedError struct {
	Dir    string // the clone, or what in it
	Reason string
	Err    error // may be nil
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("%s cannot be looked at: %s", e.Dir, e.Reason)
	if e.Err != nil {
		s += ": " + Printable(e.Err.Error())
	}
	return s
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Hint returns what can be done.
func (e *RefusedError) Hint() string {
	return "the clone is kept as it is; look at it in a container, for the host's git may run what an agent left in it"
}

// Printable returns s for a line on a terminal: control characters, and bytes that are no
// UTF-8, become visible.
func Printable(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unsafeRune(r):
			b.WriteString(strings.Trim(fmt.Sprintf("%+q", r), "'"))
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// unsafeRune reports characters that move a cursor, end a line or turn the direction of writing.
func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}
