package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aifo-coder/aifo-coder/internal/foreign"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
	"github.com/aifo-coder/aifo-coder/internal/ui"
)

func (a *app) psCmd() *cobra.Command {
	var asJSON, noMemory bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the sessions of this machine, with their containers",
		Long: `List the sessions of this machine, oldest first, each with its containers: whether somebody still looks after it, its age,
and the memory that it uses. A line each tells which ports of this machine lead into it (--publish). A session is "dead" when its process was killed and left containers behind, which "clean"
removes, and "elsewhere" when it belongs to another host with the same engine.`,
		Example: `  aifo-coder ps
  aifo-coder ps --json`,
		GroupID: groupSessions,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.sessionHost()
			if err != nil {
				return err
			}
			list, err := h.find(cmd.Context())
			if err != nil {
				return err
			}
			if !noMemory {
				h.finder.AddMemory(cmd.Context(), list)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			return a.writeSessions(cmd.OutOrStdout(), list, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&noMemory, "no-memory", false, "leave out the memory, which an engine on another kernel takes seconds to tell")
	return cmd
}

func (a *app) writeSessions(w io.Writer, list []sessions.Session, now time.Time) error {
	if len(list) == 0 {
		a.printer.Notice("no session runs")
		return nil
	}
	out := screen{w: w}
	if fd := int(a.streams.Out.Fd()); term.IsTerminal(fd) {
		out.width, _, _ = term.GetSize(fd) // 0 when it does not say: nothing is cut
		out.terminal = true
	}
	out.colour = a.colored(out.terminal)
	return out.sessions(list, now)
}

// screen is where a table of sessions goes.
type screen struct {
	w        io.Writer
	terminal bool
	colour   bool
	width    int // in characters; 0: not known
}

// sessions writes the table. Its lines are coloured, and cut where they are longer than the
// terminal is wide, when the columns have their widths.
func (s screen) sessions(list []sessions.Session, now time.Time) error {
	var text bytes.Buffer
	colours := []string{ui.BoldOn}
	t := newTable(&text, "SESSION", "STATE", "AGE", "MEMORY", "WHAT")
	for _, one := range list {
		colours = append(colours, addSession(t, one, now)...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		if _, err := fmt.Fprintln(s.w, s.line(line, colours[i])); err != nil {
			return err
		}
	}
	return nil
}

// addSession adds the lines of a session to the table, and returns their colours. Ports have lines
// of their own: beside the rest of a session they would leave no room for it.
func addSession(t table, one sessions.Session, now time.Time) (colours []string) {
	t.row(foreign.Printable(one.ID), string(one.State), age(one.Since, now), size(one.Memory), foreign.Printable(what(one)))
	for _, p := range one.Ports {
		t.row("  port", "-", "-", "-", fmt.Sprintf("%s->%d", p.Host, p.Container))
	}
	for _, c := range one.Containers {
		t.row("  "+foreign.Printable(c.Kind), foreign.Printable(c.State), age(c.Created, now), size(c.Memory), foreign.Printable(c.Image))
	}
	colours = make([]string, 1+len(one.Ports)+len(one.Containers))
	colours[0] = ui.BoldOn
	if one.State == sessions.Dead {
		colours[0] = ui.Yellow
	}
	return colours
}

// line returns a line as it is to be written.
func (s screen) line(line, colour string) string {
	if letters := []rune(line); s.width > 1 && len(letters) > s.width {
		line = string(letters[:s.width-1]) + "…"
	}
	if s.colour && colour != "" {
		return colour + line + ui.Reset
	}
	return line
}

// what says what a session is: its agent and its workspace, and whose it is when it is not
// the caller's.
func what(s sessions.Session) string {
	text := s.Title()
	if p := s.Pane; p != nil {
		text = fmt.Sprintf("%s, pane %d of fork session %s of %s", strings.TrimSuffix(text, " in "+s.Workspace), p.Index, p.SID, p.Repository)
	}
	switch {
	case s.State == sessions.Elsewhere:
		text += ", on " + s.Host
	case s.Own() != nil:
		text += ", of " + s.UserName()
	}
	return text
}

// age returns how long ago a time was, in the largest unit of which it is one.
func age(since, now time.Time) string {
	d := max(now.Sub(since), 0)
	const day = 24 * time.Hour
	switch {
	case since.IsZero():
		return "-"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d/day))
}
