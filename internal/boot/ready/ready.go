//go:build linux

// Package ready is the sign by which a container says that its boot is over:
// a marker file that boot writes, and that the other subcommands look for. It
// guarantees that a marker left by an earlier run of the same container does
// not count; it does not protect the marker from programs in the container,
// for which a wrong sign would gain nothing.
package ready

import (
	"bytes"
	"errors"
	"os"
	"time"
)

// places are where the marker may be: the root directory, which every image
// has, then those that are writable when the root file system is read-only.
var places = []string{"/.aifo-ready", "/run/.aifo-ready", "/dev/shm/.aifo-ready"}

// pollEvery is short because a tool call may be waiting for the boot.
const pollEvery = 5 * time.Millisecond

// Limit is how long a boot may take before whoever waits for it gives up. It
// only changes owners and writes small files, but the machine may be busy.
const Limit = 60 * time.Second

// Mark records that the boot of this container is over.
func Mark() error { return mark(places, bootID()) }

// Check reports whether the boot of this container is over.
func Check() bool { return check(places, bootID()) }

// Wait waits for the end of the boot, at most for the given time, and reports
// whether it came.
func Wait(limit time.Duration) bool {
	for end := time.Now().Add(limit); !Check(); time.Sleep(pollEvery) {
		if !time.Now().Before(end) {
			return false
		}
	}
	return true
}

func mark(places []string, id []byte) error {
	var errs []error
	for _, p := range places {
		err := os.WriteFile(p, id, 0o644)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func check(places []string, id []byte) bool {
	for _, p := range places {
		if b, err := os.ReadFile(p); err == nil && bytes.Equal(b, id) {
			return true
		}
	}
	return false
}

// bootID tells one start of a container from the next: the time at which its
// first process was started, in clock ticks since the host's boot. It is empty
// where /proc hides that process, and then any marker counts.
func bootID() []byte {
	stat, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		return nil
	}
	return startTime(stat)
}

// startTime returns field 22 of a /proc/PID/stat. The name in parentheses may
// hold spaces and parentheses, so fields count from the last one.
func startTime(stat []byte) []byte {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return nil
	}
	return fields[19]
}
