// Command matrix runs agents × transports × toolchains and prints what was really
// run and how it ended: in each agent's container a tool of each toolchain, and
// the agent itself. An agent whose image is not on this machine is named with
// what builds it. It exits with 1 when anything failed (make test-matrix).
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/aifo-coder/aifo-coder/internal/agent"
)

// probes has a command for each toolchain.
var probes = []struct{ kind, command string }{
	{"rust", "cargo --version"},
	{"node", "npm --version"},
	{"python", "python -m pip --version"},
	{"c-cpp", "cmake --version"},
	{"go", "go version"},
}

var transports = []struct {
	name  string
	flags []string
}{
	{"tcp", nil},
	{"unix", []string{"--toolchain-unix-socket"}},
}

// cell is one result.
type cell struct {
	Agent     string `json:"agent"`
	Transport string `json:"transport"`
	Runs      string `json:"runs"` // a toolchain, or "agent"
	Command   string `json:"command"`
	Code      int    `json:"code"`
	Output    string `json:"output"` // its first line
}

// absence is an agent that was not run.
type absence struct {
	Agent  string `json:"agent"`
	Reason string `json:"reason"`
}

type matrix struct {
	Cells  []cell    `json:"cells"`
	NotRun []absence `json:"not_run"`
}

func main() {
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ok, err := run(os.Stdout, *asJSON)
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(w io.Writer, asJSON bool) (ok bool, err error) {
	program, err := filepath.Abs("bin/aifo-coder")
	if err != nil {
		return false, err
	}
	present, absent, err := agents(program)
	if err != nil {
		return false, err
	}
	m := matrix{Cells: runAll(program, present), NotRun: absent}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return m.ok(), e.Encode(m)
	}
	return m.ok(), m.print(w)
}

// image is a row of `aifo-coder images --json`.
type image struct {
	Type, Name, Image string
	Present           bool
}

// agents returns the images of agents that are present, and why others are not.
func agents(program string) (present []image, absent []absence, err error) {
	out, err := exec.Command(program, "images", "--json").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("list the images: %w", stderr(err))
	}
	var rows []image
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, nil, fmt.Errorf("list the images: %w", err)
	}
	for _, r := range rows {
		switch {
		case r.Type != "agent":
		case r.Present:
			present = append(present, r)
		default:
			absent = append(absent, absence{r.Name, reason(r)})
		}
	}
	return present, absent, nil
}

func reason(i image) string {
	a, _ := agent.Lookup(i.Name)
	hint := "it is not built here"
	if target := a.MakeTarget(strings.Contains(i.Image, "-slim")); target != "" {
		hint = "make " + target
	}
	return fmt.Sprintf("%s is not on this machine: %s", i.Image, hint)
}

// runAll runs one agent after the other, and the transports side by side.
func runAll(program string, agents []image) []cell {
	var all []cell
	for _, a := range agents {
		found := make([][]cell, len(transports))
		var wg sync.WaitGroup
		for i, t := range transports {
			wg.Go(func() { found[i] = session{program, a, t.name, t.flags}.run() })
		}
		wg.Wait()
		for _, cells := range found {
			all = append(all, cells...)
		}
	}
	return all
}

// session is an agent and a transport.
type session struct {
	program   string
	image     image
	transport string
	flags     []string
}

// script prints the exit code of each command and the first line of what it
// printed, on standard error if it failed.
const script = `for c; do
	out=$(sh -c "$c" 2>/tmp/err); code=$?
	test $code = 0 || out=$(cat /tmp/err)
	printf '%s\t%s\n' "$code" "$(printf %s "$out" | head -n 1)"
done`

// run runs a tool of each toolchain in one container of the agent's image, and
// the agent in another.
func (s session) run() []cell {
	args := []string{"--image", s.image.Image}
	for _, p := range probes {
		args = append(args, "--toolchain", p.kind)
	}
	args = append(args, "shell", "--", "sh", "-c", script, "matrix")
	for _, p := range probes {
		args = append(args, p.command)
	}
	out, err := s.aifoCoder(args...)
	cells := s.tools(strings.Split(out, "\n"), err)
	return append([]cell{s.agent()}, cells...)
}

// tools reads what the script printed. A session that failed has printed less.
func (s session) tools(lines []string, err error) []cell {
	var cells []cell
	for i, p := range probes {
		c := cell{Agent: s.image.Name, Transport: s.transport, Runs: p.kind, Command: p.command, Code: -1}
		if i < len(lines) {
			code, first, _ := strings.Cut(lines[i], "\t")
			if _, e := fmt.Sscan(code, &c.Code); e == nil {
				c.Output = first
			}
		}
		if c.Code == -1 {
			c.Output = fmt.Sprint(err)
		}
		cells = append(cells, c)
	}
	return cells
}

// agent starts the agent itself.
func (s session) agent() cell {
	c := cell{Agent: s.image.Name, Transport: s.transport, Runs: "agent", Command: s.image.Name + " --version"}
	out, err := s.aifoCoder("--image", s.image.Image, "--toolchain", "python", s.image.Name, "--", "--version")
	c.Output, _, _ = strings.Cut(out, "\n")
	if err != nil {
		c.Code, c.Output = -1, err.Error()
	}
	return c
}

// aifoCoder runs the program in a workspace of its own.
func (s session) aifoCoder(args ...string) (stdout string, err error) {
	dir, err := os.MkdirTemp("", "aifo-matrix")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(s.program, append(s.flags, args...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	return string(out), stderr(err)
}

// stderr adds what a command printed on standard error.
func stderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}

func (m matrix) ok() bool {
	for _, c := range m.Cells {
		if c.Code != 0 {
			return false
		}
	}
	return len(m.Cells) > 0
}

// print prints a row for each agent and transport, then failures and absences.
func (m matrix) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(t, "AGENT\tTRANSPORT\tSTARTS")
	for _, p := range probes {
		fmt.Fprint(t, "\t", strings.ToUpper(p.kind))
	}
	for i, c := range m.Cells {
		if i%(1+len(probes)) == 0 {
			fmt.Fprintf(t, "\n%s\t%s", c.Agent, c.Transport)
		}
		fmt.Fprint(t, "\t", c.short())
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	m.details(w)
	return nil
}

func (m matrix) details(w io.Writer) {
	failed := 0
	for _, c := range m.Cells {
		if c.Code != 0 {
			failed++
			fmt.Fprintf(w, "failed: %s, %s: %s: %d: %s\n", c.Agent, c.Transport, c.Command, c.Code, c.Output)
		}
	}
	for _, a := range m.NotRun {
		fmt.Fprintf(w, "not run: %s: %s\n", a.Agent, a.Reason)
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", len(m.Cells)-failed, failed)
}

// short is the version that a command printed, or that it failed.
func (c cell) short() string {
	if c.Code != 0 {
		return fmt.Sprintf("FAILED (%d)", c.Code)
	}
	for _, word := range strings.Fields(c.Output) {
		if strings.ContainsAny(word, "0123456789") {
			return strings.Trim(word, "(),")
		}
	}
	return "ok"
}
