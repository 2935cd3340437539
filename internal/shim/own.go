//go:build linux

package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// whose tells whether a call is the agent's own affair and not the project's
// (docs/toolchains.md, "The agent's own interpreter"). It returns the program of the
// agent's image that is to run it, or "" for a call that goes to the toolchain. An
// error says that neither can run it.
func (c call) whose(cwd string) (string, error) {
	if c.kind != "" || c.path != "" && execproto.Within(absolute(c.path, cwd), c.workspace) {
		return "", nil
	}
	p := c.program()
	file, here := c.seen(p.file, cwd)
	mine := file && here == elsewhere ||
		!file && (p.module == os.Getenv("AIFO_AGENT_NAME") && p.module != "" || !execproto.Within(cwd, c.workspace))
	if !mine {
		return "", nil
	}
	local := c.local()
	if local == "" && file {
		return "", fmt.Errorf("%s is outside %s, which is all that the toolchains can see; put it there", p.file, c.workspace)
	}
	return local, nil
}

// place is where a file is, seen from the agent's container.
type place int

const (
	inWorkspace place = iota
	elsewhere
)

// seen reports whether the agent's container has the file of an interpreter, and
// where. Links count as what they lead to. The streams of the call are no files.
func (c call) seen(file, cwd string) (bool, place) {
	if file == "" || slices.Contains([]string{"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/null"}, file) {
		return false, inWorkspace
	}
	real, err := filepath.EvalSymlinks(absolute(file, cwd))
	if err != nil {
		return false, inWorkspace // the toolchain tells that it is missing
	}
	if execproto.Within(real, c.workspace) {
		return true, inWorkspace
	}
	return true, elsewhere
}

func absolute(path, cwd string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(cwd, path)
}

// program is what an interpreter is asked to run: a file or a module, or neither.
type program struct{ file, module string }

// program returns what the call asks an interpreter to run; for another tool,
// nothing.
func (c call) program() program {
	switch {
	case c.tool == "node":
		return nodeProgram(c.args)
	case strings.HasPrefix(c.tool, "python"):
		return pythonProgram(c.args)
	}
	return program{}
}

// nodeValues are the options of node whose value is the next word (node --help).
var nodeValues = []string{
	"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file", "--env-file-if-exists",
	"--input-type", "--inspect-port", "--title", "--diagnostic-dir", "--icu-data-dir", "--openssl-config", "--redirect-warnings",
	"--test-reporter", "--test-reporter-destination", "--test-name-pattern", "--experimental-config-file", "--cpu-prof-dir", "--heap-prof-dir",
}

// nodeText are the options after which there is no file.
var nodeText = []string{"-e", "--eval", "-p", "--print", "-pe", "-i", "--interactive", "-h", "--help", "-v", "--version", "--run", "--test", "-"}

func nodeProgram(args []string) program {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, _, _ := strings.Cut(arg, "=")
		switch {
		case arg == "--":
			return program{file: first(args[i+1:])}
		case slices.Contains(nodeText, name):
			return program{}
		case slices.Contains(nodeValues, arg):
			i++
		case !strings.HasPrefix(arg, "-"):
			return program{file: arg}
		}
	}
	return program{}
}

// pythonProgram follows python(1): short options may be written together, and
// -c and -m end them.
func pythonProgram(args []string) program {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return program{file: first(args[i+1:])}
		case arg == "-":
			return program{}
		case arg == "--check-hash-based-pycs":
			i++
		case strings.HasPrefix(arg, "--"):
		case !strings.HasPrefix(arg, "-"):
			return program{file: arg}
		default:
			at := strings.IndexAny(arg, "cmWX")
			if at < 0 {
				continue
			}
			value, rest := arg[at+1:], args[i+1:]
			switch {
			case arg[at] == 'c':
				return program{}
			case arg[at] == 'm' && value == "":
				return program{module: topModule(first(rest))}
			case arg[at] == 'm':
				return program{module: topModule(value)}
			case value == "":
				i++ // the value of -W or -X
			}
		}
	}
	return program{}
}

// topModule is the package that a module belongs to.
func topModule(module string) string {
	top, _, _ := strings.Cut(module, ".")
	return top
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}
