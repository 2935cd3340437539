//go:build linux

// Package execserver runs tools inside a sidecar for the proxy: it is the
// resident "aifo-shim serve", which one docker exec starts as the caller's user
// and which then starts every tool itself, so that a call costs a fork and an
// execve and nothing of Docker's. docs/protocol.md, "The link to a sidecar", is
// the specification of what it speaks.
//
// It guarantees that a call whose client does not read, or whose tool does not,
// holds up nobody else; that a call which is ended is over in bounded time,
// whatever its processes do; and that no call outlives the link. It does not
// protect the sidecar from the tools, which run as the same user.
//
// The rule that keeps the link free of deadlock: the goroutine that reads it
// never waits, neither for a tool nor to write to the link.
package execserver

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/boot/ready"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// Main is the subcommand "serve [--connect PATH]". The link to the proxy is
// standard input and output, or the unix socket PATH; then standard input only
// tells, by its end, that whoever started us is gone. It returns 0 when the link
// was closed or a signal asked for the end, 125 when there never was one.
func Main(args []string) int {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("connect", "", "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: aifo-shim serve [--connect PATH]")
		return toolrun.ExitUsage
	}
	if err := run(*path, func() bool { return ready.Wait(ready.Limit) }); err != nil {
		fmt.Fprintf(os.Stderr, "aifo-shim: serve: %v\n", err)
		return execproto.ExitLost
	}
	return 0
}

// run serves until the link is lost or we are asked to end.
func run(path string, isReady func() bool) error {
	if err := errors.Join(toolrun.LimitProcess(), os.Unsetenv(execproto.EnvMounts)); err != nil { // that is for the boot program alone
		return err
	}
	// Tools inherit what is ignored, and some engines were started under nohup;
	// what is taken by us is theirs to decide about.
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	l, gone, err := connect(path)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		select {
		case <-end:
		case <-gone:
		}
		close(stop)
	}()
	return serveWhenReady(l, stop, isReady)
}

func serveWhenReady(l link, stop <-chan struct{}, isReady func() bool) error {
	booted := make(chan bool, 1)
	go func() { booted <- isReady() }()
	select {
	case <-stop:
		return nil
	case ok := <-booted:
		if !ok {
			return fmt.Errorf("the sidecar is not ready after %v", ready.Limit)
		}
	}
	err := serve(l, stop)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// connect returns the link, and a channel that is closed when whoever started
// us is gone; a link that is standard input tells that itself.
func connect(path string) (link, <-chan struct{}, error) {
	if path == "" {
		return stdio()
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(gone)
	}()
	return newSocketLink(conn), gone, nil
}

// stdio returns the link over standard input and output. They get other numbers,
// because Go ends a process that cannot write to number 1, and calls of ours
// must be ended first.
func stdio() (link, <-chan struct{}, error) {
	in, err := duplicate(0)
	if err != nil {
		return nil, nil, err
	}
	out, err := duplicate(1)
	if err != nil {
		return nil, nil, err
	}
	return pipeLink{in, out}, nil, nil
}

// duplicate returns a file that can be closed while it is read or written, as
// far as its kind allows.
func duplicate(fd int) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if unix.Fstat(n, &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFIFO || st.Mode&unix.S_IFMT == unix.S_IFSOCK) {
		_ = unix.SetNonblock(n, true)
	}
	return os.NewFile(uintptr(n), "link"), nil
}
