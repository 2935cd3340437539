// Package notify runs the one command on the host that an agent may ask for: a
// notification, which the user has written down in a file of his own. The agent is hostile. It
// chooses whether the command runs, and at most some of its words; the program, where it lies
// and what else it gets are the user's.
package notify

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/execproxy"
	"github.com/aifo-coder/aifo-coder/internal/proc"
)

// Settings are what the user says of notifications.
type Settings struct {
	File     string        // that has the command, by an absolute path
	Home     string        // of the user, for messages
	Names    []string      // of the programs that may run
	SafeDirs []string      // that a program may lie in
	MaxArgs  int           // in the place of {args}
	Timeout  time.Duration // of a program
	Env      []string      // of a program, as "NAME=value"
	// Written are directories that agents write: neither the file nor a program may be in one.
	Written []string
}

// Bounds.
const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = time.Minute
	defaultArgs    = 8
	maxArgs        = 32
	maxArgBytes    = 4096 // of all words in the place of {args}
	maxList        = 16   // of names or directories in a variable
	maxName        = 64   // bytes of a variable's name
	maxOutput      = 64 << 10
	// Somebody is told something a few times at once, not in a loop.
	burst    = 5
	interval = 2 * time.Second
)

// safeDirs are where the system's programs are. Only an administrator writes there.
var safeDirs = []string{"/usr/bin", "/bin", "/usr/local/bin", "/opt/homebrew/bin"}

// FromEnv returns the settings of an environment: the AIFO_NOTIFICATIONS_* variables
// (docs/configuration.md, "Notifications"). home is the user's home directory, written are the directories that
// agents write. What is out of bounds counts as its default or its bound.
func FromEnv(env map[string]string, home string, written ...string) Settings {
	s := Settings{
		File: env["AIFO_NOTIFICATIONS_CONFIG"], Home: home, Names: append([]string{"say"}, list(env["AIFO_NOTIFICATIONS_ALLOWLIST"])...),
		SafeDirs: safeDirs, MaxArgs: defaultArgs, Timeout: defaultTimeout, Env: environ(env), Written: written,
	}
	if strings.TrimSpace(s.File) == "" {
		s.File = filepath.Join(home, ".aider.conf.yml")
	}
	s.Names = s.Names[:min(len(s.Names), maxList)]
	if env["AIFO_NOTIFICATIONS_UNSAFE_ALLOWLIST"] == "1" {
		s.SafeDirs = list(env["AIFO_NOTIFICATIONS_SAFE_DIRS"])
	}
	if n, err := strconv.Atoi(env["AIFO_NOTIFICATIONS_MAX_ARGS"]); err == nil {
		s.MaxArgs = min(max(n, 1), maxArgs)
	}
	if n, err := strconv.Atoi(env["AIFO_NOTIFICATIONS_TIMEOUT_SECS"]); err == nil && n > 0 {
		s.Timeout = min(time.Duration(n)*time.Second, maxTimeout)
	}
	return s
}

// list returns the parts of a variable that are separated by commas.
func list(value string) []string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" && len(parts) < maxList {
			parts = append(parts, part)
		}
	}
	return parts
}

// handed are the variables that a program needs to reach the user's screen and speak the user's language.
var handed = []string{"PATH", "HOME", "LANG", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}

// environ returns the environment of a program: nothing but what it needs, and what the
// user adds by name. Keys are never among it.
func environ(env map[string]string) []string {
	var extra []string
	for _, name := range list(env["AIFO_NOTIFICATIONS_ENV_ALLOW"]) {
		if len(name) <= maxName && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && !config.Secret(name) {
			extra = append(extra, name)
		}
	}
	var environ []string
	for name, value := range env {
		if slices.Contains(handed, name) || strings.HasPrefix(name, "LC_") || slices.Contains(extra, name) {
			environ = append(environ, name+"="+value)
		}
	}
	slices.Sort(environ)
	return environ
}

// Notifier runs notifications, one at a time.
type Notifier struct {
	settings Settings
	running  sync.Mutex
	limit    *rate.Limiter
}

// New returns a Notifier.
func New(s Settings) *Notifier {
	return &Notifier{settings: s, limit: rate.NewLimiter(rate.Every(interval), burst)}
}

// Run runs the user's command if it is what the agent asks for, the program cmd with args, and
// returns its exit code and its output, of 64 KiB at most. It is an execproxy.NotifyFunc, with the
// errors of one. The user's file is read each time, so that a change counts at once.
func (n *Notifier) Run(ctx context.Context, cmd string, args []string) (code int, output []byte, err error) {
	argv, err := n.settings.decide(cmd, args)
	if err != nil {
		return 0, nil, execproxy.NotifyDenied(err.Error())
	}
	if !n.running.TryLock() {
		return 0, nil, execproxy.NotifyDenied("another notification is running")
	}
	defer n.running.Unlock()
	if !n.limit.Allow() {
		return 0, nil, execproxy.NotifyDenied("too many notifications; try again later")
	}
	return n.settings.execute(ctx, argv)
}

// decide returns the argument vector that runs, or why nothing does.
func (s Settings) decide(cmd string, args []string) ([]string, error) {
	words, err := s.readCommand()
	if err != nil {
		return nil, err
	}
	program, err := s.resolve(words[0])
	if err != nil {
		return nil, err
	}
	if err := s.checkName(filepath.Base(program), cmd); err != nil {
		return nil, err
	}
	rest, err := arguments(words[1:], args, s.MaxArgs)
	return append([]string{program}, rest...), err
}

// checkName reports a program that may not run, or that is not the one asked for.
func (s Settings) checkName(name, asked string) error {
	switch {
	case !slices.Contains(s.Names, name):
		return fmt.Errorf("command '%s' not allowed for notifications", name)
	case asked != name && asked != execproto.NameNotifyCmd:
		return fmt.Errorf("only executable basename '%s' is accepted (got '%s')", name, asked)
	}
	return nil
}

// execute runs the program in a process group of its own, which ends with it when its time is over.
// Its directory is the root: nothing that an agent writes is found from there.
func (s Settings) execute(ctx context.Context, argv []string) (code int, output []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	var out, errs bounded
	err = proc.Run(ctx, proc.Cmd{
		Argv: argv, Dir: string(filepath.Separator), Env: append([]string{}, s.Env...),
		Stdout: &out, Stderr: &errs, Detached: true,
	})
	var exit *proc.ExitError
	if errors.As(err, &exit) {
		code, err = exit.Code, nil
	}
	both := append(out, errs...)
	return code, both[:min(len(both), maxOutput)], err
}

// bounded keeps the first of what is written to it, and takes the rest as well: a
// program that writes much is not to wait or to die of it.
type bounded []byte

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), maxOutput-len(*b))]...)
	return len(p), nil
}
