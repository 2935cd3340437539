//go:build linux

package toolrun

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// Exit codes of "signal" and "end".
const (
	ExitNoProcess = 3 // the call has no process here: not yet, or no longer
	ExitFailed    = 1 // some could not be signalled, or did not go
)

const (
	defaultGrace = 2 * time.Second
	killLimit    = 10 * time.Second // a killed process goes as soon as the kernel lets it
	scanEvery    = 10 * time.Millisecond
)

// call is one tool call, seen from inside its container.
type call struct {
	proc   string // "/proc"
	marker string
	self   process
	kill   func(target int, sig syscall.Signal) error
	groups map[int]bool // the process groups seen so far
	table  *Table       // shared with other calls; nil: look into proc
}

func newCall(id string) call {
	return call{
		proc:   "/proc",
		marker: execproto.EnvExecID + "=" + id,
		self:   process{pid: os.Getpid(), pgrp: syscall.Getpgrp()},
		kill:   syscall.Kill,
		groups: map[int]bool{},
	}
}

// Signal is the subcommand "signal --id ID --signal NAME": each process group
// of the call gets the signal once.
func Signal(args []string) int {
	flags := newFlags("signal")
	id := flags.String("id", "", "")
	name := flags.String("signal", "", "")
	err := flags.Parse(args)
	sig, known := execproto.ParseSignal(*name)
	if err != nil || !execproto.ValidExecID(*id) || !known || flags.NArg() > 0 {
		return usage("signal --id ID --signal HUP|INT|QUIT|KILL|TERM", err)
	}
	return result(newCall(*id).send(sig))
}

// End is the subcommand "end --id ID [--grace DURATION]": INT, TERM and KILL
// to the processes of the call, each after the grace time, until none is left.
func End(args []string) int {
	flags := newFlags("end")
	id := flags.String("id", "", "")
	grace := flags.Duration("grace", defaultGrace, "")
	err := flags.Parse(args)
	if err != nil || !execproto.ValidExecID(*id) || *grace < 0 || flags.NArg() > 0 {
		return usage("end --id ID [--grace DURATION]", err)
	}
	return result(newCall(*id).end(*grace))
}

func result(found int, err error) int {
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "aifo-shim: %v\n", err)
		return ExitFailed
	case found == 0:
		return ExitNoProcess
	default:
		return 0
	}
}

// send signals the call's process groups and returns how many there were.
func (c call) send(sigs ...syscall.Signal) (int, error) {
	found, err := c.targets()
	if err != nil {
		return 0, err
	}
	var errs []error
	n := 0
	for _, t := range found {
		switch err := c.killAll(t, sigs); {
		case err == nil:
			n++
		case !errors.Is(err, unix.ESRCH): // gone meanwhile, which is fine
			errs = append(errs, fmt.Errorf("signal process %d: %w", t, err))
		}
	}
	return n, errors.Join(errs...)
}

// targets returns what is left of the call, as kill(2) takes it, and remembers
// the groups.
func (c call) targets() ([]int, error) {
	procs, err := c.members()
	if err != nil {
		return nil, err
	}
	found := targets(procs, c.self)
	for _, t := range found {
		if t < 0 {
			c.groups[-t] = true
		}
	}
	return found, nil
}

func (c call) members() ([]process, error) {
	if c.table == nil {
		return members(c.proc, c.marker, c.groups)
	}
	all, err := c.table.look()
	return filter(all, c.marker, c.groups), err
}

func (c call) killAll(target int, sigs []syscall.Signal) error {
	for _, sig := range sigs {
		if err := c.kill(target, sig); err != nil {
			return err
		}
	}
	return nil
}

// end ends the call's processes and returns how many groups it found.
func (c call) end(grace time.Duration) (int, error) {
	found, err := c.send(syscall.SIGINT)
	if found == 0 || err != nil || c.gone(grace) {
		return found, err
	}
	// A stopped process sees TERM only when it is continued.
	if _, err := c.send(syscall.SIGTERM, syscall.SIGCONT); err != nil || c.gone(grace) {
		return found, err
	}
	// Whoever forks faster than we look is looked at again.
	for limit := time.Now().Add(killLimit); time.Now().Before(limit); {
		if n, err := c.send(syscall.SIGKILL); n == 0 || err != nil {
			return found, err
		}
		if c.gone(scanEvery) {
			return found, nil
		}
	}
	return found, errors.New("processes are left that do not end when killed")
}

// gone waits until the call has no live process left, at most for the given
// time, and reports whether that came.
func (c call) gone(limit time.Duration) bool {
	for end := time.Now().Add(limit); ; time.Sleep(scanEvery) {
		if left, err := c.targets(); err == nil && len(left) == 0 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
