//go:build linux

package shim

import (
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// forwarded are the signals that the tool gets instead of the shim.
var forwarded = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// patience is how many INT the shim takes before it leaves without the tool's
// end: somebody is at the keyboard, and the proxy does not get there.
const patience = 3

// relay passes signals on to the tool, once there is one.
type relay struct {
	mu   sync.Mutex
	send chan string             // nil before the tool runs
	got  map[syscall.Signal]bool // signals that came in
	ints int
}

// watchSignals starts to take signals. One that we were told to ignore, as
// under nohup, stays ignored. So does TTIN, or a call in the background of a
// terminal would stop, although the tool may never read.
func watchSignals() *relay {
	r := &relay{got: map[syscall.Signal]bool{}}
	c := make(chan os.Signal, 8)
	for _, s := range forwarded {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	signal.Ignore(syscall.SIGTTIN)
	go func() {
		for s := range c {
			r.take(s.(syscall.Signal))
		}
	}()
	return r
}

// forward makes the relay send signals through w. It has a goroutine for that,
// so that a proxy which does not read cannot keep the last INT from us.
func (r *relay) forward(w *execproto.FrameWriter) {
	send := make(chan string, 2*patience)
	go func() {
		for name := range send {
			_ = w.Write(execproto.FrameSignal, []byte(name))
		}
	}()
	r.mu.Lock()
	r.send = send
	r.mu.Unlock()
}

func (r *relay) take(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[s] = true
	if s == syscall.SIGINT {
		r.ints++
	}
	if r.send == nil || r.ints >= patience {
		dieOf(s) // the connection goes with us, and then the tool
	}
	select {
	case r.send <- execproto.SignalName(s):
	default: // so many are under way that one more says nothing new
	}
}

// finish returns the exit code of a tool that ended with the given one. When a
// signal ended the tool and came to us too, the shim dies of it as well:
// shells stop a script for that, and not for a code.
func (r *relay) finish(code int) int {
	s := syscall.Signal(code - 128)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got[s] {
		dieOf(s)
	}
	return exitCode(code)
}

// dieOf ends this process by the signal's default action. The Go runtime has
// handlers of its own that would print a trace for QUIT, so the kernel's table
// is changed directly; a core file of the shim would be of no use.
func dieOf(s syscall.Signal) {
	var noCore unix.Rlimit
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &noCore)
	var byDefault [4]uint64 // a struct sigaction of zeros is SIG_DFL
	runtime.LockOSThread()
	//nolint:gosec // the kernel only reads it, during the call
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), s)
	os.Exit(128 + int(s)) // not reached, unless the signal is blocked
}
