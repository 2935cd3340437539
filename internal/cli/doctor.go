package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/buildinfo"
	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/doctor"
	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/keys"
	"github.com/aifo-coder/aifo-coder/internal/provider"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	asJSON bool
	fix    bool
}

func (a *app) doctorCmd() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:     "doctor [AGENT...]",
		GroupID: groupMachine,
		Short:   "Find out why sessions do not work on this machine",
		Long: `Look at everything that sessions need: the engine, containers, images, this machine, the project, keys, and what
killed sessions have left. Each line says pass, warn, fail or skip, and what to do. With agents named, their images
and keys have to be there. Flags count as they do for a session.

Nothing is changed without --fix, and no container stays. It takes 30 seconds at most. The exit code is 1 when
anything failed.`,
		Example: `  aifo-coder doctor
  aifo-coder doctor codex
  aifo-coder doctor --fix
  aifo-coder doctor --json`,
		Args:              agentArgs,
		ValidArgsFunction: completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.doctor(cmd, args, f)
		},
	}
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&f.fix, "fix", false, "mend what can be mended safely, and say what was done")
	return cmd
}

// unhealthyError says that checks failed; they have been told already.
type unhealthyError struct{ Failed int }

func (e *unhealthyError) Error() string {
	return fmt.Sprintf("%d of the checks failed", e.Failed)
}

// agentArgs wants names of agents.
func agentArgs(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if _, ok := agent.Lookup(name); ok {
			continue
		}
		err := fmt.Errorf("there is no agent %q; there are %s", name, strings.Join(agentNames(), ", "))
		if near := nearest(name, agentNames()); near != "" {
			err = fmt.Errorf("there is no agent %q; did you mean %q?", name, near)
		}
		return err
	}
	return nil
}

// chosenAgents returns the agents of the names, or all.
func chosenAgents(names []string) []agent.Agent {
	if len(names) == 0 {
		return agent.All()
	}
	var list []agent.Agent
	for _, name := range names {
		ag, _ := agent.Lookup(name)
		if !slices.ContainsFunc(list, func(o agent.Agent) bool { return o.Name == ag.Name }) {
			list = append(list, ag)
		}
	}
	return list
}

func completeAgents(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	left := slices.DeleteFunc(agentNames(), func(n string) bool { return slices.Contains(args, n) })
	return left, cobra.ShellCompDirectiveNoFileComp
}

// doctor carries out the checks and shows what they came to. A dry run fixes nothing.
func (a *app) doctor(cmd *cobra.Command, args []string, f doctorFlags) error {
	ctx, interrupted := untilSignal(cmd.Context(), syscall.SIGPIPE)
	defer interrupted()
	temp, err := os.MkdirTemp("", "aifo-dr") // short: a socket's path has 107 bytes
	if err != nil {
		return fmt.Errorf("make a directory for the checks: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	h, err := a.doctorHost(cmd, args, temp)
	if err != nil {
		return err
	}
	checks := doctor.Checks(h)
	screen := a.newDoctorScreen(f.asJSON)
	screen.wait(len(checks))
	results := doctor.Run(ctx, checks, screen.show)
	screen.end()
	if err := context.Cause(ctx); is[*session.SignalError](err) {
		return err
	}
	if f.fix && !a.flags.dryRun {
		results = doctor.Fix(ctx, results)
		screen.fixed(results)
	}
	if err := screen.sum(results); err != nil {
		return err
	}
	if s := doctor.Summarise(results); s.Fail > 0 {
		return &unhealthyError{Failed: s.Fail}
	}
	return nil
}

// doctorHost reads what a session with these flags would, and goes on where one would end.
func (a *app) doctorHost(cmd *cobra.Command, args []string, temp string) (doctor.Host, error) {
	h := doctor.Host{
		Agents: chosenAgents(args), Asked: len(args) > 0, Temp: temp, ID: doctor.ID(os.Getpid()),
	}
	h.Config = a.doctorConfig(cmd)
	err := a.chooseEngine() // which the configuration may name
	if err != nil {
		return h, &UsageError{Err: err}
	}
	h.Docker, h.EngineAsked = a.docker(), a.askedEngine() != ""
	if h.Options, err = a.flags.options(a.env); err == nil {
		err = checkOptions(h.Options, a.env, runtime.GOOS)
	}
	if err != nil {
		return h, &UsageError{Err: err}
	}
	if err := a.doctorFacts(cmd.Context(), &h); err != nil {
		return h, err
	}
	h.Credentials = func(ctx context.Context) ([]doctor.CredentialFacts, error) { return a.credentialFacts(ctx, h) }
	cleaner := sessions.Cleaner{
		Finder: sessions.Finder{Docker: h.Docker, Self: h.Facts.Owner, RuntimeDir: h.Facts.RuntimeDir}, Logs: emptyable(h.Facts),
	}
	h.Leftovers = func(ctx context.Context) (doctor.Leftovers, error) { return leftovers(cleaner.Left(ctx)) }
	h.Clean = func(ctx context.Context) error {
		left, err := cleaner.Left(ctx)
		return errors.Join(err, cleaner.Remove(ctx, left))
	}
	return h, nil
}

// leftovers counts what killed sessions left.
func leftovers(left []sessions.Leftover, err error) (doctor.Leftovers, error) {
	var l doctor.Leftovers
	for _, one := range left {
		switch one.Type {
		case sessions.TypeContainer:
			l.Containers++
		case sessions.TypeNetwork:
			l.Networks++
		case sessions.TypeLock, sessions.TypeSockets, sessions.TypeLog:
			l.Files = append(l.Files, one.Name)
		}
	}
	return l, err
}

// doctorFacts takes the snapshot of the host. A directory that cannot be the workspace is
// reported, and another takes its place for the probes.
func (a *app) doctorFacts(ctx context.Context, h *doctor.Host) error {
	place, err := hostfacts.Place(a.flags.workspace)
	if err == nil {
		h.Facts, err = hostfacts.Host(ctx, a.flags.workspace)
	}
	if is[*hostfacts.WorkspaceError](err) {
		h.WorkspaceErr = err
		dir := filepath.Join(h.Temp, "workspace")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make a directory for the checks: %w", err)
		}
		h.Facts, err = hostfacts.Host(ctx, dir)
	}
	if is[*hostfacts.EnvError](err) && h.Facts.Workspace != "" {
		h.CAErr, err = err, nil
	}
	h.PlaceWarnings, h.CAWarnings = place.Warnings, h.Facts.Warnings[min(len(place.Warnings), len(h.Facts.Warnings)):]
	h.Facts.Env = a.config.environment(h.Facts.Env)
	return err
}

// doctorConfig applies the configuration as a session does, as far as it can be used.
func (a *app) doctorConfig(cmd *cobra.Command) doctor.ConfigFacts {
	a.config.above = a.above(cmd.Flags())
	own, files, err := a.readAll()
	facts := doctor.ConfigFacts{Err: err, Hint: hint(err)}
	for _, r := range files {
		facts.Files = append(facts.Files, r.subject.File)
		for _, s := range r.waiting() {
			facts.Waiting = append(facts.Waiting, s.Name)
		}
	}
	if len(own) > 0 {
		if f, err := hostfacts.User(); err == nil {
			facts.Files = append(facts.Files, userFile(f))
		}
	}
	if facts.Err == nil {
		facts.Err = a.validateOwn(own)
	}
	if facts.Err == nil {
		a.config.own, facts.Err = a.takeApart(own)
	}
	if facts.Err == nil {
		facts.Err = a.apply(cmd.Flags(), config.Effective(a.config.above, a.config.own.Layers(counting(files)...)...))
	}
	return facts
}

// credentialFacts says which keys there are for each agent, by name.
func (a *app) credentialFacts(ctx context.Context, h doctor.Host) ([]doctor.CredentialFacts, error) {
	stored, err := keys.Find(ctx, keys.Dir(h.Facts.ConfigDir), provider.Names())
	if err != nil {
		return nil, err
	}
	brokered, _, err := a.flags.broker.parse(a.env)
	if err != nil {
		return nil, err
	}
	var list []doctor.CredentialFacts
	for _, ag := range h.Agents {
		f := doctor.CredentialFacts{Agent: ag.Name, Asked: h.Asked, Needs: len(ag.Credentials) > 0, Brokered: brokered}
		for _, name := range ag.Credentials {
			if h.Facts.Env.Get(name) != "" && config.Secret(name) {
				f.Variables = append(f.Variables, name)
			}
		}
		for _, p := range provider.All() {
			if _, ok := stored[p.Name]; ok && slices.ContainsFunc(p.Keys, func(k string) bool { return slices.Contains(ag.Credentials, k) }) {
				f.Stored = append(f.Stored, p.Name)
			}
		}
		if err := ag.CheckBroker(); err != nil {
			f.Unfit = err.Error()
		}
		list = append(list, f)
	}
	return list, nil
}

// doctorScreen shows results to a person as they come, or keeps them for scripts.
type doctorScreen struct {
	w      io.Writer
	asJSON bool
	live   func() int // the width of the terminal on which a line tells what is being waited for; nil: none does
	color  bool
	total  int
	done   int
	group  string
}

func (a *app) newDoctorScreen(asJSON bool) *doctorScreen {
	tty := term.IsTerminal(int(a.streams.Out.Fd()))
	s := &doctorScreen{w: a.streams.Out, asJSON: asJSON, color: a.colored(tty)}
	if !asJSON {
		s.live = columnsOf(a.streams.Out, a.env)
	}
	return s
}

func (s *doctorScreen) wait(total int) {
	s.total = total
	s.progress()
}

// progress writes the line below the results that is written over by the next.
func (s *doctorScreen) progress() {
	if s.live == nil || s.done >= s.total {
		return
	}
	if columns := s.live(); columns != ui.NotNow {
		fmt.Fprint(s.w, ui.Cut(fmt.Sprintf("checking: %d of %d done", s.done, s.total), columns))
	}
}

func (s *doctorScreen) clear() {
	if s.live != nil {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

// show prints the results of one check.
func (s *doctorScreen) show(results []doctor.Result) {
	s.done++
	if s.asJSON {
		return
	}
	s.clear()
	for _, r := range results {
		s.print(r)
	}
	s.progress()
}

func (s *doctorScreen) end() { s.clear() }

// statusColors are for the words on a terminal; the word is always there.
var statusColors = map[doctor.Status]string{doctor.Pass: ui.Green, doctor.Warn: ui.Yellow, doctor.Fail: ui.Red, doctor.Skip: ui.Dim}

func (s *doctorScreen) print(r doctor.Result) {
	if r.Group != s.group {
		if s.group != "" {
			fmt.Fprintln(s.w)
		}
		s.group = r.Group
		fmt.Fprintln(s.w, r.Group)
	}
	word := string(r.Status)
	if s.color {
		word = statusColors[r.Status] + word + ui.Reset
	}
	fmt.Fprintf(s.w, "  %s  %-22s  %s\n", word, r.Name, printable(r.Finding))
	for _, line := range r.Next {
		fmt.Fprintf(s.w, "        next: %s\n", printable(line))
	}
}

// spaced puts what has several lines or columns on one line.
var spaced = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ")

// printable returns what an engine or a file said, for one line of a terminal.
func printable(text string) string { return foreign.Printable(spaced.Replace(text)) }

// fixed prints what fixes did.
func (s *doctorScreen) fixed(results []doctor.Result) {
	if s.asJSON {
		return
	}
	for _, r := range results {
		if r.Fixed != "" {
			fmt.Fprintf(s.w, "\nfixed  %s: %s", r.Name, printable(r.Fixed))
		}
	}
	fmt.Fprintln(s.w)
}

// sum prints the summary, or everything for scripts.
func (s *doctorScreen) sum(results []doctor.Result) error {
	sum := doctor.Summarise(results)
	if s.asJSON {
		return encodeJSON(s.w, struct {
			Version string          `json:"version"`
			OK      bool            `json:"ok"`
			Summary doctor.Summary  `json:"summary"`
			Checks  []doctor.Result `json:"checks"`
		}{buildinfo.Version(), sum.Fail == 0, sum, results})
	}
	_, err := fmt.Fprintf(s.w, "\n%s\n", sum)
	return err
}
