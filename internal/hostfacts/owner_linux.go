package hostfacts

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// processStart returns a mark of the process's start, from its start time in
// clock ticks since boot (proc_pid_stat(5), field 22) and the boot's id, and
// whether the process exists. A zombie has ended.
func processStart(pid int) (string, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
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
