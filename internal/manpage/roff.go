package manpage

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// writer collects a page.
type writer struct{ b strings.Builder }

func (w *writer) line(s string) { w.b.WriteString(strings.TrimRight(s, "\n") + "\n") }

func (w *writer) section(title string) { w.line(".SH " + title) }

func (w *writer) subsection(title string) { w.line(".SS " + escape(title)) }

// item writes a term and what there is to say of it, both in roff.
func (w *writer) item(term, text string) {
	w.line(".TP\n" + term)
	w.prose(text)
}

// prose writes a paragraph of roff in lines that an editor shows.
func (w *writer) prose(text string) {
	for _, line := range ui.Wrap(text, 78) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		w.line(line)
	}
}

// file writes a hand-written section.
func (w *writer) file(name string) {
	data, err := sections.ReadFile("sections/" + name + ".roff")
	if err != nil {
		panic(err) // it is embedded
	}
	w.line(string(data))
}

// text writes paragraphs; lines that begin with a space are an example.
func (w *writer) text(s string) {
	for i, paragraph := range strings.Split(strings.Trim(s, "\n"), "\n\n") {
		if i > 0 {
			w.line(".PP")
		}
		if strings.HasPrefix(paragraph, " ") {
			w.block(paragraph)
			continue
		}
		w.prose(escape(strings.Join(strings.Fields(paragraph), " ")))
	}
}

// block writes lines as they are.
func (w *writer) block(s string) {
	w.line(".EX")
	for line := range strings.Lines(strings.Trim(s, "\n")) {
		w.line(escape(strings.TrimPrefix(strings.TrimRight(line, "\n"), "  ")))
	}
	w.line(".EE")
}

var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "–", `\(en`)

// escape returns text in roff: hyphens as they are typed, and no line that roff would take for a
// request.
func escape(s string) string {
	s = escapes.Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

func lowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}
