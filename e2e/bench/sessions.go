package main

import (
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// A starter is a way to run the agent's image.
type starter struct {
	name    string
	command func(script string) *exec.Cmd
	script  string // prints the time when it begins and when it ends
	starts  []float64
	ends    []float64
}

const (
	twoTimes = "date +%s.%N; date +%s.%N"
	// The sidecars start when the agent has; a session that has used them ends with all.
	timesAndTools = "date +%s.%N; for t in cargo npm python gcc go; do $t --version; done >/dev/null 2>&1; date +%s.%N"
	sessionRuns   = 50
	benchNetwork  = "aifo-bench"
)

// sessions compares the start and the end of a session with those of a bare
// docker run of the same image, in turns.
func (b *bench) sessions() error {
	if out, err := exec.Command("docker", "network", "create", benchNetwork).CombinedOutput(); err != nil {
		return fmt.Errorf("create a network: %w: %s", err, out)
	}
	defer exec.Command("docker", "network", "rm", benchNetwork).Run() //nolint:errcheck // nothing is left to do
	runs := []*starter{
		{name: "bare docker run", command: bareRun(), script: twoTimes},
		{name: "the same on a network that exists", command: bareRun("--network", benchNetwork), script: twoTimes},
		{name: "session with five toolchains", command: b.session(), script: timesAndTools},
		{name: "the same with an allowlist", command: b.session("--network-policy", "allowlist"), script: timesAndTools},
	}
	for range sessionRuns {
		for _, r := range runs {
			if err := r.once(); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	compare("From the command to the agent's first instruction (ms)", runs, func(r *starter) []float64 { return r.starts })
	compare("From the agent's last instruction to the end of the command (ms)", runs, func(r *starter) []float64 { return r.ends })
	return nil
}

// compare prints one figure of all runs against the first.
func compare(title string, runs []*starter, figure func(*starter) []float64) {
	t := table{native: figure(runs[0])}
	t.head(title, "bare run")
	for _, r := range runs {
		t.row(r.name, figure(r))
	}
}

func bareRun(flags ...string) func(script string) *exec.Cmd {
	args := append(append([]string{"run", "--rm"}, flags...), "aifo-coder-shell:latest", "sh", "-c")
	return func(script string) *exec.Cmd { return exec.Command("docker", append(slices.Clip(args), script)...) }
}

func (b *bench) session(flags ...string) func(script string) *exec.Cmd {
	args := append([]string{
		"--toolchain", "rust", "--toolchain", "node", "--toolchain", "python", "--toolchain", "c-cpp", "--toolchain", "go",
	}, append(flags, "shell", "--", "sh", "-c")...)
	return func(script string) *exec.Cmd {
		cmd := exec.Command(b.program, append(slices.Clip(args), script)...)
		cmd.Dir = b.dir
		return cmd
	}
}

// once runs it and notes how long its start and its end took.
func (r *starter) once() error {
	begin := time.Now()
	out, err := r.command(r.script).Output()
	done := time.Now()
	if err != nil {
		return err
	}
	var first, last float64
	if _, err := fmt.Sscan(string(out), &first, &last); err != nil {
		return fmt.Errorf("read the times: %w", err)
	}
	r.starts = append(r.starts, first*1e3-float64(begin.UnixMicro())/1e3)
	r.ends = append(r.ends, float64(done.UnixMicro())/1e3-last*1e3)
	return nil
}
