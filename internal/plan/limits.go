package plan

import "cmp"

// DefaultPids stops a fork bomb before the host feels it and leaves room for
// the widest parallel build.
const DefaultPids = 8192

// Limit bounds one container. A zero field sets no bound of its own.
type Limit struct {
	Memory int64  // bytes
	Pids   int    // processes and threads
	CPUs   string // processors, as docker takes it: 1.5
	GPUs   string // as docker takes it: all, 2, device=0
}

// Limits bound the containers of a session.
type Limits struct {
	Each Limit            // of every container
	Of   map[string]Limit // of one, by KindAgent or the name of its kind; its fields come first
}

// of returns the limits of a container.
func (l Limits) of(container string) Limit {
	own := l.Of[container]
	return Limit{
		Memory: cmp.Or(own.Memory, l.Each.Memory),
		Pids:   cmp.Or(own.Pids, l.Each.Pids, DefaultPids),
		CPUs:   cmp.Or(own.CPUs, l.Each.CPUs),
		GPUs:   cmp.Or(own.GPUs, l.Each.GPUs),
	}
}
