package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// helpPage writes the help of one command.
type helpPage struct {
	w       io.Writer
	width   int
	colored bool
}

// help is cobra's help function. Help is asked for before anything is checked, so a wrong --color
// counts as none.
func (a *app) help(cmd *cobra.Command, _ []string) {
	p := a.helpPage(cmd)
	if topic, ok := topics[cmd.Name()]; ok && cmd.IsAdditionalHelpTopicCommand() {
		topic.write(p)
		return
	}
	p.command(cmd)
}

func (a *app) helpPage(cmd *cobra.Command) helpPage {
	columns, tty := terminalWidth(a.streams.Out)
	mode, err := ui.ParseMode(cmp.Or(a.flags.color, a.env.Get("AIFO_CODER_COLOR")))
	if err != nil {
		mode = ui.Never
	}
	return helpPage{w: cmd.OutOrStdout(), width: ui.Width(columns), colored: ui.Colored(mode, a.env.Get("NO_COLOR"), tty)}
}

// terminalWidth returns the columns of a terminal, and whether it is one.
func terminalWidth(f *os.File) (columns int, tty bool) {
	if f == nil || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, _ = term.GetSize(int(f.Fd())) // 0 is the default
	return columns, true
}

// print writes to where cobra has remembered what could not be written.
func (p helpPage) print(text string) { _, _ = io.WriteString(p.w, text) }

func (p helpPage) heading(title string) { p.print("\n" + ui.Bold(title+":", p.colored) + "\n") }

func (p helpPage) command(cmd *cobra.Command) {
	p.print(ui.Reflow(cmp.Or(cmd.Long, cmd.Short), p.width))
	p.heading("Usage")
	p.print("  " + cmd.UseLine() + "\n")
	if cmd.HasExample() {
		p.heading("Examples")
		p.print(strings.TrimRight(cmd.Example, "\n") + "\n")
	}
	p.commands(cmd)
	p.flags(cmd)
	if !cmd.HasParent() {
		p.topics(cmd)
	}
}

// commands lists the commands below cmd, by group.
func (p helpPage) commands(cmd *cobra.Command) {
	title := "Commands"
	for _, g := range cmd.Groups() {
		p.commandList(cmd, strings.TrimSuffix(g.Title, ":"), g.ID)
		title = "Other commands"
	}
	p.commandList(cmd, title, "")
}

func (p helpPage) commandList(cmd *cobra.Command, title, group string) {
	var rows []ui.Row
	for _, c := range cmd.Commands() {
		if c.GroupID == group && (c.IsAvailableCommand() || c.Name() == "help") {
			rows = append(rows, ui.Row{Term: c.Name(), Text: c.Short})
		}
	}
	p.rows(title, rows)
}

func (p helpPage) rows(title string, rows []ui.Row) {
	if len(rows) > 0 {
		p.heading(title)
		p.print(ui.Columns(rows, p.width))
	}
}

// flags lists the flags: those of sessions by theme where cmd starts one, elsewhere what concerns it.
func (p helpPage) flags(cmd *cobra.Command) {
	root := cmd.Root()
	if cmd.HasParent() {
		p.rows("Flags", flagRows(OwnFlags(cmd)))
	}
	all := !cmd.HasParent() || cmd.GroupID == groupAgents || cmd.GroupID == groupToolchains
	for _, g := range FlagGroups(root) {
		if all || g.Title == generalFlags {
			p.rows(g.Title, flagRows(inherited(cmd, g.Flags)))
		}
	}
	if !all {
		p.print(fmt.Sprintf("\n%s --help lists the flags of sessions.\n", root.Name()))
	}
}

// inherited leaves out what a command below the root has for itself.
func inherited(cmd *cobra.Command, flags []*pflag.Flag) []*pflag.Flag {
	if !cmd.HasParent() {
		return flags
	}
	var list []*pflag.Flag
	for _, f := range flags {
		if f.Name != "help" && f.Name != "version" {
			list = append(list, f)
		}
	}
	return list
}

func flagRows(flags []*pflag.Flag) []ui.Row {
	var rows []ui.Row
	for _, f := range flags {
		rows = append(rows, ui.Row{Term: FlagTerm(f), Text: FlagText(f)})
	}
	return rows
}

func (p helpPage) topics(root *cobra.Command) {
	var rows []ui.Row
	for _, c := range root.Commands() {
		if c.IsAdditionalHelpTopicCommand() {
			rows = append(rows, ui.Row{Term: root.Name() + " help " + c.Name(), Text: c.Short})
		}
	}
	p.rows("Help topics", rows)
}
