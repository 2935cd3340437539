// Package manpage writes the manual pages: from the tree of commands and the tables behind help, so
// that they say the same, and from hand-written sections. A page depends on nothing else, the
// date and the machine among it.
package manpage

import (
	"embed"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/cli"
	"github.com/aifo-coder/aifo-coder/internal/envtable"
)

// sections are the hand-written parts of the page of the program itself, in roff.
//
//go:embed sections
var sections embed.FS

// date is when the pages were last gone through. A date of the build would make each build another.
const date = "2026-11-29"

// Pages returns the pages by the names of their files: one for the program, and one for each command.
// root is a tree of which nothing is to be executed.
func Pages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if skipped(c) {
			return
		}
		pages[fileName(c)] = []byte(page(c))
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return pages
}

// skipped reports whether a command has no page: hidden ones, topics, which are sections here, and
// help, which is this.
func skipped(c *cobra.Command) bool {
	return c.Hidden || c.IsAdditionalHelpTopicCommand() || c.Name() == "help"
}

func title(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func fileName(c *cobra.Command) string { return title(c) + ".1" }

// page returns the page of a command.
func page(c *cobra.Command) string {
	w := &writer{}
	if !c.HasParent() {
		w.line(`'\" t`) // tables: for man to run tbl
	}
	w.line(`.\" Written by "make man". Change the text of the command, or internal/manpage/sections.`)
	w.line(fmt.Sprintf(`.TH %s 1 %s aifo\-coder "User Commands"`, escape(strings.ToUpper(title(c))), date))
	w.section("NAME")
	w.line(escape(title(c)) + ` \- ` + escape(lowerFirst(c.Short)))
	w.section("SYNOPSIS")
	w.synopsis(c)
	w.section("DESCRIPTION")
	if c.HasParent() {
		w.text(long(c))
		w.command(c)
	} else {
		w.program(c)
	}
	return w.b.String()
}

func long(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

// program writes what the page of the program has beyond a synopsis.
func (w *writer) program(root *cobra.Command) {
	w.file("description")
	w.section("COMMANDS")
	w.commands(root)
	w.section("OPTIONS")
	w.line("Flags stand before or after the command, and before\n.BR \\-\\- .")
	for _, g := range cli.FlagGroups(root) {
		w.subsection(g.Title)
		w.flags(g.Flags)
	}
	w.section("FORK MODE")
	w.file("fork-mode")
	w.section("TOOLCHAINS")
	w.file("toolchains")
	w.section("ENVIRONMENT")
	w.environment()
	w.section("FILES")
	w.file("files")
	w.section("EXIT STATUS")
	w.line("The agent's or the tool's own, or:")
	for _, c := range cli.ExitCodes() {
		w.item(`\fB`+escape(c.Code)+`\fR`, escape(c.Meaning))
	}
	w.section("SECURITY")
	w.file("security")
	w.section("EXAMPLES")
	w.file("examples")
	w.seeAlso(root, "docker(1)", "git(1)", "tmux(1)")
}

// command writes what the page of a command has beyond a description.
func (w *writer) command(c *cobra.Command) {
	if c.HasAvailableSubCommands() {
		w.section("COMMANDS")
		w.commands(c)
	}
	w.section("OPTIONS")
	w.flags(cli.OwnFlags(c))
	w.line(".PP\nThe global flags are in\n.BR aifo\\-coder (1).")
	if c.HasExample() {
		w.section("EXAMPLES")
		w.block(c.Example)
	}
	w.seeAlso(c)
}

// commands writes a list of the commands below c, by group.
func (w *writer) commands(c *cobra.Command) {
	for _, g := range c.Groups() {
		w.subsection(strings.TrimSuffix(g.Title, ":"))
		w.commandList(c, g.ID)
	}
	if len(c.Groups()) > 0 {
		w.subsection("Other commands")
	}
	w.commandList(c, "")
}

func (w *writer) commandList(c *cobra.Command, group string) {
	for _, sub := range c.Commands() {
		if sub.GroupID == group && !skipped(sub) {
			w.item(`\fB`+escape(title(sub))+`\fR(1)`, escape(sub.Short)+".")
		}
	}
	if !c.HasParent() && group == "" {
		w.item(`\fBaifo\-coder help\fR [\fICOMMAND\fR]`, "Explain a command, or a topic: "+escape(topicNames(c))+".")
	}
}

func topicNames(root *cobra.Command) string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAdditionalHelpTopicCommand() {
			names = append(names, c.Name())
		}
	}
	return strings.Join(names, ", ")
}

func (w *writer) synopsis(c *cobra.Command) {
	w.line(".nh")
	if c.Runnable() && !c.HasSubCommands() || !c.HasParent() {
		path, rest, _ := strings.Cut(c.UseLine(), " [flags]")
		w.line(`\fB` + escape(path) + `\fR` + escape(orEmpty(" [flags]", c)+rest))
	} else {
		w.line(`\fB` + escape(c.CommandPath()) + `\fR ` + `\fICOMMAND\fR [flags]`)
	}
	w.line(".hy")
}

// orEmpty returns the word for flags where the line of usage has had it.
func orEmpty(word string, c *cobra.Command) string {
	if strings.Contains(c.UseLine(), word) {
		return word
	}
	return ""
}

func (w *writer) flags(flags []*pflag.Flag) {
	for _, f := range flags {
		placeholder, _ := pflag.UnquoteUsage(f)
		term := strings.TrimSuffix(strings.TrimSuffix(cli.FlagTerm(f), " "+placeholder), "[="+placeholder+"]")
		names := strings.Split(term, ", ")
		for i, n := range names {
			names[i] = `\fB` + escape(n) + `\fR`
		}
		value := ""
		if placeholder != "" {
			value = ` \fI` + escape(placeholder) + `\fR`
		}
		w.item(strings.Join(names, ", ")+value, escape(upperFirst(cli.FlagText(f)))+".")
	}
}

func (w *writer) environment() {
	w.prose("A flag beats its variable, and both beat the files of the configuration. An empty variable counts as unset.")
	for _, g := range envtable.Groups() {
		w.subsection(g.Title)
		if g.Intro != "" {
			w.prose(markdown(g.Intro))
		}
		for _, v := range g.Variables {
			w.item(v.Joined(func(n string) string { return `\fB` + escape(n) + `\fR` }), markdown(upperFirst(v.Text()))+".")
		}
	}
}

func (w *writer) seeAlso(c *cobra.Command, others ...string) {
	w.section("SEE ALSO")
	var pages []string
	if c.HasParent() {
		pages = append(pages, title(c.Parent())+"(1)")
	}
	for _, sub := range c.Commands() {
		if !skipped(sub) {
			pages = append(pages, title(sub)+"(1)")
		}
	}
	for i, p := range append(pages, others...) {
		name, section, _ := strings.Cut(p, "(")
		end := ","
		if i == len(pages)+len(others)-1 {
			end = ""
		}
		w.line(".BR " + escape(name) + " (" + section + end)
	}
}

var codeRE = regexp.MustCompile("`([^`]*)`")

// markdown returns a text of the table of variables in roff: code in bold.
func markdown(text string) string {
	text = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(text, "$1")
	return codeRE.ReplaceAllString(escape(text), `\fB$1\fR`)
}
