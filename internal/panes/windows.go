package panes

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The programs that open windows on Windows.
const (
	WindowsTerminal = "wt.exe"
	PowerShell      = "powershell.exe"
)

// OrchError says that AIFO_CODER_FORK_ORCH names nothing that can open windows here.
type OrchError struct{ Word string }

func (e *OrchError) Error() string {
	if e.Word == "gitbash" {
		return "AIFO_CODER_FORK_ORCH: Git Bash's windows cannot be told apart or arranged from outside, so they are not supported"
	}
	return fmt.Sprintf("AIFO_CODER_FORK_ORCH: %q opens no windows; wt (Windows Terminal) and powershell do", e.Word)
}

// Hint says what works.
func (e *OrchError) Hint() string {
	return "unset AIFO_CODER_FORK_ORCH, or run the agents in the background with logs: --fork-runner=plain"
}

// ChooseWindows returns the program that opens the panes, given the word of
// AIFO_CODER_FORK_ORCH and whether Windows Terminal is there, or an *OrchError.
func ChooseWindows(orch string, hasTerminal bool) (string, error) {
	switch {
	case orch == "wt", orch == "" && hasTerminal:
		return WindowsTerminal, nil
	case orch == "powershell", orch == "":
		return PowerShell, nil
	}
	return "", &OrchError{Word: orch}
}

// Windows returns the commands that open the panes by program: one for Windows
// Terminal, one for each pane with PowerShell. It returns an *ArgvError for words that the
// program cannot carry.
func Windows(program string, s Spec) ([][]string, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if program == WindowsTerminal {
		argv, err := terminal(s)
		return [][]string{argv}, err
	}
	var list [][]string
	for _, p := range s.Panes {
		list = append(list, []string{PowerShell, "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded(startProcess(p))})
	}
	return list, nil
}

// terminal returns the one command of Windows Terminal
// (learn.microsoft.com/windows/terminal/command-line-arguments): subcommands with ";"
// between them, in a window of their own.
func terminal(s Spec) ([]string, error) {
	argv := []string{WindowsTerminal, "-w", "new"}
	for i, step := range splits(s.Layout, len(s.Panes)) {
		words, err := paneWords(s.Panes[i])
		if err != nil {
			return nil, err
		}
		for _, w := range step.focus {
			argv = append(argv, "move-focus", w, ";")
		}
		argv = append(append(argv, step.words...), words...)
		if i < len(s.Panes)-1 {
			argv = append(argv, ";")
		}
	}
	return argv, nil
}

// split is how Windows Terminal makes room for one pane.
type split struct {
	focus []string // where to go first
	words []string // the subcommand
}

// splits returns how n panes get their places, in order. A new pane takes a part of the
// one that has the focus, and gets the focus: -V puts it to the right, -H below.
func splits(l Layout, n int) []split {
	columns := 1
	switch l {
	case EvenH:
		columns = n
	case Tiled:
		columns = int(math.Ceil(math.Sqrt(float64(n))))
	}
	list := []split{{words: []string{"new-tab"}}}
	for i := 1; i < columns; i++ {
		list = append(list, split{words: splitWords("-V", columns-i)})
	}
	// From the last column to the first, to whose left there is one undivided column.
	left := n - columns
	for column := columns; column > 0; column-- {
		rows := left / column
		left -= rows
		list = append(list, below(rows, column < columns)...)
	}
	return list
}

// below returns the splits that put n more panes under one another, in the next column
// to the left if moved says so.
func below(n int, moved bool) []split {
	var list []split
	for i := range n {
		s := split{words: splitWords("-H", n-i)}
		if i == 0 && moved {
			s.focus = []string{"left"}
		}
		list = append(list, s)
	}
	return list
}

// splitWords returns the subcommand after which the pane that is divided has 1 part,
// and the new one the rest of it: room for rest panes.
func splitWords(direction string, rest int) []string {
	size := strconv.FormatFloat(float64(rest)/float64(rest+1), 'f', 3, 64)
	return []string{"split-pane", direction, "-s", size}
}

// paneWords returns a pane's title, directory and command as Windows Terminal takes
// them: ";" stands behind a backslash also inside a word. It joins the command's words again
// with quotes around those with a space, and nothing it does keeps a quote in one.
func paneWords(p Pane) ([]string, error) {
	for _, w := range append([]string{p.Dir}, p.Argv...) {
		if strings.Contains(w, `"`) {
			return nil, &ArgvError{Index: p.Index, Reason: `Windows Terminal takes no word with a " in it`}
		}
	}
	var list []string
	for _, w := range append([]string{"--title", p.Title, "-d", p.Dir, "--"}, p.Argv...) {
		list = append(list, strings.ReplaceAll(w, ";", `\;`))
	}
	return list, nil
}

// startProcess returns the PowerShell command that opens a pane's own window.
func startProcess(p Pane) string {
	var args []string
	for _, w := range p.Argv[1:] {
		args = append(args, windowsWord(w))
	}
	return fmt.Sprintf("Start-Process -FilePath %s -ArgumentList %s -WorkingDirectory %s",
		literal(p.Argv[0]), literal(strings.Join(args, " ")), literal(p.Dir))
}

// literal quotes a word for PowerShell. In single quotes only those mean anything,
// and PowerShell takes the typographic ones for the same (about_Quoting_Rules).
func literal(w string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range w {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// windowsWord quotes a word of a Windows command line as CommandLineToArgvW and the C
// runtime take it apart: backslashes count only before a quote.
func windowsWord(w string) string {
	if w != "" && !strings.ContainsAny(w, " \t\n\v\"") {
		return w
	}
	var b strings.Builder
	slashes := 0
	b.WriteByte('"')
	for _, r := range w {
		switch r {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1))
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat(`\`, slashes) + `"`)
	return b.String()
}

// encoded returns a script as -EncodedCommand takes it: base64 of UTF-16LE. So nothing
// between us and PowerShell can misread a quote.
func encoded(script string) string {
	var data []byte
	for _, u := range utf16.Encode([]rune(script)) {
		data = binary.LittleEndian.AppendUint16(data, u)
	}
	return base64.StdEncoding.EncodeToString(data)
}
