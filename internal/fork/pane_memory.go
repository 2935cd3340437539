package fork

import "github.com/aifo-coder/aifo-coder/internal/plan"

const (
	mib = int64(1) << 20
	gib = int64(1) << 30

	// hostPart of the machine's memory, and at least hostMin, stay outside of all panes:
	// for the engine, the desktop, and the cache of files that builds live from.
	hostPart = 5
	hostMin  = gib
	// containerMin is the least that a container gets: below it a linker or a language
	// server is killed before it did anything. With so many panes that this counts, they
	// can together ask for more than there is.
	containerMin = 512 * mib

	// pidsTotal is three quarters of the 32768 processes and threads that a small
	// machine's kernel counts up to (proc(5), pid_max).
	pidsTotal = 24576
	// pidsMin is what a parallel build with a language server needs.
	pidsMin = 512
)

// Limits returns the memory and the number of processes that each container of a
// session may have, so that all of its panes together leave the machine usable. memTotal is
// what the engine's machine has; where it is unknown (0) so is the limit.
func Limits(memTotal int64, panes, containersPerPane int) (memory, pids int64) {
	n := max(int64(panes)*int64(containersPerPane), 1)
	pids = min(max(pidsTotal/n, pidsMin), plan.DefaultPids)
	if memTotal <= 0 {
		return 0, pids
	}
	return max((memTotal-max(memTotal/hostPart, hostMin))/n, containerMin), pids
}

// startNeed is what an agent with its sidecars takes until it is at rest.
const startNeed = gib

// Stagger reports whether memory is too short for starting all panes at once: what is
// available is less than they take, or than an eighth of the machine. Unknown memory (0) is
// not short.
func Stagger(memAvailable, memTotal int64, panes int) bool {
	if memAvailable <= 0 {
		return false
	}
	return memAvailable < int64(panes)*startNeed || memAvailable < memTotal/8
}
