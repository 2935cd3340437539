package sessions

import (
	"context"
	"time"
)

// memoryTimeout bounds the question to the engine, which takes two seconds at the least.
const memoryTimeout = 5 * time.Second

// AddMemory adds to each running container the memory that it uses, less what the kernel
// could take back at once: from the kernel, where containers run on this one, otherwise from the
// engine. What neither tells stays unknown, which is no error.
func (f Finder) AddMemory(ctx context.Context, list []Session) {
	var ask []string
	for i := range list {
		for j := range list[i].Containers {
			c := &list[i].Containers[j]
			if c.detail.PID == 0 {
				continue
			}
			if n, ok := memoryOf(c.detail.PID, c.ID); ok {
				c.Memory = &n
			} else {
				ask = append(ask, c.ID)
			}
		}
	}
	f.askMemory(ctx, list, ask)
	for i := range list {
		list[i].Memory = total(list[i].Containers)
	}
}

func (f Finder) askMemory(ctx context.Context, list []Session, ids []string) {
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, memoryTimeout)
	defer cancel()
	used, err := f.Docker.Memory(ctx, ids)
	if err != nil {
		return // the sessions are there all the same
	}
	for i := range list {
		for j := range list[i].Containers {
			if n, ok := used[list[i].Containers[j].ID]; ok {
				list[i].Containers[j].Memory = &n
			}
		}
	}
}

// total returns the memory of all running containers, nil when that of one is not known.
func total(list []Container) *int64 {
	var sum int64
	known := false
	for _, c := range list {
		switch {
		case c.Memory != nil:
			sum, known = sum+*c.Memory, true
		case c.detail.PID != 0:
			return nil
		}
	}
	if !known {
		return nil
	}
	return &sum
}
