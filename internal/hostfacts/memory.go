package hostfacts

import (
	"os"
	"strconv"
	"strings"
)

// Memory returns what memory this machine has and what of it is available, in bytes, or zeros
// where there is no /proc/meminfo (proc(5)).
func Memory() (total, available int64) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	return parseMeminfo(string(data))
}

func parseMeminfo(text string) (total, available int64) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "MemTotal":
			total = kib << 10
		case "MemAvailable":
			available = kib << 10
		}
	}
	return total, available
}
