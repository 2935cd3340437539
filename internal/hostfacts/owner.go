package hostfacts

import (
	"os"
	"strconv"
)

// Self returns this process as an owner.
func Self() Owner {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	pid := os.Getpid()
	start, _ := processStart(pid)
	return Owner{Host: host, PID: pid, Start: start}
}

// Dead reports whether o is known to have ended. A process of another host is
// never known to be dead; one whose start differs is another process with the
// same number.
func (o Owner) Dead(self Owner) bool {
	if o.Host != self.Host || o.PID <= 0 {
		return false
	}
	start, alive := processStart(o.PID)
	return !alive || start != "" && start != o.Start
}

// ParseOwner is the inverse of an owner's labels; it returns false for numbers
// that are not ones.
func ParseOwner(host, pid, start string) (Owner, bool) {
	n, err := strconv.Atoi(pid)
	return Owner{Host: host, PID: n, Start: start}, err == nil && host != ""
}
