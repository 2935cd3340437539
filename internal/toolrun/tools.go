//go:build linux

package toolrun

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

const (
	// versionLimit bounds the time that a tool may take to print its version.
	versionLimit = 10 * time.Second
	// versionBytes is what is read of it; the first line is wanted.
	versionBytes = 16 << 10
)

// Tools is the subcommand "tools [--probe WORD]... NAME...": it prints which
// tools there are, where a call from the working directory would find them, and
// in which version, one a line (execproto.FoundTool). The words of the probe are
// a tool and the arguments that make it print its version; others are asked with
// --version.
func Tools(args []string, out io.Writer) int {
	var probe []string
	flags := newFlags("tools")
	flags.Func("probe", "", func(word string) error {
		probe = append(probe, word)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return usage("tools [--probe WORD]... NAME...", err)
	}
	cwd, err := unix.Getwd()
	if err != nil {
		cwd = "/"
	}
	for _, t := range findTools(flags.Args(), probe, cwd) {
		if _, err := fmt.Fprintln(out, t.Line()); err != nil {
			return ExitFailed
		}
	}
	return 0
}

// findTools looks for the tools and then asks those that are there, as many at a
// time as there are processors.
func findTools(names, probe []string, cwd string) []execproto.FoundTool {
	var found []execproto.FoundTool
	var ask []func() string
	for _, name := range names {
		cmd, env, err := Prepare([]string{name}, cwd, os.Environ())
		if err != nil || len(cmd.Argv) != 1 { // with more words, another program would fetch it
			continue
		}
		argv := append([]string{cmd.Path}, versionArgs(name, probe)...)
		found = append(found, execproto.FoundTool{Name: name, Path: cmd.Path})
		ask = append(ask, func() string { return version(argv, env) })
	}
	turns := make(chan struct{}, runtime.NumCPU())
	var asked sync.WaitGroup
	for i := range found {
		asked.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			found[i].Version = ask[i]()
		})
	}
	asked.Wait()
	return found
}

func versionArgs(tool string, probe []string) []string {
	if len(probe) > 1 && probe[0] == tool {
		return probe[1:]
	}
	return []string{"--version"}
}

// version returns the first line that a program prints, or "" for one that fails
// or takes too long.
func version(argv, env []string) string {
	r, w, err := os.Pipe()
	if err != nil {
		return ""
	}
	defer func() { _ = r.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return ""
	}
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env: env, Files: []*os.File{null, w, w}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	_, _ = null.Close(), w.Close()
	if err != nil {
		return ""
	}
	_ = r.SetReadDeadline(time.Now().Add(versionLimit))
	text, readErr := io.ReadAll(io.LimitReader(r, versionBytes))
	if readErr != nil || len(text) == versionBytes {
		_ = unix.Kill(-p.Pid, unix.SIGKILL)
	}
	state, err := p.Wait()
	if err != nil || readErr != nil || !state.Success() {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(strings.ReplaceAll(line, "\x00", ""))
}
