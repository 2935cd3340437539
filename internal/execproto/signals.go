package execproto

import "syscall"

// signals are those that a client may send, by the name used on the wire
// (without "SIG"). The numbers are those of Linux, where tools run: the host's
// may differ, and Windows does not have most of them.
var signals = map[string]syscall.Signal{
	"HUP":   1,
	"INT":   2,
	"QUIT":  3,
	"KILL":  9,
	"USR1":  10,
	"USR2":  12,
	"TERM":  15,
	"CONT":  18,
	"TSTP":  20,
	"WINCH": 28,
}

// ParseSignal returns the signal with the given wire name and whether a client
// may send it.
func ParseSignal(name string) (syscall.Signal, bool) {
	s, ok := signals[name]
	return s, ok
}

// SignalName returns the wire name of s, or "" when a client may not send it.
func SignalName(s syscall.Signal) string {
	for name, sig := range signals {
		if sig == s {
			return name
		}
	}
	return ""
}

// Ends reports whether the signal of that name ends a program that has made no
// arrangements for it.
func Ends(name string) bool {
	switch name {
	case "TSTP", "CONT", "WINCH":
		return false
	}
	return true
}
