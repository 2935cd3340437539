// Package cli is the command line: the tree of commands, one file for each,
// the flags that they share, and the one place where errors become exit codes.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/broker"
	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/fork"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// System returns the process's own standard streams.
func System() session.Streams {
	return session.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
}

// Main runs the command line args, without the program's name, and returns the
// exit code (docs/exit-codes.md).
func Main(args []string, streams session.Streams) int {
	return run(context.Background(), args, streams, nil)
}

// run is Main; pane is what the agent is to know of fork mode when it runs in one
// of its panes.
func run(ctx context.Context, args []string, streams session.Streams, pane *pane) int {
	// Libraries write to the standard logger what a container may have brought about; our own
	// words go through the printer.
	stdlog.SetOutput(io.Discard)
	a := &app{args: args, streams: streams, env: hostfacts.EnvOf(os.Environ()), pane: pane}
	if pane != nil {
		a.overlay(pane.configured)
	}
	a.printer = ui.Printer{Screen: ui.NewScreen(streams.Err, columnsOf(streams.Err, a.env))}
	out := &output{w: streams.Out}
	a.out = out
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case out.err != nil:
		err = fmt.Errorf("print the result: %w", out.err)
	case err != nil && !a.started:
		err = &UsageError{Err: err} // cobra refused the command line
	}
	return a.exit(err)
}

// output remembers that something could not be written: cobra does not tell.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// app is one invocation.
type app struct {
	args    []string // the command line
	streams session.Streams
	out     io.Writer // what cobra prints; nil: there is nobody
	env     hostfacts.Env
	flags   flags
	printer ui.Printer
	log     *slog.Logger
	pane    *pane // nil outside of fork mode
	config  configuration
	steps   fork.Steps    // nil but in tests
	mode    ui.Mode       // of colours
	broker  broker.Config // of the session's credential broker
	engine  string        // the engine's command line
	tracing session.Trace

	started bool // the command line was understood
	code    int  // exit code of a command that succeeded
}

// UsageError says that the command line is wrong; nothing was done.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

const long = `Run a coding agent in a container, with language toolchains in other containers.

Inside the agent's container cargo, npm, python, gcc, go and their like are on
PATH; each call runs in the sidecar of its toolchain. What follows "--" goes to
the agent. When its first word is a tool of a toolchain, that command runs in
the agent's container in place of the agent.`

const example = `  aifo-coder --toolchain rust aider
  aifo-coder --toolchain rust --toolchain node@20 aider -- cargo test
  aifo-coder toolchain node -- npx --version
  aifo-coder --dry-run --toolchain rust aider -- cargo build --release
  aifo-coder --fork 4 --toolchain rust aider`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "aifo-coder [flags] COMMAND [flags] [-- ARG...]",
		Short:   "Run a coding agent in a container, with toolchains in sidecars",
		Long:    long,
		Example: example,
		Version: buildinfo.Version(),
		// Errors are printed once, by exit.
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if a.flags.fork.panes > 0 && cmd.GroupID != groupAgents {
				return fmt.Errorf("--fork goes with an agent, not with %q", cmd.CommandPath())
			}
			if err := a.configure(cmd); err != nil {
				return err
			}
			if err := a.begin(cmd.Flags()); err != nil {
				return err
			}
			return a.configureSession(cmd, args)
		},
	}
	if a.out != nil { // before the commands are there: that for completion keeps what it finds
		root.SetOut(a.out)
		root.SetErr(a.printer.Screen)
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(suggestFlag)
	root.SetHelpFunc(a.help)
	// What no command completes is nothing, and not the files of the directory.
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddGroup(
		&cobra.Group{ID: groupAgents, Title: "Agents:"},
		&cobra.Group{ID: groupToolchains, Title: "Toolchains:"},
		&cobra.Group{ID: groupSessions, Title: "Sessions:"},
		&cobra.Group{ID: groupFork, Title: "Fork mode:"},
		&cobra.Group{ID: groupConfig, Title: "Configuration and keys:"},
		&cobra.Group{ID: groupMachine, Title: "This machine:"},
	)
	a.flags.register(root)
	a.addAgents(root)
	root.AddCommand(a.psCmd(), a.logsCmd(), a.execCmd(), a.traceCmd(), a.mcpCmd(), a.stopCmd(), a.cleanCmd())
	root.AddCommand(a.toolchainCmd(), a.cacheClearCmd(), a.imagesCmd(), a.credentialsCmd(), a.networkCmd(), a.versionCmd(), a.appArmorCmd(), a.forkCmd(), a.configCmd(), a.trustCmd(), a.doctorCmd(), a.supportCmd())
	root.AddCommand(topicCmds()...)
	explainCompletion(root)
	completeTopics(root)
	refuseUnknown(root)
	return root
}

// Tree returns the commands, for documents that are made from them. Nothing is to be executed.
func Tree() *cobra.Command {
	return (&app{env: hostfacts.Env{}}).root()
}

const (
	groupAgents     = "agents"
	groupToolchains = "toolchains"
	groupSessions   = "sessions"
	groupFork       = "fork"
	groupConfig     = "configuration"
	groupMachine    = "machine"
)

// begin checks what every command shares, before any command does anything.
func (a *app) begin(fs *pflag.FlagSet) error {
	if err := errors.Join(checkEmpty(fs), a.flags.fork.check(fs)); err != nil {
		return err
	}
	if err := a.chooseEngine(); err != nil {
		return err
	}
	mode, err := ui.ParseMode(cmp.Or(a.flags.color, a.env.Get("AIFO_CODER_COLOR")))
	if err != nil {
		return err
	}
	tty := term.IsTerminal(int(a.streams.Err.Fd()))
	a.mode = mode
	a.printer.Color = a.colored(tty)
	a.printer.Quiet = a.flags.quiet
	level := slog.LevelWarn
	if a.flags.verbose {
		level = slog.LevelInfo
	}
	a.log = slog.New(messages{printer: a.printer, level: level})
	a.started = true
	return nil
}

// columnsOf returns what tells the width of a terminal, or nil for a file on which no line can be
// drawn again.
func columnsOf(f *os.File, env hostfacts.Env) func() int {
	if !term.IsTerminal(int(f.Fd())) || env.Get("TERM") == "dumb" || !redraws(f) {
		return nil
	}
	return func() int {
		if !foreground(f) {
			return ui.NotNow
		}
		columns, _, _ := term.GetSize(int(f.Fd())) // 0 is a default
		return columns
	}
}

// colored decides whether to colour what goes to a terminal, or elsewhere.
func (a *app) colored(tty bool) bool {
	return ui.Colored(a.mode, a.env.Get("NO_COLOR"), tty && a.env.Get("TERM") != "dumb")
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Println(cmd.Root().Name(), buildinfo.Version())
			return nil
		},
	}
}

var errNothingToRun = errors.New(`nothing to run: give a command after "--"`)
