// Package envtable is the one table of environment variables: those that aifo-coder reads, those that
// it passes to containers and those that it sets in them. The help topic, the manual page and
// docs/cli.md are made from it. It is text; it never looks at an environment.
package envtable

import (
	"regexp"
	"slices"
	"strings"
)

// Variable is one row.
type Variable struct {
	// Names are the names by which the variable goes: of several that are set the first counts.
	Names []string
	// Each says that Names are variables of their own, which have the meaning in common.
	Each bool
	// Flag is the long name of the flag that it stands for, if any.
	Flag string
	// Meaning says what it does beyond that. It has code in backticks and links of Markdown, as
	// seen from docs/cli.md.
	Meaning string
	// Default is what counts without it, if that is not nothing.
	Default string
}

// Group is variables that belong together.
type Group struct {
	Title     string
	Intro     string // Markdown, like Meaning
	Heading   string // of the column of meanings
	Variables []Variable
}

// Groups returns the table, in the order in which it is shown.
func Groups() []Group {
	return slices.Concat(read, passed)
}

// Read returns the groups of variables that aifo-coder itself reads.
func Read() []Group { return slices.Clone(read) }

// ByFlag returns the variables that stand for a flag, the one that counts first in front.
func ByFlag(flag string) []string {
	for _, g := range read {
		for _, v := range g.Variables {
			if v.Flag == flag {
				return slices.Clone(v.Names)
			}
		}
	}
	return nil
}

// Text returns all that is to be said of a variable, in Markdown.
func (v Variable) Text() string {
	var parts []string
	if v.Flag != "" {
		parts = append(parts, "as `--"+v.Flag+"`")
	}
	if v.Meaning != "" {
		parts = append(parts, v.Meaning)
	}
	if v.Default != "" {
		parts = append(parts, "default: "+v.Default)
	}
	return strings.Join(parts, "; ")
}

// Joined returns the names as a list for people, each in the form that wrap gives it.
func (v Variable) Joined(wrap func(string) string) string {
	var names []string
	for _, n := range v.Names {
		names = append(names, wrap(n))
	}
	if v.Each {
		return strings.Join(names, ", ")
	}
	return strings.Join(names, ", then ")
}

var linkRE = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// Plain returns Markdown as text: without backticks and without the targets of links.
func Plain(markdown string) string {
	return strings.ReplaceAll(linkRE.ReplaceAllString(markdown, "$1"), "`", "")
}

// Markdown returns the part of docs/cli.md that is the table.
func Markdown() string {
	var b strings.Builder
	for _, g := range Groups() {
		b.WriteString("### " + g.Title + "\n\n")
		if g.Intro != "" {
			b.WriteString(g.Intro + "\n\n")
		}
		b.WriteString("| Variable | " + g.Heading + " |\n|---|---|\n")
		for _, v := range g.Variables {
			b.WriteString("| " + v.Joined(func(n string) string { return "`" + n + "`" }) + " | " + v.Text() + " |\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}
