// Package git runs the host's git where an agent may have written: it never
// evaluates configuration, hooks, filters or drivers of a repository. What only reads
// or moves refs runs in the repository itself, with everything that could start a
// program overridden (Repo.Git). What touches files, the index or objects runs in a git
// directory of ours beside it, a Shadow, which has none of the repository's
// configuration to begin with.
package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Program is the name of the command line.
const Program = "git"

// Command is one git command. Its environment holds nothing of the caller's GIT_
// variables but names, addresses and dates.
type Command struct {
	Dir      string // working directory; empty: ours
	GitDir   string // empty: git looks for it from Dir
	WorkTree string // empty: that of GitDir
	Index    string // index file; empty: that of GitDir
	Objects  string // where objects are written; empty: that of GitDir
	// UserConfig reads the configuration of the user and the system, which no agent
	// can write: filters such as Git LFS's, line ends, ignored files, identity.
	UserConfig bool
	Config     []string // further NAME=VALUE, above any file
	Env        []string // further variables
	Stdin      io.Reader
	Stdout     io.Writer // of Run; nil: discarded
	Args       []string
}

// overrides stand above every configuration file. Empty values take lists and
// commands away.
var overrides = []string{
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.sshCommand=false",
	"core.askPass=false",
	"core.pager=cat",
	"core.editor=false",
	"core.gitProxy=",
	"credential.helper=",
	"commit.gpgSign=false",
	"tag.gpgSign=false",
	"log.showSignature=false",
	"gc.auto=0",
	"maintenance.auto=false",
	"submodule.recurse=false",
	"fetch.recurseSubmodules=false",
	"fetch.fsckObjects=true",
	"transfer.fsckObjects=true",
	// A split index is in two files, one of which git looks for in the git directory:
	// what is written with a Shadow's would be lost to the repository.
	"core.splitIndex=false",
	"color.ui=false",
	"core.quotePath=false",
}

// kept are the caller's GIT_ variables that say who commits.
var kept = []string{
	"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE",
	"GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE",
}

// keptConfig are those that say where the configuration of user and system is.
var keptConfig = []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}

// Argv returns the command's words, for running and for showing.
func (c Command) Argv() []string { return append([]string{Program}, c.Args...) }

// environ returns the command's whole environment, given ours.
func (c Command) environ(ours []string) []string {
	var env []string
	for _, kv := range ours {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "GIT_") || slices.Contains(kept, name) || c.UserConfig && slices.Contains(keptConfig, name) {
			env = append(env, kv)
		}
	}
	env = append(env,
		"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_PAGER=cat", "GIT_EDITOR=false",
		"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1",
		// Settings would not do: a repository's protocol.ext.allow outweighs protocol.allow.
		"GIT_ALLOW_PROTOCOL=file")
	if !c.UserConfig {
		env = append(env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_ATTR_NOSYSTEM=1")
	}
	for _, v := range []struct{ name, value string }{
		{"GIT_DIR", c.GitDir}, {"GIT_WORK_TREE", c.WorkTree}, {"GIT_INDEX_FILE", c.Index}, {"GIT_OBJECT_DIRECTORY", c.Objects},
	} {
		if v.value != "" {
			env = append(env, v.name+"="+v.value)
		}
	}
	return append(append(env, configEnv(slices.Concat(overrides, c.Config))...), c.Env...)
}

// configEnv returns the variables by which git reads NAME=VALUE settings above any file.
func configEnv(settings []string) []string {
	env := []string{"GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings))}
	for i, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, name), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, value))
	}
	return env
}

// Error says which git command failed.
type Error struct {
	Args []string
	Err  error // a *proc.ExitError when git ran and refused
}

func (e *Error) Error() string {
	return fmt.Sprintf("git %s: %v", e.subcommand(), e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) subcommand() string {
	if len(e.Args) == 0 {
		return ""
	}
	return e.Args[0]
}

// Code returns the exit code of the git command in err, or -1 when err is none.
func Code(err error) int {
	var exit *proc.ExitError
	if !errors.As(err, &exit) {
		return -1
	}
	return exit.Code
}

func (c Command) cmd() proc.Cmd {
	return proc.Cmd{
		Argv: c.Argv(), Dir: c.Dir, Env: c.environ(os.Environ()),
		Stdin: c.Stdin, Stdout: c.Stdout, Detached: true,
	}
}

// Run runs the command to its end. It returns a *proc.NotFoundError without git,
// and an *Error otherwise.
func (c Command) Run(ctx context.Context) error { return c.wrap(proc.Run(ctx, c.cmd())) }

// Output is Run, returning what git wrote to standard output.
func (c Command) Output(ctx context.Context) ([]byte, error) {
	out, err := proc.Output(ctx, c.cmd())
	return out, c.wrap(err)
}

// Line is Output without the newline at its end.
func (c Command) Line(ctx context.Context) (string, error) {
	out, err := c.Output(ctx)
	return strings.TrimSuffix(string(out), "\n"), err
}

func (c Command) wrap(err error) error {
	var missing *proc.NotFoundError
	if err == nil || errors.As(err, &missing) {
		return err
	}
	return &Error{Args: c.Args, Err: err}
}
