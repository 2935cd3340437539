package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// traceView prints calls as they end, a line each. On a terminal those under way stand
// below, and are drawn anew as time goes by.
type traceView struct {
	w     io.Writer
	shows func(calltrace.Record) bool
	size  func() (columns, lines int) // nil: not a terminal
	color bool

	running []calltrace.Record
	drawn   int // lines of calls under way on the screen
	err     error
}

// take takes the next record.
func (v *traceView) take(r calltrace.Record) error {
	v.running = slices.DeleteFunc(v.running, func(o calltrace.Record) bool { return o.ID == r.ID && o.Time.Equal(r.Time) })
	if r.State == calltrace.Running {
		v.running = append(v.running, r)
		return v.err
	}
	if v.shows(r) {
		v.erase()
		v.print(v.line(r) + "\n")
	}
	return v.err
}

func (v *traceView) print(text string) {
	if _, err := io.WriteString(v.w, text); err != nil && v.err == nil {
		v.err = err
	}
}

// end prints the calls of which there is no end although the session has.
func (v *traceView) end() error {
	for _, r := range slices.Clone(v.running) {
		r.State = calltrace.Lost
		_ = v.take(r)
	}
	v.erase()
	return v.err
}

// line returns the line about a call. Its columns have a width beforehand, which most fit.
func (v *traceView) line(r calltrace.Record) string {
	c := callCells(r)
	result := fmt.Sprintf("%-7s", c[3])
	if v.color && r.Failed() {
		result = ui.Red + result + ui.Reset
	}
	return fmt.Sprintf("%s  %-8s  %8s  %s  %8s  %8s  %-20s  %s", c[0], c[1], c[2], result, c[4], c[5], c[6], c[7])
}

// erase removes the calls under way from the screen.
func (v *traceView) erase() {
	if v.drawn > 0 {
		v.print(fmt.Sprintf("\x1b[%dA\r\x1b[J", v.drawn))
		v.drawn = 0
	}
}

// draw shows the calls under way, as many as the screen has room for.
func (v *traceView) draw(now time.Time) {
	if v.size == nil {
		return
	}
	columns, lines := v.size()
	v.erase()
	var text strings.Builder
	for _, r := range v.running {
		if r = r.At(now); !v.shows(r) {
			continue
		}
		if v.drawn >= lines-1 {
			break
		}
		text.WriteString(ui.Cut(v.line(r), columns) + "\n")
		v.drawn++
	}
	if v.drawn > 0 {
		v.print(text.String())
	}
}
