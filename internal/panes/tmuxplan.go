package panes

import (
	"strconv"
	"strings"
)

// Size is that of a terminal; zero is unknown.
type Size struct{ Cols, Rows int }

// assumedSize is for a session that nobody looks at yet. tmux's own 80x24 has no room
// for many panes.
var assumedSize = Size{Cols: 200, Rows: 50}

// newFormat asks a command that creates a pane for the ids of what it created. Ids
// mean the same whatever base-index, pane-base-index or renumber-windows are.
const newFormat = "#{session_id} #{window_id} #{pane_id} #{socket_path}"

// newSession returns the words after "tmux" that make the session with its first
// pane. It is one sequence of commands, which the server carries out at once: with
// destroy-unattached in the user's configuration, or a pane that ends at once, there would
// be no session left for a second call. Options are set for this session and its window
// only. The working directory is that of the tmux command: -c would expand formats in it.
func newSession(s Spec, size Size) []string {
	if size.Cols <= 0 || size.Rows <= 0 {
		size = assumedSize
	}
	args := []string{
		"new-session", "-d", "-P", "-F", newFormat, "-s", s.Name, "-n", format(s.Window),
		"-x", strconv.Itoa(size.Cols), "-y", strconv.Itoa(size.Rows), "--",
	}
	args = append(args, words(s.Panes[0].Argv)...)
	target := "=" + s.Name + ":"
	args = append(args, ";", "set-option", "-t", target, "destroy-unattached", "off")
	args = append(args, ";", "set-option", "-t", target, markOption, word(s.Mark))
	return append(args, windowOptions(target)...)
}

// windowOptions is what each window of ours needs. Programs that end at once stay
// until all have been started, or the window could go before it has its second pane.
func windowOptions(target string) []string {
	var args []string
	for _, o := range [][2]string{
		{"remain-on-exit", "on"}, {"synchronize-panes", "off"}, {"automatic-rename", "off"},
		{"pane-border-status", "top"}, {"pane-border-format", " #{pane_title} "},
	} {
		args = append(args, ";", "set-option", "-w", "-t", target, o[0], o[1])
	}
	return args
}

// markOption is the option of a session that says whose it is (tmux(1), OPTIONS: those
// that start with @ are the user's).
const markOption = "@aifo-sid"

// splitPane returns the words that put another pane beside the pane beside.
func splitPane(l Layout, beside string, p Pane) []string {
	direction := "-v"
	if l == EvenH {
		direction = "-h"
	}
	args := []string{"split-window", "-d", direction, "-P", "-F", newFormat, "-t", beside, "--"}
	return append(args, words(p.Argv)...)
}

// newWindow returns the words that make a further window with p in it, as the last.
func newWindow(session, name string, p Pane) []string {
	last := session + ":{end}"
	args := []string{"new-window", "-d", "-a", "-P", "-F", newFormat, "-n", format(name), "-t", last, "--"}
	args = append(args, words(p.Argv)...)
	return append(args, windowOptions(last)...)
}

// arrange returns the words that give the panes of a window their places.
func arrange(l Layout, window string) []string {
	name := map[Layout]string{EvenH: "even-horizontal", EvenV: "even-vertical"}[l]
	if name == "" {
		name = "tiled"
	}
	return []string{"select-layout", "-t", window, name}
}

// setTitle returns the words that name a pane.
func setTitle(pane, title string) []string {
	return []string{"select-pane", "-t", pane, "-T", word(format(title))}
}

// words returns the words of a pane's command as the tmux command takes them.
func words(argv []string) []string {
	list := make([]string, 0, len(argv))
	for _, w := range argv {
		list = append(list, word(w))
	}
	return list
}

// word keeps a semicolon at the end of a word from separating two commands of tmux
// (tmux(1), COMMAND PARSING AND EXECUTION).
func word(w string) string {
	if s, ok := strings.CutSuffix(w, ";"); ok {
		return s + `\;`
	}
	return w
}

// format returns text that tmux's expansion of formats turns into the given one
// (tmux(1), FORMATS).
func format(text string) string { return strings.ReplaceAll(text, "#", "##") }
