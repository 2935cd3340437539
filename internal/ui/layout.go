package ui

import (
	"strings"
	"unicode/utf8"
)

// The widths of a text, in columns. A line that is longer than the greatest is hard to read.
const (
	DefaultWidth = 80
	leastWidth   = 40
	mostWidth    = 100
)

// Width returns the width of a text for a terminal of that many columns, 0 for what is none.
func Width(columns int) int {
	if columns <= 0 {
		return DefaultWidth
	}
	return min(max(columns, leastWidth), mostWidth)
}

// Wrap breaks text into lines of at most width columns, between words. A word that is longer has
// a line of its own.
func Wrap(text string, width int) []string {
	var lines []string
	line, columns := "", 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case line == "":
			line, columns = word, n
		case columns+1+n > width:
			lines = append(lines, line)
			line, columns = word, n
		default:
			line, columns = line+" "+word, columns+1+n
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Reflow wraps the paragraphs of a text. Lines that begin with a space are left as they are.
func Reflow(text string, width int) string {
	var b strings.Builder
	var paragraph []string
	flush := func() {
		for _, line := range Wrap(strings.Join(paragraph, " "), width) {
			b.WriteString(line + "\n")
		}
		paragraph = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			paragraph = append(paragraph, line)
			continue
		}
		flush()
		b.WriteString(line + "\n")
	}
	flush()
	return b.String()
}

// Row is a term and what there is to say of it.
type Row struct{ Term, Text string }

const (
	indent   = 2
	gap      = 2
	mostTerm = 26 // columns; the text beside a longer term begins on the next line
)

// Columns returns rows in two columns within width.
func Columns(rows []Row, width int) string {
	left := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r.Term); n <= mostTerm {
			left = max(left, n)
		}
	}
	at := indent + left + gap
	var b strings.Builder
	for _, r := range rows {
		n := utf8.RuneCountInString(r.Term)
		b.WriteString(strings.Repeat(" ", indent) + r.Term)
		lines := Wrap(r.Text, width-at)
		for i, line := range lines {
			switch {
			case i == 0 && n <= left:
				b.WriteString(strings.Repeat(" ", at-indent-n) + line)
			default:
				b.WriteString("\n" + strings.Repeat(" ", at) + line)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Bold returns s as a heading, where colour is wanted.
func Bold(s string, colored bool) string {
	if !colored {
		return s
	}
	return BoldOn + s + Reset
}
