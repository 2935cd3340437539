package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/support"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

func (a *app) supportCmd() *cobra.Command {
	var asJSON bool
	var transport string
	cmd := &cobra.Command{
		Use:     "support [AGENT...]",
		GroupID: groupMachine,
		Short:   "Run every agent with every toolchain, and show what works",
		Long: `Run each agent, or those that are named, with each toolchain, over TCP and over a unix socket: ordinary sessions, in
workspaces of their own. Each cell shows the version that the tool printed. With --toolchain only those toolchains are
run. Agents and toolchains whose images are not on this machine are named, with what builds them; nothing is pulled.
The exit code is 1 when a cell failed.`,
		Example: `  aifo-coder support
  aifo-coder support codex --transport unix
  aifo-coder --toolchain rust@1.80 support --json`,
		Args:              agentArgs,
		ValidArgsFunction: completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.flags.dryRun {
				return &UsageError{Err: errors.New("support cannot be tried out without running it; leave --dry-run out")}
			}
			return a.support(cmd, args, transport, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().StringVar(&transport, "transport", "both", "how tool calls leave the agent's container: `tcp|unix|both`")
	mustComplete(cmd, "transport", cobra.FixedCompletions([]string{"tcp", "unix", "both"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// unsupportedError says that cells failed; they have been told already.
type unsupportedError struct{ Failed int }

func (e *unsupportedError) Error() string { return fmt.Sprintf("%d of the cells failed", e.Failed) }

// NothingToRunError says that there is no agent to run.
type NothingToRunError struct{}

func (e *NothingToRunError) Error() string {
	return "none of these agents has its image on this machine"
}

// Hint says how to get one.
func (e *NothingToRunError) Hint() string {
	return "build one in a checkout of aifo-coder: make build-shell"
}

func (a *app) support(cmd *cobra.Command, args []string, transport string, asJSON bool) error {
	transports, err := support.ParseTransports(transport)
	if err != nil {
		return &UsageError{Err: err}
	}
	ctx, stop := untilSignal(cmd.Context(), syscall.SIGPIPE)
	defer stop()
	m, absent, err := a.supportMatrix(ctx, cmd.Flags(), chosenAgents(args), transports)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	screen := a.newSupportScreen(m, asJSON)
	cells := m.Run(ctx, support.Program(self, passedOn(cmd.InheritedFlags()), supportEnv(os.Environ())), screen.show)
	screen.end()
	if err := context.Cause(ctx); is[*session.SignalError](err) {
		return err
	}
	if err := screen.sum(m.Sorted(cells), absent); err != nil {
		return err
	}
	_, failed := support.Count(cells)
	switch {
	case failed > 0:
		return &unsupportedError{Failed: failed}
	case len(cells) == 0:
		return &NothingToRunError{}
	}
	return nil
}

// supportMatrix returns what can be run with the images of this machine, and what cannot.
func (a *app) supportMatrix(ctx context.Context, fs *pflag.FlagSet, agents []agent.Agent, transports []support.Transport) (support.Matrix, []support.Absence, error) {
	m := support.Matrix{Transports: transports}
	// The user's file counts for the sessions as well. Its toolchains do not narrow the matrix.
	own := config.Effective(a.config.above, a.config.own.Layers()...)
	own = slices.DeleteFunc(own, func(s config.Setting) bool { return s.Key == "toolchain" })
	if err := a.apply(fs, own); err != nil {
		return m, nil, &UsageError{Err: err}
	}
	if err := a.chooseEngine(); err != nil {
		return m, nil, &UsageError{Err: err}
	}
	o, err := a.flags.options(a.env)
	if err != nil {
		return m, nil, &UsageError{Err: err}
	}
	if len(o.Toolchains) == 0 {
		o.Toolchains = o.AllToolchains()
	}
	f, err := hostfacts.User()
	if err != nil {
		return m, nil, err
	}
	f.Env = a.config.environment(f.Env)
	if err := a.readEngine(ctx, &f, plan.AllImages(o, f.Env, agents)); err != nil {
		return m, nil, err
	}
	absent := []support.Absence{}
	for _, ag := range agents {
		one := o
		one.Agent, one.Toolchains = &ag, nil
		p := plan.Build(one, f, "support")
		if next := absence(p); next != "" {
			absent = append(absent, support.Absence{Type: "agent", Name: ag.Name, Image: p.Agent.Image, Next: next})
			continue
		}
		m.Agents = append(m.Agents, support.Agent{Name: ag.Name, Image: p.Agent.Image})
	}
	for _, s := range o.Toolchains {
		one := o
		one.Toolchains, one.Args = []toolchain.Selection{s}, []string{"true"}
		p := plan.Build(one, f, "support")
		if next := absence(p); next != "" {
			absent = append(absent, support.Absence{Type: "toolchain", Name: s.Kind.Name, Image: p.Sidecars[0].Image, Next: next})
			continue
		}
		m.Columns = append(m.Columns, support.NewColumn(s.Kind, s.Spec()))
	}
	return m, absent, nil
}

// absence says what to do about an image that the plan needs and that is not here, or nothing.
func absence(p plan.Plan) string {
	switch {
	case len(p.Missing) > 0:
		return p.Missing[0].Hint()
	case len(p.Pulls) > 0:
		return "pull it: " + p.Program + " pull " + p.Pulls[0]
	}
	return ""
}

// notPassedOn are flags that support gives its sessions itself, or that are about its own output.
var notPassedOn = []string{
	"toolchain", "toolchain-spec", "toolchain-image", "toolchain-unix-socket", "image", "flavor", "workspace", "dry-run",
	"quiet", "verbose", "color", "non-interactive", "help",
}

// passedOn returns the flags that were given, for the sessions.
func passedOn(fs *pflag.FlagSet) []string {
	args := []string{"--non-interactive"}
	fs.Visit(func(f *pflag.Flag) {
		if slices.Contains(notPassedOn, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			args = append(args, "--"+f.Name+"="+v)
		}
	})
	return args
}

// supportEnv returns the environment of the sessions: several run at once, so none may have
// an id that was chosen, and the transport is said by a flag.
func supportEnv(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name == envSessionID || name == "AIFO_TOOLEEXEC_USE_UNIX"
	})
}

// supportScreen shows cells as they come: as a table on a terminal, whose rows fill in, as lines
// elsewhere, or at the end as JSON.
type supportScreen struct {
	w      io.Writer
	m      support.Matrix
	asJSON bool
	live   bool
	color  bool
	width  int // of the terminal
	drawn  int // lines of the table that is there
	cells  []support.Cell
}

func (a *app) newSupportScreen(m support.Matrix, asJSON bool) *supportScreen {
	fd := int(a.streams.Out.Fd())
	tty := term.IsTerminal(fd)
	s := &supportScreen{w: a.streams.Out, m: m, asJSON: asJSON, live: tty && !asJSON && a.env.Get("TERM") != "dumb", color: a.colored(tty)}
	if width, height, err := term.GetSize(fd); err == nil {
		s.width = width
		// Lines that have left the screen cannot be written over.
		s.live = s.live && strings.Count(s.table(), "\n") < height
	}
	s.draw()
	return s
}

func (s *supportScreen) show(c support.Cell) {
	s.cells = append(s.cells, c)
	switch {
	case s.live:
		s.draw()
	case !s.asJSON:
		fmt.Fprintf(s.w, "%s %s %s: %s: %s\n", c.Agent, c.Transport, c.Runs, c.Command, printable(strings.TrimSpace(s.word(c)+" "+c.Output)))
	}
}

// word says in a line whether a cell works.
func (s *supportScreen) word(c support.Cell) string {
	if c.OK() {
		return "ok"
	}
	return c.Short()
}

// draw writes the table over the one that is there. A line that the terminal would wrap is cut,
// so that as many lines are gone up as were written.
func (s *supportScreen) draw() {
	if !s.live || len(s.m.Agents) == 0 {
		return
	}
	text := strings.Split(strings.TrimSuffix(s.table(), "\n"), "\n")
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA", s.drawn)
	}
	for _, line := range text {
		if r := []rune(line); s.width > 0 && len(r) >= s.width {
			line = string(r[:s.width-1])
		}
		fmt.Fprintf(s.w, "\r\x1b[K%s\n", s.paint(line))
	}
	s.drawn = len(text)
}

// paint colours the words of a line that say that something failed.
func (s *supportScreen) paint(line string) string {
	if !s.color {
		return line
	}
	return strings.ReplaceAll(line, "FAILED", ui.Red+"FAILED"+ui.Reset)
}

// table has a row for each agent and transport, with dots for what is still to come.
func (s *supportScreen) table() string {
	var b strings.Builder
	header := []string{"AGENT", "TRANSPORT", "STARTS"}
	for _, c := range s.m.Columns {
		header = append(header, strings.ToUpper(c.Kind))
	}
	t := newTable(&b, header...)
	for _, a := range s.m.Agents {
		for _, transport := range s.m.Transports {
			row := []string{a.Name, string(transport), s.cell(a.Name, transport, support.Runs)}
			for _, c := range s.m.Columns {
				row = append(row, s.cell(a.Name, transport, c.Kind))
			}
			t.row(row...)
		}
	}
	_ = t.flush() // a builder takes every write
	return b.String()
}

func (s *supportScreen) cell(name string, t support.Transport, runs string) string {
	i := slices.IndexFunc(s.cells, func(c support.Cell) bool { return c.Agent == name && c.Transport == t && c.Runs == runs })
	if i < 0 {
		return "..."
	}
	return printable(s.cells[i].Short())
}

func (s *supportScreen) end() { s.draw() }

// sum prints what failed and what was not run, or everything for scripts.
func (s *supportScreen) sum(cells []support.Cell, absent []support.Absence) error {
	if s.asJSON {
		return encodeJSON(s.w, struct {
			Cells  []support.Cell    `json:"cells"`
			NotRun []support.Absence `json:"not_run"`
		}{cells, absent})
	}
	for _, c := range cells {
		if s.live && !c.OK() {
			fmt.Fprintf(s.w, "failed: %s %s: %s: exit code %d: %s\n", c.Agent, c.Transport, c.Command, c.Code, printable(c.Output))
		}
	}
	for _, n := range absent {
		fmt.Fprintf(s.w, "not run: %s %s: %s is not on this machine; %s\n", n.Type, n.Name, n.Image, n.Next)
	}
	passed, failed := support.Count(cells)
	_, err := fmt.Fprintf(s.w, "%d passed, %d failed, %d not run\n", passed, failed, len(absent))
	return err
}
