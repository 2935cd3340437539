package ui

import "golang.org/x/text/width"

// Cut cuts a line to a number of columns: one that is broken over two lines of the
// screen could not be removed.
func Cut(line string, columns int) string {
	if columns <= 0 {
		return line
	}
	left, end := columns, 0 // end is where the line is cut if it does not fit
	for i, r := range line {
		if left >= 1 {
			end = i
		}
		if left -= columnsOf(r); left < 0 {
			return line[:end] + "…"
		}
	}
	return line
}

// columnsOf returns how many columns a character takes at most.
func columnsOf(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth, width.EastAsianAmbiguous:
		return 2
	}
	return 1
}
