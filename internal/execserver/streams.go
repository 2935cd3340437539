//go:build linux

package execserver

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/stdpipe"
)

// streams are the two ends of a tool's standard input, output and error.
type streams struct {
	tool     [3]int // what becomes its descriptors
	received bool   // they came with the call, and there are no other ends

	in   *os.File   // its input is written here; nil: it has none
	outs []*os.File // its output is read here, its standard error last
	tty  *os.File   // the other side of its terminal, which all of them are then
}

// openStreams opens what the call asks for. The descriptors become the tool's.
func openStreams(st execproto.Start, files []int) (streams, error) {
	if files != nil {
		return streams{tool: [3]int(files), received: true}, nil
	}
	if st.TTY {
		return openTerminal(st.Rows, st.Cols)
	}
	s := streams{tool: [3]int{-1, -1, -1}}
	err := s.openInput(st.Stdin)
	for i := 1; i < 3 && err == nil; i++ {
		var ours *os.File
		if ours, s.tool[i], err = stdpipe.Output(); err == nil {
			s.outs = append(s.outs, ours)
		}
	}
	if err != nil {
		s.closeAll()
	}
	return s, err
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
	if s.tty != nil {
		return s.tool[:1]
	}
	return s.tool[:]
}

func (s streams) closeAll() {
	closeAll(s.tools())
	if s.in != nil {
		_ = s.in.Close()
	}
	for _, f := range s.outs {
		_ = f.Close()
	}
}
