package sessions

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroupRoot is where the kernel shows its control groups (cgroups(7)).
const cgroupRoot = "/sys/fs/cgroup"

// memoryOf returns the memory in bytes that the control group of a container's first process
// uses. The engine may be on another machine, where the number is another process's: the
// group must bear the container's id.
func memoryOf(pid int, id string) (int64, bool) {
	groups, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return 0, false
	}
	return groupMemory(cgroupRoot, string(groups), id)
}

// groupMemory is memoryOf, given the process's groups as /proc shows them.
func groupMemory(root, groups, id string) (int64, bool) {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 || id == "" || !strings.Contains(fields[2], id) {
			continue
		}
		switch controllers := fields[1]; controllers {
		case "memory":
			return used(filepath.Join(root, "memory", fields[2]), "memory.usage_in_bytes", "total_inactive_file")
		case "":
			if n, ok := used(filepath.Join(root, fields[2]), "memory.current", "inactive_file"); ok {
				return n, true // otherwise the group is one of version 2 beside those of version 1
			}
		}
	}
	return 0, false
}

// used returns what a group uses without the files that nobody has touched for a while,
// as docker stats counts.
func used(dir, usage, inactive string) (int64, bool) {
	text, err := os.ReadFile(filepath.Join(dir, usage))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, false
	}
	stat, _ := os.ReadFile(filepath.Join(dir, "memory.stat")) // without it the whole counts
	for line := range strings.Lines(string(stat)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if files, err := strconv.ParseInt(value, 10, 64); name == inactive && err == nil && files < n {
			n -= files
		}
	}
	return n, true
}
