package hostfacts

import (
	"os"
	"strconv"

	"github.com/aifo-coder/aifo-coder/internal/proc"
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
// never known to be dead; one whose start is known and differs is another process with the
// same number.
func (o Owner) Dead(self Owner) bool {
	if o.Host != self.Host || o.PID <= 0 {
		return false
	}
	start, alive := processStart(o.PID)
	return !alive || start != "" && o.Start != "" && start != o.Start
}

// UID returns the user that the process o runs as, or -1 where that is not known: it has
// ended, is on another host, or the system does not say.
func (o Owner) UID(self Owner) int {
	if o.PID <= 0 || o.Host != self.Host || o.Dead(self) {
		return -1
	}
	return processUID(o.PID)
}

// Terminate asks the process o to end, if it lives on this host. On Windows there is no
// asking: it is killed.
func (o Owner) Terminate(self Owner) error { return o.signal(self, proc.Other.Terminate) }

// Kill ends the process o, if it lives on this host.
func (o Owner) Kill(self Owner) error { return o.signal(self, proc.Other.Kill) }

func (o Owner) signal(self Owner, send func(proc.Other) error) error {
	if o.Host != self.Host || o.PID <= 0 {
		return nil
	}
	p, err := proc.Find(o.PID)
	if err != nil {
		return nil // it has ended: Windows finds only those that live
	}
	defer p.Release()
	if o.Dead(self) { // found first, so that what is signalled is what was checked
		return nil
	}
	return send(p)
}

// ParseOwner is the inverse of an owner's labels; it returns false for numbers
// that are not ones.
func ParseOwner(host, pid, start string) (Owner, bool) {
	n, err := strconv.Atoi(pid)
	return Owner{Host: host, PID: n, Start: start}, err == nil && host != ""
}
