// Command bench measures what a tool call costs, in one run on one machine, as
// ratios: against the same program inside the sidecar and against a bare docker
// exec. It prints a table in Markdown (make bench writes it to
// docs/benchmarks.md). It judges nothing.
package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed agent.sh
var agentScript string

// pipeBytes is what goes through the pipe in one sample.
const pipeBytes = 2 << 30

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A way is one way to run a tool.
type way struct {
	name  string
	flags []string // of the session
	env   []string
}

var ways = []way{
	{name: "unix socket, native files", flags: []string{"--toolchain-unix-socket"}},
	{name: "TCP"},
	{name: "TCP, AIFO_TOOLCHAIN_EXEC=stream", env: []string{"AIFO_TOOLCHAIN_EXEC=stream"}},
	{name: "TCP, AIFO_TOOLCHAIN_EXEC=docker", env: []string{"AIFO_TOOLCHAIN_EXEC=docker"}},
}

// A part is one thing that is measured in every way.
type part struct {
	name  string // in agent.sh
	title string
	n     int      // samples in a round
	image string   // where it is native
	exec  []string // the command for a bare docker exec; nil: not compared
}

const (
	nodeImage = "aifo-coder-toolchain-node:latest"
	cppImage  = "aifo-cpp-toolchain:latest"
	// rounds is how often all ways are measured in turn: what else the machine
	// does comes and goes within minutes, and so meets them all.
	rounds = 5
)

var parts = []part{
	{
		name: "call", title: "A call of a program that does nothing (ms)", n: 12, image: nodeImage,
		exec: []string{"/workspace/node_modules/.bin/tsc"},
	},
	{
		name: "pipe", title: "2 GiB from a tool through a pipe to wc (ms)", n: 2, image: nodeImage,
		exec: []string{"head", "-c", strconv.Itoa(pipeBytes), "/dev/zero"},
	},
	{name: "compile", title: "A script of 200 compiler calls (ms)", n: 1, image: cppImage},
}

func run() error {
	program, err := filepath.Abs("bin/aifo-coder")
	if err != nil {
		return err
	}
	dir, err := workspace()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := bench{program: program, dir: dir}
	header()
	for _, s := range sections {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], s.name) {
			continue
		}
		if err := s.measure(&b); err != nil {
			return err
		}
	}
	return nil
}

// sections are what is measured, all of it unless some are named as arguments.
var sections = []struct {
	name    string
	measure func(*bench) error
}{
	{"calls", (*bench).calls},
	{"protection", (*bench).protection},
	{"sessions", (*bench).sessions},
	{"forks", (*bench).forks},
	{"ports", (*bench).ports},
}

func (b *bench) calls() error {
	for _, p := range parts {
		if err := b.measure(p); err != nil {
			return err
		}
	}
	return nil
}

type bench struct{ program, dir string }

// workspace makes a directory in which the tool tsc is a static program that
// does nothing, and big writes two gibibytes.
func workspace() (string, error) {
	dir, err := os.MkdirTemp("", "aifo-bench")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "node_modules", ".bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	source := filepath.Join(dir, "true.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
		return "", err
	}
	if out, err := exec.Command("cc", "-O2", "-static", "-o", filepath.Join(bin, "tsc"), source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the program that does nothing: %w: %s", err, out)
	}
	return dir, os.WriteFile(filepath.Join(dir, "bench.sh"), []byte(agentScript), 0o644)
}

func header() {
	fmt.Printf("# Benchmarks\n\nMeasured by `make bench` on %s, %d processors, %s, Docker engine %s.\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), cpu(), engine())
	fmt.Print("Every ratio is of medians taken in this run.\n")
}

func cpu() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func engine() string {
	out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// measure compares one part in each way.
func (b *bench) measure(p part) error {
	var native, dockerExec []float64
	got := make([][]float64, len(ways))
	for range rounds {
		inside, bare, err := b.inSidecar(p)
		if err != nil {
			return err
		}
		native, dockerExec = append(native, inside...), append(dockerExec, bare...)
		for i, w := range ways {
			list, err := b.inAgent(w, p)
			if err != nil {
				return err
			}
			got[i] = append(got[i], list...)
		}
	}
	t := newTable(p.title, native, dockerExec)
	for i, w := range ways {
		t.row(w.name, got[i])
	}
	return nil
}

// inAgent runs a part in an agent's container, where tsc is a shim, and returns
// its samples.
func (b *bench) inAgent(w way, p part) ([]float64, error) {
	if p.name == "pipe" {
		if err := b.tscWrites(); err != nil {
			return nil, err
		}
		defer b.tscIsTrue()
	}
	args := append(append([]string{}, w.flags...), "--toolchain", "node", "--toolchain", "c-cpp", "shell", "--",
		"bash", "-c", p.script("tsc", "tsc"))
	cmd := exec.Command(b.program, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = b.dir, append(os.Environ(), w.env...), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", w.name, p.name, err)
	}
	return samples(out, p.name), nil
}

// script returns the shell script of a part, given how tsc is called and the
// command that writes two gibibytes.
func (p part) script(tsc, big string) string {
	return fmt.Sprintf("TSC=%s CC=gcc; big() { %s; }; . ./bench.sh %s %d", tsc, big, p.name, p.n)
}

// inSidecar runs a part natively in a sidecar's image, and from the host by bare
// docker exec.
func (b *bench) inSidecar(p part) (native, dockerExec []float64, err error) {
	out, err := exec.Command("docker", "run", "--detach", "--init", "--volume", b.dir+":/workspace", "--workdir", "/workspace",
		p.image, "sleep", "3600").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("start a container of %s: %w", p.image, err)
	}
	container := strings.TrimSpace(string(out))
	defer exec.Command("docker", "rm", "--force", container).Run() //nolint:errcheck // nothing is left to do
	script := p.script("./node_modules/.bin/tsc", "head -c "+strconv.Itoa(pipeBytes)+" /dev/zero")
	out, err = exec.Command("docker", "exec", container, "bash", "-c", script).Output()
	if err != nil {
		return nil, nil, fmt.Errorf("natively, %s: %w", p.name, err)
	}
	if p.exec != nil {
		dockerExec, err = bareExec(container, p)
	}
	return samples(out, p.name), dockerExec, err
}

// bareExec times a part's command by docker exec.
func bareExec(container string, p part) ([]float64, error) {
	var list []float64
	for range p.n {
		begin := time.Now()
		if err := toNull(exec.Command("docker", append([]string{"exec", container}, p.exec...)...)); err != nil {
			return nil, fmt.Errorf("docker exec, %s: %w", p.name, err)
		}
		list = append(list, time.Since(begin).Seconds()*1e3)
	}
	return list, nil
}

// toNull runs cmd with its output in a pipe to a reader, as wc would be.
func toNull(cmd *exec.Cmd) error {
	wc := exec.Command("wc", "-c")
	var err error
	if wc.Stdin, err = cmd.StdoutPipe(); err != nil {
		return err
	}
	if err := wc.Start(); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return err
	}
	return wc.Wait()
}

// tscWrites makes the tool write two gibibytes; tscIsTrue makes it do nothing again.
func (b *bench) tscWrites() error {
	if err := os.Rename(b.tsc(), b.tsc()+".true"); err != nil {
		return err
	}
	return os.WriteFile(b.tsc(), []byte("#!/bin/sh\nexec head -c "+strconv.Itoa(pipeBytes)+" /dev/zero\n"), 0o755)
}

func (b *bench) tscIsTrue() { _ = os.Rename(b.tsc()+".true", b.tsc()) }

func (b *bench) tsc() string { return filepath.Join(b.dir, "node_modules", ".bin", "tsc") }

// samples reads the lines that sample printed, in milliseconds.
func samples(out []byte, name string) []float64 {
	var list []float64
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) == 3 && f[0] == name {
			us, err := strconv.ParseFloat(f[1], 64)
			if err == nil {
				list = append(list, us/1e3)
			}
		}
	}
	return list
}

// table prints one comparison.
type table struct{ native, dockerExec []float64 }

func newTable(title string, native, dockerExec []float64) table {
	t := table{native, dockerExec}
	t.head(title, "native")
	t.row("native", native)
	if dockerExec != nil {
		t.row("bare docker exec", dockerExec)
	}
	return t
}

func (t table) head(title, against string) {
	fmt.Printf("\n## %s\n\n| way | samples | min | median | p95 | to %s | docker exec is |\n|---|---|---|---|---|---|---|\n", title, against)
}

func (t table) row(name string, v []float64) {
	if len(v) == 0 {
		return
	}
	slices.Sort(v)
	against := "–"
	if t.dockerExec != nil {
		against = fmt.Sprintf("%.1f ×", median(t.dockerExec)/median(v))
	}
	fmt.Printf("| %s | %d | %.2f | %.2f | %.2f | %.2f × | %s |\n",
		name, len(v), v[0], median(v), v[len(v)*95/100], median(v)/median(t.native), against)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
