package fork

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/panes"
)

// A pane's process does not inherit the environment of the command that started it:
// its parent is a tmux server or a terminal's program, which may have been started
// by anybody. What it needs, secrets among it, waits in a private file, whose path is in
// its arguments, and which it removes as soon as it has read it.

// PaneEnvFile is that file of a pane, in the user's private runtime directory.
func PaneEnvFile(runtimeDir, sid string, index int) string {
	return filepath.Join(runtimeDir, fmt.Sprintf("fork-%s-%d.env", sid, index))
}

// paneArgv returns the command of a pane: self is the absolute path of this program.
func paneArgv(self, envFile, sid string, index int) []string {
	return []string{self, "fork", "pane", "--pane-env", envFile, sid, strconv.Itoa(index)}
}

// PaneSpecs returns what runs in the panes of the session that are not removed.
func PaneSpecs(s Store, r Record, self, runtimeDir string) []panes.Pane {
	var list []panes.Pane
	for _, p := range r.present() {
		list = append(list, panes.Pane{
			Index: p.Index, Title: strings.TrimPrefix(p.Branch, "refs/heads/"), Dir: p.Dir,
			Argv: paneArgv(self, PaneEnvFile(runtimeDir, r.SID, p.Index), r.SID, p.Index),
			Log:  s.LogFile(r.SID, p.Index),
		})
	}
	return list
}

// writePaneEnv writes an environment, as os.Environ gives it, for a pane.
func writePaneEnv(path string, environ []string) error {
	// One of a start that was killed may be there.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace a pane's environment: %w", err)
	}
	// Not by way of a temporary file, which would stay behind with its secrets if we were
	// killed: nobody reads this one before it is whole.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write a pane's environment: %w", err)
	}
	_, err = f.WriteString(strings.Join(environ, "\x00"))
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write a pane's environment: %w", err), os.Remove(path))
	}
	return nil
}

// TakePaneEnv replaces this process's environment by the one in the file, which it
// removes. It comes before anything looks at the environment.
func TakePaneEnv(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the pane's environment: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the pane's environment: %w", err)
	}
	merged := paneEnviron(strings.Split(string(data), "\x00"), os.Environ())
	os.Clearenv()
	for _, kv := range merged {
		name, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// ofTerminal are the variables that describe the terminal and the place of a process,
// which are the pane's own and not those of the command that started it.
var ofTerminal = []string{"TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TMUX", "TMUX_PANE", "PWD", "OLDPWD", "LINES", "COLUMNS"}

// paneEnviron returns the environment of a pane: the given one, but for what
// describes the pane's own terminal.
func paneEnviron(given, own []string) []string {
	isTerminals := func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(ofTerminal, name)
	}
	merged := slices.DeleteFunc(slices.Clone(given), func(kv string) bool {
		// Windows has variables such as "=C:", which cannot be set.
		return isTerminals(kv) || strings.Index(kv, "=") <= 0
	})
	for _, kv := range own {
		if isTerminals(kv) {
			merged = append(merged, kv)
		}
	}
	return merged
}

// RemovePaneEnvs removes the environments that no pane has taken: those of a start
// that failed.
func RemovePaneEnvs(runtimeDir string, r Record) error {
	var err error
	for _, p := range r.Panes {
		if e := os.Remove(PaneEnvFile(runtimeDir, r.SID, p.Index)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Tmux returns the tmux server that has, or will have, the panes of a session, given the
// caller's environment. The session in it is found by the id (panes.Tmux.Find).
func (r Record) Tmux(environ []string) panes.Tmux {
	return panes.Tmux{Env: environ, Socket: r.TmuxSocket}
}
