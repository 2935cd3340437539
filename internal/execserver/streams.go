//go:build linux

package execserver

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/stdpipe"
)

// streams are the two ends of a tool's standard input, output and error.
type streams struct {
	tool     [3]int // what becomes its descriptors
	received bool   // they came with the call, and there are no other ends

	in   *os.File // its input is written here; nil: it has none
	outs []source
	tty  *os.File // the other side of its terminal; nil: it has none

	slave int // the tool's side, which is one or more of its descriptors
}

// source is where output of the tool is read, and what it is sent as.
type source struct {
	*os.File
	t execproto.MuxType
}

// openStreams opens what the call asks for. The descriptors become the tool's.
func openStreams(st execproto.Start, files []int) (streams, error) {
	if files != nil {
		return streams{tool: [3]int(files), received: true}, nil
	}
	s := streams{tool: [3]int{-1, -1, -1}}
	var err error
	if st.TTY != 0 {
		err = s.openTerminal(st.TTY, st.Rows, st.Cols)
	}
	if err == nil && !st.TTY.Has(0) {
		err = s.openInput(st.Stdin)
	}
	for i := 1; i < 3 && err == nil; i++ {
		if !st.TTY.Has(i) {
			err = s.openOutput(i)
		}
	}
	if err != nil {
		s.closeAll()
	}
	return s, err
}

// outputs are what standard output and error are sent as, by descriptor.
var outputs = [3]execproto.MuxType{1: execproto.MuxStdout, 2: execproto.MuxStderr}

func (s *streams) openOutput(fd int) error {
	ours, tool, err := stdpipe.Output()
	if err == nil {
		s.tool[fd] = tool
		s.outs = append(s.outs, source{ours, outputs[fd]})
	}
	return err
}

func (s *streams) openInput(wanted bool) (err error) {
	if wanted {
		s.in, s.tool[0], err = stdpipe.Input()
		return err
	}
	s.tool[0], err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// tools returns the tool's descriptors, each once.
func (s streams) tools() []int {
	fds := slices.Clone(s.tool[:])
	slices.Sort(fds)
	fds = slices.Compact(fds)
	return slices.DeleteFunc(fds, func(fd int) bool { return fd < 0 })
}

func (s streams) closeAll() {
	closeAll(s.tools())
	if s.in != nil {
		_ = s.in.Close()
	}
	if s.tty != nil {
		_ = s.tty.Close() // it may be one of the others as well
	}
	for _, f := range s.outs {
		_ = f.Close()
	}
}
