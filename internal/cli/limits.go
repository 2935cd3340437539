package cli

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// The least that a container gets by with: the boot program, docker's init and a shell.
const (
	leastMemory = 64 << 20 // bytes
	leastPids   = 64
	leastCPUs   = 0.01
)

// limitFlags are the flags that bound what containers use of the machine.
type limitFlags struct {
	memory, cpus, gpus, pids []string
}

func (f *limitFlags) register(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.memory, "memory", nil, "let each container, or the agent's or one toolchain's, have so much memory at most, as in 2g or rust=512m: `[KIND=]SIZE`; repeatable")
	fs.StringArrayVar(&f.cpus, "cpus", nil, "let each container, or one, use so many processors at most, as in 1.5: `[KIND=]NUMBER`; repeatable")
	fs.StringArrayVar(&f.gpus, "gpus", nil, "give the containers, or one, graphics processors, as docker run takes them: `[KIND=]all|NUMBER|device=ID`; repeatable")
	fs.StringArrayVar(&f.pids, "pids-limit", nil, fmt.Sprintf("let each container, or one, have so many processes and threads at most: `[KIND=]NUMBER`; repeatable (default %d)", plan.DefaultPids))
}

// limitFlag is one of them: its name, its values and what a value sets.
type limitFlag struct {
	name   string
	values []string
	set    func(l *plan.Limit, v string) error
}

func (f *limitFlags) each() []limitFlag {
	return []limitFlag{
		{"memory", f.memory, setMemory}, {"cpus", f.cpus, setCPUs}, {"gpus", f.gpus, setGPUs}, {"pids-limit", f.pids, setPids},
	}
}

// parse returns what the flags ask for. The last value for a container counts, as
// with docker run.
func (f *limitFlags) parse(kinds toolchain.Set) (plan.Limits, error) {
	limits := plan.Limits{Of: map[string]plan.Limit{}}
	for _, flag := range f.each() {
		for _, v := range flag.values {
			if err := flag.apply(&limits, v, kinds); err != nil {
				return limits, err
			}
		}
	}
	return limits, nil
}

// apply sets what one value says.
func (f limitFlag) apply(limits *plan.Limits, v string, kinds toolchain.Set) error {
	container, value, err := limitOf(v, kinds)
	limit := limits.Each
	if container != "" {
		limit = limits.Of[container]
	}
	if err == nil {
		err = f.set(&limit, value)
	}
	if err != nil {
		return fmt.Errorf("--%s %q: %w", f.name, v, err)
	}
	if container == "" {
		limits.Each = limit
	} else {
		limits.Of[container] = limit
	}
	return nil
}

// checkLimit checks one value of a file.
func checkLimit(name, v string) error {
	for _, flag := range (&limitFlags{}).each() {
		if flag.name == name {
			return flag.apply(&plan.Limits{Of: map[string]plan.Limit{}}, v, toolchain.Set{})
		}
	}
	return nil
}

// limitOf takes KIND= off a value, but not device=, which is a word of --gpus.
func limitOf(v string, kinds toolchain.Set) (container, value string, err error) {
	if deviceRE.MatchString(v) {
		return "", v, nil
	}
	return ofContainer(v, kinds)
}

func setMemory(l *plan.Limit, v string) error {
	size, err := units.RAMInBytes(v)
	if err != nil || size < leastMemory {
		return fmt.Errorf("takes a size such as 2g or 512m, of 64m or more")
	}
	l.Memory = size
	return nil
}

func setPids(l *plan.Limit, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < leastPids {
		return fmt.Errorf("takes a number of %d or more", leastPids)
	}
	l.Pids = n
	return nil
}

var cpusRE = regexp.MustCompile(`^[0-9]+(\.[0-9]{1,9})?$`)

func setCPUs(l *plan.Limit, v string) error {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || n < leastCPUs || !cpusRE.MatchString(v) {
		return fmt.Errorf("takes a number of processors such as 2 or 0.5, of %v or more", leastCPUs)
	}
	l.CPUs = v
	return nil
}

var (
	deviceRE = regexp.MustCompile(`^device=[A-Za-z0-9-]+$`)
	gpusRE   = regexp.MustCompile(`^(all|[1-9][0-9]*)$`)
)

func setGPUs(l *plan.Limit, v string) error {
	if !gpusRE.MatchString(v) && !deviceRE.MatchString(v) {
		return fmt.Errorf("takes all, a number, or device=ID")
	}
	l.GPUs = v
	return nil
}
