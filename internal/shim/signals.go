//go:build linux

package shim

import (
	"bytes"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// forwarded are the signals that the tool gets instead of the shim.
var forwarded = []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// patience is how many INT the shim takes before it leaves without the tool's
// end: somebody is at the keyboard, and the proxy does not get there.
const patience = 3

// stopLimit is how long a proxy that does not read can keep us from stopping.
const stopLimit = time.Second

// relay passes signals on to the tool, once there is one.
type relay struct {
	mu      sync.Mutex
	term    *terminal                            // in raw mode while the tool runs; may be nil
	send    chan message                         // nil before the tool runs
	resized func() (execproto.FrameType, []byte) // the frame for a new size; no type: none
	got     map[syscall.Signal]bool              // signals that came in, or were typed
	ints    int
}

// message is a frame to send. sent, if not nil, is closed when it was.
type message struct {
	t       execproto.FrameType
	payload []byte
	sent    chan struct{}
}

// watchSignals starts to take signals. One that we were told to ignore, as
// under nohup, stays ignored.
func watchSignals(s streams, term *terminal) *relay {
	r := &relay{got: map[syscall.Signal]bool{}}
	c := make(chan os.Signal, 16)
	for _, s := range append(forwarded, syscall.SIGTSTP, syscall.SIGCONT) {
		if !ignored(s) {
			signal.Notify(c, s)
		}
	}
	if s.tty != [3]bool{} {
		signal.Notify(c, syscall.SIGWINCH)
	}
	go term.guard(func() {
		for s := range c {
			r.take(s.(syscall.Signal))
		}
	})
	return r
}

// forward makes the relay send through w. It has a goroutine for that, so that a
// proxy which does not read cannot keep the last INT from us. From now on the
// relay answers for the modes of term. r.mu is held. When the tool does not get its keys TTIN is ignored, or a call
// in the background of a terminal would stop, although the tool may never read.
func (r *relay) forward(w *execproto.FrameWriter, term *terminal, resized func() (execproto.FrameType, []byte)) {
	send := make(chan message, 16)
	go func() {
		for m := range send {
			_ = w.Write(m.t, m.payload)
			if m.sent != nil {
				close(m.sent)
			}
		}
	}()
	r.send, r.term, r.resized = send, term, resized
	term.makeRaw()
	if !term.keys() {
		signal.Ignore(syscall.SIGTTIN)
	}
}

func (r *relay) take(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch s {
	case syscall.SIGTSTP:
		r.suspend()
	case syscall.SIGCONT:
		r.resume()
	case syscall.SIGWINCH:
		r.resize()
	default:
		r.pass(s)
	}
}

// pass passes on a signal that asks the tool to end, or would.
func (r *relay) pass(s syscall.Signal) {
	r.got[s] = true
	if s == syscall.SIGINT {
		r.ints++
	}
	if r.send == nil || r.ints >= patience {
		r.die(s) // the connection goes with us, and then the tool
	}
	r.post(message{t: execproto.FrameSignal, payload: []byte(execproto.SignalName(s))})
}

// typed notes the keys of which the tool's terminal makes signals. A tool that
// ends of one has us end of it too.
func (r *relay) typed(keys []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, s := range map[byte]syscall.Signal{0x03: syscall.SIGINT, 0x1c: syscall.SIGQUIT} {
		if bytes.IndexByte(keys, key) >= 0 {
			r.got[s] = true
		}
	}
}

// suspend stops the tool and then us.
func (r *relay) suspend() {
	if r.send != nil {
		m := message{execproto.FrameSignal, []byte("TSTP"), make(chan struct{})}
		if r.post(m) {
			select {
			case <-m.sent:
			case <-time.After(stopLimit):
			}
		}
	}
	r.term.restore()
	stop()
	r.resume()
}

// resume is for when we go on. Nobody was told of a new size meanwhile.
func (r *relay) resume() {
	if r.send == nil {
		return
	}
	r.term.makeRaw()
	r.post(message{t: execproto.FrameSignal, payload: []byte("CONT")})
	if r.term != nil {
		r.resize()
	}
}

func (r *relay) resize() {
	if r.send == nil {
		return
	}
	if t, payload := r.resized(); t != 0 {
		r.post(message{t: t, payload: payload})
	}
}

// post sends m and reports so. When many are under way, one more says nothing new.
func (r *relay) post(m message) bool {
	select {
	case r.send <- m:
		return true
	default:
		return false
	}
}

// finish returns the exit code of a tool that ended with the given one. When a
// signal ended the tool and came to us too, the shim dies of it as well: shells
// stop a script for that, and not for a code. PIPE comes to the tool alone.
func (r *relay) finish(code int) int {
	s := syscall.Signal(code - 128)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.got[s] || s == syscall.SIGPIPE {
		r.die(s)
	}
	return exitCode(code)
}

func (r *relay) die(s syscall.Signal) {
	r.term.restore()
	dieOf(s)
}

// dieOf ends this process by the signal's default action. The Go runtime has
// handlers of its own that would print a trace for QUIT, so the kernel's table
// is changed directly; a core file of the shim would be of no use.
func dieOf(s syscall.Signal) {
	var noCore unix.Rlimit
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &noCore)
	setAction(s, &sigaction{}, nil)
	raise(s)
	os.Exit(128 + int(s)) // not reached, unless the signal is blocked
}

// raise sends a signal to the calling thread, which gets it before it goes on.
func raise(s syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), s)
}

// sigaction is the kernel's struct: handler, flags, restorer, mask. All zeros
// are the default action.
type sigaction [4]uint64

const sigIgn = 1 // the handler SIG_IGN

// setAction is rt_sigaction(2). Go's runtime is not told.
func setAction(s syscall.Signal, action, old *sigaction) {
	//nolint:gosec // the kernel uses them during the call only
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

// ignored reports whether we were started with the signal ignored. The kernel
// has the answer for INT, HUP and TSTP; others Go takes over before it asks.
func ignored(s syscall.Signal) bool {
	var now sigaction
	setAction(s, nil, &now)
	return now[0] == sigIgn
}
