package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/envtable"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// topic is something to read with the help command that is no command itself.
type topic struct {
	short string
	write func(helpPage)
}

var topics = map[string]topic{
	"environment": {"The environment variables that are read, passed on and set", helpPage.environment},
	"exit-codes":  {"What exit codes mean", helpPage.exitCodes},
	"toolchains":  {"The kinds of toolchains, their images and tools", helpPage.toolchains},
}

// topicCmds are commands that do nothing, which is what makes them topics for cobra.
func topicCmds() []*cobra.Command {
	var cmds []*cobra.Command
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		cmds = append(cmds, &cobra.Command{Use: name, Short: topics[name].short})
	}
	return cmds
}

// helpArgs refuses what there is no help on.
func helpArgs(cmd *cobra.Command, args []string) error {
	target, rest, err := cmd.Root().Find(args)
	switch {
	case err != nil, len(rest) == 0:
		return err
	case target.HasSubCommands():
		return unknownCommand(target, rest[0])
	}
	return fmt.Errorf("%q is no command; see aifo-coder help %s", strings.Join(args, " "), strings.Join(args[:len(args)-len(rest)], " "))
}

// completeTopics has the help command complete topics as well.
func completeTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Args = helpArgs
		commands := c.ValidArgsFunction
		c.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			list, directive := commands(cmd, args, typed)
			for _, name := range slices.Sorted(maps.Keys(topics)) {
				if len(args) == 0 && strings.HasPrefix(name, typed) {
					list = append(list, cobra.CompletionWithDesc(name, topics[name].short))
				}
			}
			return list, directive
		}
	}
}

func (p helpPage) environment() {
	p.print(ui.Reflow("A flag beats its variable, and both beat the files of the configuration. An empty variable counts as unset.", p.width))
	for _, g := range envtable.Groups() {
		p.heading(g.Title)
		if g.Intro != "" {
			p.print(ui.Reflow(envtable.Plain(g.Intro), p.width))
		}
		for _, v := range g.Variables {
			for _, line := range ui.Wrap(v.Joined(func(n string) string { return n }), p.width-2) {
				p.print("  " + line + "\n")
			}
			for _, line := range ui.Wrap(envtable.Plain(v.Text()), p.width-6) {
				p.print("      " + line + "\n")
			}
		}
	}
}

// ExitCode is an exit code, or a range of them, and its meaning.
type ExitCode struct{ Code, Meaning string }

// ExitCodes returns the codes of our own (docs/exit-codes.md); others are the agent's or the tool's.
func ExitCodes() []ExitCode {
	return []ExitCode{
		{"0", "Success."},
		{"1", "A failure not listed here; another agent works on the workspace; panes conflict, or have work that fork clean would lose."},
		{"2", "The command line, a configuration file or the workspace is wrong; nothing was done."},
		{"86", "A shim's call was not made or failed outside the tool."},
		{"124", "A tool call, or the command of toolchain, reached its time limit."},
		{"125", "The session could not be run: engine, image, network or sidecar; or a shim lost its connection."},
		{"126", "The program cannot be executed."},
		{"127", "Docker, git or tmux is not installed where it is needed; or there is no such program."},
		{"128+n", "Signal n ended the session, the agent or the tool."},
	}
}

func (p helpPage) exitCodes() {
	p.print(ui.Reflow("The exit code is that of the agent or the tool, or one of these:", p.width) + "\n")
	var rows []ui.Row
	for _, c := range ExitCodes() {
		rows = append(rows, ui.Row{Term: c.Code, Text: c.Meaning})
	}
	p.print(ui.Columns(rows, p.width))
}

func (p helpPage) toolchains() {
	p.print(ui.Reflow("A toolchain is attached with --toolchain KIND, KIND@VERSION or KIND=IMAGE. Your own are defined with --toolchain-define.", p.width))
	for _, k := range (toolchain.Set{}).Kinds() {
		p.heading(k.Name)
		rows := []ui.Row{{Term: "aliases", Text: strings.Join(k.Aliases, " ")}}
		if k.FirstParty != "" {
			rows = append(rows, ui.Row{Term: "our image", Text: k.FirstParty + ":latest"})
		}
		if k.Official != "" {
			rows = append(rows, ui.Row{Term: "of a version", Text: k.VersionImage("VERSION") + ", by default " + k.DefaultVersion})
		}
		rows = append(rows, ui.Row{Term: "tools", Text: strings.Join(k.Tools, " ")}, ui.Row{Term: "shared tools", Text: strings.Join(k.Shared, " ")})
		p.print(ui.Columns(slices.DeleteFunc(rows, func(r ui.Row) bool { return r.Text == "" }), p.width))
	}
}
