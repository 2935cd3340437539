//go:build linux

package toolrun

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var errTooLong error = unix.E2BIG

// fakeProc writes a /proc of processes, given as environ and stat.
func fakeProc(t *testing.T, procs map[string][2]string) string {
	t.Helper()
	root := t.TempDir()
	for pid, files := range procs {
		dir := filepath.Join(root, pid)
		err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/environ", []byte(files[0]), 0o644), os.WriteFile(dir+"/stat", []byte(files[1]), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const marker = "AIFO_EXEC_ID=a1"

var procs = map[string][2]string{
	"10":   {"A=b\x00" + marker + "\x00C=d\x00", "10 (x) S 1 10 10 0"},
	"11":   {marker, "11 (a) b) R 10 10 10 0"},
	"12":   {marker + "\x00", "12 (x) Z 10 12 10 0"},                // a zombie
	"13":   {marker + "2\x00", "13 (x) S 1 13 13 0"},                // another call
	"14":   {"X" + marker + "\x00", "14 (x) S 1 14 14 0"},           // another variable
	"15":   {"A=1\n" + marker + "\x00", "15 (x) S 1 15 15 0"},       // inside a value
	"16":   {marker + "\x00", "16 (x) T 1 16 16 0"},                 // stopped
	"17":   {"", "17 (x) S 10 10 10 0"},                             // in the group, without the marker
	"18":   {marker + "\x00", "garbage"},                            // vanished while read
	"self": {marker + "\x00", "99 (x) S 1 99 99 0"},                 // not a pid
	"19":   {"B=" + marker + "\x00A=\x00\x00", "19 (x) S 1 19 9 0"}, // inside a value
}

func pids(ps []process) (out []int) {
	for _, p := range ps {
		out = append(out, p.pid)
	}
	slices.Sort(out)
	return out
}

func TestMembers(t *testing.T) {
	root := fakeProc(t, procs)
	got, err := members(root, marker, nil)
	if err != nil || !slices.Equal(pids(got), []int{10, 11, 16}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = members(root, marker, map[int]bool{10: true, 12: true})
	if err != nil || !slices.Equal(pids(got), []int{10, 11, 16, 17}) {
		t.Errorf("with groups: %v, %v", got, err)
	}
}

func TestTargets(t *testing.T) {
	self := process{pid: 50, pgrp: 40}
	for name, tt := range map[string]struct {
		procs []process
		want  []int
	}{
		"none":             {nil, nil},
		"one group":        {[]process{{10, 10}, {11, 10}}, []int{-10}},
		"two groups":       {[]process{{10, 10}, {12, 12}, {13, 12}}, []int{-10, -12}},
		"outside's group":  {[]process{{10, 0}, {11, 0}}, []int{10, 11}},
		"the first's":      {[]process{{10, 1}, {1, 1}}, []int{10}},
		"our group":        {[]process{{41, 40}, {50, 40}}, []int{41}},
		"ourselves, alone": {[]process{{50, 50}}, nil},
	} {
		if got := targets(tt.procs, self); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSend: a group that vanishes is nothing, one that refuses is an error.
func TestSend(t *testing.T) {
	for name, tt := range map[string]struct {
		result error
		n      int
		failed bool
	}{"sent": {nil, 2, false}, "vanished": {syscall.ESRCH, 0, false}, "refused": {syscall.EPERM, 0, true}} {
		var sent []int
		c := call{proc: fakeProc(t, procs), marker: marker, groups: map[int]bool{}, kill: func(target int, sig syscall.Signal) error {
			sent = append(sent, target)
			return tt.result
		}}
		n, err := c.send(syscall.SIGTERM)
		slices.Sort(sent)
		if n != tt.n || (err != nil) != tt.failed || !reflect.DeepEqual(sent, []int{-16, -10}) {
			t.Errorf("%s: %d, %v, sent to %v", name, n, err, sent)
		}
	}
}
