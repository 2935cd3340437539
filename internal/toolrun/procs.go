//go:build linux

package toolrun

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// process is a live process of a call.
type process struct{ pid, pgrp int }

// entry is a live process and the calls that its environment names.
type entry struct {
	process
	markers []string
}

// of reports whether the process belongs to a call: its environment has the
// marker (an entry NAME=value), or it is in one of the given process groups and
// may have cleared it.
func (e entry) of(marker string, groups map[int]bool) bool {
	return groups[e.pgrp] || slices.Contains(e.markers, marker)
}

// members returns the live processes in the given /proc that belong to a call.
func members(proc, marker string, groups map[int]bool) ([]process, error) {
	all, err := scan(proc)
	return filter(all, marker, groups), err
}

func filter(all []entry, marker string, groups map[int]bool) []process {
	var found []process
	for _, e := range all {
		if e.of(marker, groups) {
			found = append(found, e.process)
		}
	}
	return found
}

// scan returns the live processes in the given /proc. Those that vanish
// meanwhile are not among them; those whose environment is not ours to read have
// no markers.
func scan(proc string) ([]entry, error) {
	dir, err := os.Open(proc)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []entry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if e, ok := inspect(proc, pid); ok {
			found = append(found, e)
		}
	}
	return found, nil
}

func inspect(proc string, pid int) (entry, bool) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return entry{}, false
	}
	state, pgrp, ok := parseStat(stat)
	if !ok || state == 'Z' || state == 'X' {
		return entry{}, false
	}
	env, _ := os.ReadFile(dir + "/environ")
	return entry{process{pid, pgrp}, markers(env)}, true
}

// markers returns the entries of a /proc/PID/environ that name a call.
func markers(environ []byte) []string {
	var found []string
	for e := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.HasPrefix(e, []byte(execproto.EnvExecID+"=")) {
			found = append(found, string(e))
		}
	}
	return found
}

// Table is what many calls that end at once have in common: the processes of
// the container, which are looked at once for all who ask at the same time.
type Table struct {
	mu    sync.Mutex
	begun time.Time // when the last look began
	all   []entry
	err   error
}

// look returns processes as they were some time after the call of look.
func (t *Table) look() ([]entry, error) {
	asked := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun.After(asked) {
		t.begun = time.Now()
		t.all, t.err = scan("/proc")
	}
	return t.all, t.err
}

// End sends INT, TERM and KILL to the processes of the call with the given id
// and to the given process group, each after the grace time, until none is left.
func (t *Table) End(id string, group int, grace time.Duration) error {
	c := newCall(id)
	c.table = t
	c.groups[group] = true
	_, err := c.end(grace)
	return err
}

// parseStat returns the state and the process group in a /proc/PID/stat. The
// name in parentheses may hold anything, so fields count from the last one.
func parseStat(stat []byte) (state byte, pgrp int, ok bool) {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 3 || len(f[0]) != 1 {
		return 0, 0, false
	}
	pgrp, err := strconv.Atoi(string(f[2]))
	return f[0][0], pgrp, err == nil
}

// targets returns what to give to kill(2) for the processes: each group once,
// negated. Group 1 is the container's first process, and 0 one led from
// outside the container; kill would take -1 for everybody and 0 for ourselves,
// so members of those, and of our own group, are signalled one by one.
func targets(procs []process, self process) []int {
	var out []int
	seen := map[int]bool{}
	for _, p := range procs {
		t := -p.pgrp
		if p.pgrp <= 1 || p.pgrp == self.pgrp {
			t = p.pid
		}
		if p.pid == self.pid || p.pid <= 1 || seen[t] {
			continue
		}
		seen[t] = true
		out = append(out, t)
	}
	return out
}
