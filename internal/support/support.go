// Package support runs every agent with every toolchain over both transports and tells how
// each ended. It runs sessions of the program itself, as other processes of it: a session
// owns the signals, the terminal and the locks of its process, and what a user types is what
// is to be shown to work. The results are data, made from what the sessions print by pure
// functions; it pulls and builds nothing.
package support

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// Transport is a way in which tool calls leave the agent's container.
type Transport string

// The transports.
const (
	TCP  Transport = "tcp"
	Unix Transport = "unix"
)

// ParseTransports returns the transports that a word names: tcp, unix or both.
func ParseTransports(word string) ([]Transport, error) {
	switch word {
	case "both", "":
		return []Transport{TCP, Unix}, nil
	case string(TCP), string(Unix):
		return []Transport{Transport(word)}, nil
	}
	return nil, fmt.Errorf("--transport %q: takes tcp, unix or both", word)
}

// Agent is an agent with the image that it runs in.
type Agent struct{ Name, Image string }

// Column is a toolchain, as the program takes it, with the command that is tried.
type Column struct {
	Kind    string
	Flag    string // value of --toolchain
	Command string
}

// commands are what is tried of the built-in kinds: a program that uses more than itself.
var commands = map[string]string{
	"rust": "cargo --version", "node": "npm --version", "python": "python -m pip --version",
	"c-cpp": "cmake --version", "go": "go version",
}

// NewColumn returns the column of a kind, of which flag is the value of --toolchain.
func NewColumn(k toolchain.Kind, flag string) Column {
	c := Column{Kind: k.Name, Flag: flag, Command: commands[k.Name]}
	switch {
	case c.Command != "":
	case len(k.Probe) > 0:
		c.Command = strings.Join(k.Probe, " ")
	default:
		c.Command = k.ToolNames()[0] + " --version"
	}
	return c
}

// Runs is the value of Cell.Runs for the agent itself.
const Runs = "agent"

// Cell is one result.
type Cell struct {
	Agent     string    `json:"agent"`
	Transport Transport `json:"transport"`
	Runs      string    `json:"runs"` // a toolchain, or "agent"
	Command   string    `json:"command"`
	Code      int       `json:"code"`   // exit code; -1: it was not come to
	Output    string    `json:"output"` // its first line, or why it failed
}

// OK reports whether what was tried works.
func (c Cell) OK() bool { return c.Code == 0 }

// Short is the version that the command printed, or that it failed.
func (c Cell) Short() string {
	if !c.OK() {
		return fmt.Sprintf("FAILED (%d)", c.Code)
	}
	for _, word := range strings.Fields(c.Output) {
		if strings.ContainsAny(word, "0123456789") {
			return strings.Trim(word, "(),")
		}
	}
	return "ok"
}

// Absence is an agent or a toolchain that is not run, since its image is not on this machine.
type Absence struct {
	Type  string `json:"type"` // "agent" or "toolchain"
	Name  string `json:"name"`
	Image string `json:"image"`
	Next  string `json:"next"` // what to do about it
}

// Matrix is what is to be run.
type Matrix struct {
	Agents     []Agent
	Transports []Transport
	Columns    []Column
}

// Session runs the program once with the arguments, in a workspace of its own, and hands each
// line of its standard output on as it comes. It returns the exit code, and an error with what it said
// when that is not 0 or ctx ended.
type Session func(ctx context.Context, args []string, line func(string)) (code int, err error)

// Run runs the matrix: one agent after the other, with the transports and the agent itself
// side by side. Each cell is handed on as soon as it is known, by one goroutine at a time. When
// ctx ends no more is begun.
func (m Matrix) Run(ctx context.Context, session Session, done func(Cell)) []Cell {
	var (
		mu  sync.Mutex
		all []Cell
	)
	emit := func(c Cell) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, c)
		done(c)
	}
	for _, a := range m.Agents {
		var running sync.WaitGroup
		for _, t := range m.Transports {
			running.Go(func() { m.row(ctx, a, t, session, emit) })
		}
		running.Wait()
	}
	return all
}

// row runs a row: the agent itself, then a tool of each toolchain in one container of its image.
func (m Matrix) row(ctx context.Context, a Agent, t Transport, session Session, emit func(Cell)) {
	if ctx.Err() != nil {
		return
	}
	self := Cell{Agent: a.Name, Transport: t, Runs: Runs, Command: a.Name + " --version"}
	var lines []string
	code, err := session(ctx, m.agentArgs(a, t), func(l string) { lines = append(lines, l) })
	if ctx.Err() != nil {
		return
	}
	emit(agentCell(self, lines, code, err))
	if len(m.Columns) == 0 {
		return
	}
	told := 0
	_, err = session(ctx, m.toolArgs(a, t), func(l string) {
		if told < len(m.Columns) {
			emit(toolCell(m.cell(a, t, told), l))
			told++
		}
	})
	for ; told < len(m.Columns) && ctx.Err() == nil; told++ {
		c := m.cell(a, t, told)
		c.Code, c.Output = -1, oneLine(errors.Join(err, errNothing))
		emit(c)
	}
}

// errNothing is said of a cell whose session ended before it.
var errNothing = errors.New("the session ended without having run it")

func (m Matrix) cell(a Agent, t Transport, column int) Cell {
	return Cell{Agent: a.Name, Transport: t, Runs: m.Columns[column].Kind, Command: m.Columns[column].Command}
}

func agentCell(c Cell, lines []string, code int, err error) Cell {
	if len(lines) > 0 {
		c.Output = lines[0]
	}
	if err != nil {
		c.Code, c.Output = code, oneLine(err)
	}
	return c
}

// toolCell reads a line of the script: an exit code, and the first line of what was printed.
func toolCell(c Cell, line string) Cell {
	code, first, ok := strings.Cut(line, "\t")
	c.Output = first
	if _, err := fmt.Sscan(code, &c.Code); err != nil || !ok {
		c.Code, c.Output = -1, "the session printed "+line
	}
	return c
}

// script prints for each command its exit code and the first line of what it printed, on
// standard error if it failed.
const script = `for c; do
	out=$(sh -c "$c" 2>/tmp/support-err); code=$?
	test $code = 0 || out=$(cat /tmp/support-err)
	printf '%s\t%s\n' "$code" "$(printf %s "$out" | head -n 1)"
done`

// flags are the arguments of every session of a row.
func (m Matrix) flags(a Agent, t Transport) []string {
	args := []string{"--quiet", "--image", a.Image}
	for _, c := range m.Columns {
		args = append(args, "--toolchain", c.Flag)
	}
	// Said either way: the user's configuration may have it.
	return append(args, fmt.Sprintf("--toolchain-unix-socket=%t", t == Unix))
}

// toolArgs runs the commands in the agent's image. The shell agent runs any command, and an
// image is an image.
func (m Matrix) toolArgs(a Agent, t Transport) []string {
	args := append(m.flags(a, t), "shell", "--", "sh", "-c", script, "support")
	for _, c := range m.Columns {
		args = append(args, c.Command)
	}
	return args
}

// agentArgs starts the agent itself, with one toolchain, so that it has a proxy.
func (m Matrix) agentArgs(a Agent, t Transport) []string {
	one := m
	one.Columns = m.Columns[:min(1, len(m.Columns))]
	return append(one.flags(a, t), a.Name, "--", "--version")
}

func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// Count returns how many cells work and how many do not.
func Count(cells []Cell) (passed, failed int) {
	for _, c := range cells {
		if c.OK() {
			passed++
		} else {
			failed++
		}
	}
	return passed, failed
}

// Sorted returns the cells in the order of the matrix. It is never nil.
func (m Matrix) Sorted(cells []Cell) []Cell {
	sorted := []Cell{}
	for _, a := range m.Agents {
		for _, t := range m.Transports {
			for _, runs := range m.runs() {
				for _, c := range cells {
					if c.Agent == a.Name && c.Transport == t && c.Runs == runs {
						sorted = append(sorted, c)
					}
				}
			}
		}
	}
	return sorted
}

func (m Matrix) runs() []string {
	runs := []string{Runs}
	for _, c := range m.Columns {
		runs = append(runs, c.Kind)
	}
	return runs
}
