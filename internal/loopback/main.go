//go:build linux

// Package loopback is the end in a container of its port link (docs/protocol.md, "Ports"): it
// tells on which ports the container's loopback is listened to, connects to them for others, and
// listens there itself for the servers of other containers. What leads where is decided on the
// host, by internal/ports.
//
// It runs as the user in the container, whose programs could do all that as well. It connects to
// nothing but the loopback.
package loopback

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/toolrun"
)

// Command is the subcommand of the program in a container that is its end.
const Command = "ports"

// Main is the subcommand "ports [--connect PATH]". The link is standard input and output, or the
// unix socket PATH; then standard input only tells, by its end, that whoever started us is gone. It
// returns 0 when the link has ended, 125 when there never was one.
func Main(args []string) int {
	runtime.GOMAXPROCS(2) // it waits and copies
	flags := flag.NewFlagSet(Command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("connect", "", "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: aifo-shim ports [--connect PATH]")
		return toolrun.ExitUsage
	}
	err := toolrun.LimitProcess()
	var link io.ReadWriteCloser
	if err == nil {
		link, err = connect(*path)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "aifo-shim: ports: %v\n", err)
		return execproto.ExitLost
	}
	newEnd(link).run()
	return 0
}

func connect(path string) (io.ReadWriteCloser, error) {
	if path == "" {
		return stdio{}, nil
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = conn.Close()
	}()
	return conn, nil
}

// stdio is standard input and output. Whoever cannot write any more is ended by the system, and
// the process ends with its input, so that nothing has to be freed by Close.
type stdio struct{}

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return nil }
