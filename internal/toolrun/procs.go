//go:build linux

package toolrun

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// process is a live process of a call.
type process struct{ pid, pgrp int }

// members returns the live processes in the given /proc that belong to a call:
// those whose environment has the marker (an entry NAME=value), and those of
// the given process groups, which may have cleared it. Processes that vanish
// meanwhile, or whose environment is not ours to read, are not of the call.
func members(proc, marker string, groups map[int]bool) ([]process, error) {
	dir, err := os.Open(proc)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := inspect(proc, pid, marker, groups); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

func inspect(proc string, pid int, marker string, groups map[int]bool) (process, bool) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return process{}, false
	}
	state, pgrp, ok := parseStat(stat)
	if !ok || state == 'Z' || state == 'X' {
		return process{}, false
	}
	if groups[pgrp] {
		return process{pid, pgrp}, true
	}
	env, err := os.ReadFile(dir + "/environ")
	return process{pid, pgrp}, err == nil && hasEntry(env, marker)
}

// hasEntry reports whether a /proc/PID/environ has exactly the given entry.
func hasEntry(environ []byte, entry string) bool {
	for e := range bytes.SplitSeq(environ, []byte{0}) {
		if string(e) == entry {
			return true
		}
	}
	return false
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
