package cli

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// The least that a container gets by with: the boot program, docker's init and a shell.
const (
	leastMemory = 64 << 20 // bytes
	leastPids   = 64
)

// limits returns what --memory and --pids-limit ask for.
func (f *flags) limits() (plan.Limits, error) {
	l := plan.Limits{Pids: f.pids}
	if f.pids != 0 && f.pids < leastPids {
		return l, fmt.Errorf("--pids-limit %d: takes a number of %d or more", f.pids, leastPids)
	}
	if f.memory == "" {
		return l, nil
	}
	var err error
	l.Memory, err = units.RAMInBytes(f.memory)
	if err != nil || l.Memory < leastMemory {
		return l, fmt.Errorf("--memory %q: takes a size such as 2g or 512m, of 64m or more", f.memory)
	}
	return l, nil
}
