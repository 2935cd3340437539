package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/calltrace"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/jsonlog"
	"github.com/aifo-coder/aifo-coder/internal/lock"
	"github.com/aifo-coder/aifo-coder/internal/session"
	"github.com/aifo-coder/aifo-coder/internal/telemetry"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

const (
	// traceVariable says what is kept of tool calls.
	traceVariable = "AIFO_CODER_TRACE"
	// exportArgsVariable has spans carry the arguments of tools.
	exportArgsVariable = "AIFO_CODER_OTEL_ARGS"
)

// parseTrace returns what is kept of tool calls, and exported. Variables of OpenTelemetry
// that cannot be followed, which are not only for us, keep nobody from working.
func (a *app) parseTrace() (session.Trace, error) {
	t, err := parseTraceMode(a.env.Get(traceVariable))
	if err != nil {
		return t, err
	}
	if t.Export, err = telemetry.FromEnv(a.env.Get); err != nil {
		a.printer.Warn("nothing is exported to OpenTelemetry: " + err.Error())
	}
	t.Export.Args = a.env.Get(exportArgsVariable) == "1"
	return t, nil
}

func parseTraceMode(v string) (session.Trace, error) {
	switch v {
	case "", "args":
		return session.Trace{File: true, Args: true}, nil
	case "tools":
		return session.Trace{File: true}, nil
	case "off":
		return session.Trace{}, nil
	}
	return session.Trace{}, fmt.Errorf("%s=%q: takes args, tools or off", traceVariable, v)
}

// traceFlags are the flags of "trace".
type traceFlags struct {
	follow, asJSON, failed bool
	kind                   string
	slow                   time.Duration
}

// shows reports whether a call is to be shown.
func (f traceFlags) shows(r calltrace.Record) bool {
	return (!f.failed || r.Failed()) && (f.kind == "" || r.Kind == f.kind) && r.Duration() >= f.slow
}

// settleKind has the kind by its own name. One that nobody defines may be of a session that knew it.
func (f *traceFlags) settleKind(kinds toolchain.Set, path string) error {
	if k, ok := kinds.Lookup(f.kind); ok || f.kind == "" {
		f.kind = k.Name
		return nil
	}
	records, _, err := calltrace.Read(path)
	if err != nil || slices.ContainsFunc(records, func(r calltrace.Record) bool { return r.Kind == f.kind }) {
		return err
	}
	return &UsageError{Err: fmt.Errorf("--kind %q: there is no such toolchain; kinds are %s", f.kind, strings.Join(kinds.Names(), ", "))}
}

// chosen returns those of the calls that are to be shown, as they are now.
func (f traceFlags) chosen(calls []calltrace.Record, now time.Time) []calltrace.Record {
	chosen := []calltrace.Record{} // a JSON array, and not null
	for _, r := range calls {
		if r = r.At(now); f.shows(r) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

func (a *app) traceCmd() *cobra.Command {
	var f traceFlags
	cmd := &cobra.Command{
		Use:   "trace [SESSION]",
		Short: "Show the tool calls of a session, live or after it",
		Long: `Show each tool call of a session: tool, toolchain, directory, duration, bytes and exit code. Without SESSION it is the
newest one of this workspace, or else of all. With --follow it goes on until the session ends; on a terminal calls that are
under way are shown, too.`,
		Example: `  aifo-coder trace -f
  aifo-coder trace --failed --kind rust
  aifo-coder trace k3j2h1g0 --slow 10s --json`,
		GroupID:           groupSessions,
		Args:              oneAtMost("session"),
		ValidArgsFunction: completeLogs(traces),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trace(cmd.Context(), cmd.OutOrStdout(), args, f)
		},
	}
	fs := cmd.Flags()
	fs.BoolVarP(&f.follow, "follow", "f", false, "go on with what comes, until the session ends")
	fs.BoolVar(&f.asJSON, "json", false, "print a JSON array, or with --follow an object a line")
	fs.BoolVar(&f.failed, "failed", false, "show only calls that failed or were refused, or whose exit code is not 0")
	fs.StringVar(&f.kind, "kind", "", "show only calls of the toolchain `KIND`")
	fs.DurationVar(&f.slow, "slow", 0, "show only calls that took `DURATION` or longer, as in 10s")
	mustComplete(cmd, "kind", a.flags.completeKinds)
	mustComplete(cmd, "slow", cobra.NoFileCompletions)
	return cmd
}

func traces(f hostfacts.Facts) jsonlog.Store { return calltrace.Logs(f.TraceDir) }

// trace shows the calls of the session that was named, or the one that is meant.
func (a *app) trace(ctx context.Context, w io.Writer, args []string, f traceFlags) error {
	kinds, err := a.flags.kinds(a.env)
	if err != nil {
		return &UsageError{Err: err}
	}
	facts, log, err := a.chosenTrace(args)
	if err != nil {
		return err
	}
	if err := f.settleKind(kinds, log.Path); err != nil {
		return err
	}
	running := func() bool {
		path, _ := lock.Session(facts.RuntimeDir, log.Session)
		held, err := lock.Held(path)
		return held && err == nil
	}
	if f.follow {
		return a.followTrace(ctx, w, log.Path, f, running)
	}
	live := running() // before the file is read, or a call might end in between
	records, notices, err := calltrace.Read(log.Path)
	if err != nil {
		return err
	}
	for _, n := range notices {
		a.printer.Warn(fmt.Sprintf("session %s: %s", log.Session, n))
	}
	calls := f.chosen(calltrace.Calls(records, live), time.Now())
	if f.asJSON {
		return writeJSON(w, calls)
	}
	return showTrace(w, calls)
}

// chosenTrace returns the trace of the session that was named, or else the newest: of this
// workspace before others, and of a session that runs before one that does not.
func (a *app) chosenTrace(args []string) (hostfacts.Facts, jsonlog.Log, error) {
	facts, err := a.place()
	if err != nil {
		return facts, jsonlog.Log{}, err
	}
	scores := map[string]int{}
	score := func(l jsonlog.Log) int {
		if _, ok := scores[l.Path]; !ok {
			scores[l.Path] = traceScore(l, facts)
		}
		return scores[l.Path]
	}
	log, err := chosenLog(traces(facts), args, "a session writes one when a tool of a toolchain is called (--toolchain KIND), unless "+traceVariable+" is off",
		func(x, y jsonlog.Log) int { return score(y) - score(x) })
	return facts, log, err
}

func traceScore(l jsonlog.Log, f hostfacts.Facts) int {
	score := 0
	if dir := calltrace.Workspace(l.Path); f.Workspace != "" && (dir == f.Workspace || strings.HasPrefix(dir, f.Workspace+"/")) {
		score += 2 // a pane of fork mode works in a directory of it
	}
	path, _ := lock.Session(f.RuntimeDir, l.Session)
	if held, err := lock.Held(path); held && err == nil {
		score++
	}
	return score
}

func showTrace(w io.Writer, calls []calltrace.Record) error {
	t := newTable(w, "TIME", "TOOLCHAIN", "DURATION", "RESULT", "IN", "OUT", "DIRECTORY", "COMMAND")
	for _, r := range calls {
		t.row(callCells(r)...)
	}
	return t.flush()
}

// callCells returns the cells of a row about the call.
func callCells(r calltrace.Record) []string {
	command := dockerargs.Quote(append([]string{r.Tool}, r.Args...))
	if r.ArgsCut {
		command += " …"
	}
	if r.Reason != "" {
		command += "  (" + r.Reason + ")"
	}
	return []string{
		r.Time.Local().Format(time.DateTime), cmp.Or(r.Kind, "-"), shortDuration(r.Duration()), callResult(r),
		size(r.StdinBytes), size(sum(r.StdoutBytes, r.StderrBytes)), cmp.Or(r.Cwd, "-"), command,
	}
}

// callResult says in a word how a call ended.
func callResult(r calltrace.Record) string {
	switch {
	case r.State == calltrace.Ended && r.Signal != "":
		return "SIG" + r.Signal
	case r.State == calltrace.Ended && r.ExitCode != nil:
		return strconv.Itoa(*r.ExitCode)
	}
	return cmp.Or(r.Code, string(r.State))
}

// shortDuration returns d with the digits that matter.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// size returns a number of bytes for people; nil is unknown.
func size(n *int64) string {
	if n == nil {
		return "-"
	}
	return units.BytesSize(float64(*n))
}

// sum returns the sum of what is known, or nil.
func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		return a
	}
	n := *a + *b
	return &n
}

// followTrace prints calls as they end, and on a terminal those under way below them.
func (a *app) followTrace(ctx context.Context, w io.Writer, path string, f traceFlags, running func() bool) error {
	if f.asJSON {
		enc := json.NewEncoder(w)
		return calltrace.Follow(ctx, path, func() bool { return !running() }, func(r calltrace.Record) error {
			if !f.shows(r) {
				return nil
			}
			return enc.Encode(r)
		})
	}
	v := &traceView{w: w, shows: f.shows}
	if fd := int(a.streams.Out.Fd()); term.IsTerminal(fd) {
		v.color = a.colored(true)
		v.size = func() (columns, lines int) {
			columns, lines, _ = term.GetSize(fd) // 0 is no size, which the view knows
			return columns, lines
		}
	}
	err := calltrace.Follow(ctx, path, func() bool {
		v.draw(time.Now())
		return !running()
	}, v.take)
	return errors.Join(err, v.end())
}
