package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table is a table for people.
type table struct{ w *tabwriter.Writer }

// newTable returns a table with a header, or one without.
func newTable(w io.Writer, header ...string) table {
	t := table{w: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	if len(header) > 0 {
		t.row(header...)
	}
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

func (t table) flush() error { return t.w.Flush() }
