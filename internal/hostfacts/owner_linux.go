package hostfacts

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// processStart returns a mark of the process's start, from its start time in
// clock ticks since boot (proc_pid_stat(5), field 22) and the boot's id, and
// whether the process exists. The mark is empty when it cannot be read. A zombie
// has ended.
func processStart(pid int) (string, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		// proc(5) mounted with hidepid shows our own processes only.
		return "", errors.Is(syscall.Kill(pid, 0), syscall.EPERM)
	}
	// The name, field 2, may hold anything; the fields after it follow the last ")".
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, startTime = 0, 19
	if len(fields) <= startTime || fields[state] == "Z" || fields[state] == "X" {
		return "", false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fields[startTime], true
	}
	return strings.TrimSpace(string(boot)) + "." + fields[startTime], true
}

// processUID returns the effective user of a process, or -1.
func processUID(pid int) int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		const effective = 2 // after the name and the real one
		if len(fields) > effective && fields[0] == "Uid:" {
			if uid, err := strconv.Atoi(fields[effective]); err == nil {
				return uid
			}
		}
	}
	return -1
}
