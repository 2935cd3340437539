// Package config knows what configuration files say: the user's own, and those of a
// repository, which are hostile until the user has allowed them. It reads text and decides;
// it never opens a file and never looks at the environment. What may count without the
// user's word is in one table, keys.
package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// Origin is the kind of file that a setting comes from.
type Origin int

// The origins.
const (
	User    Origin = iota // the user's own file
	Project               // ProjectFile of a repository
	DotEnv                // EnvFile of a repository
)

// The names of a repository's files, in the directory that is mounted.
const (
	ProjectFile = ".aifo-coder.yaml"
	EnvFile     = ".env"
)

// MaxFile is the most bytes of a configuration file.
const MaxFile = 64 << 10

// Setting is one value of a file. It sets either a flag or a variable.
type Setting struct {
	Name   string   // as the file has it; "env.NAME" for a variable of the agent's
	Key    string   // the key that it is for, or ""
	Values []string // more than one for a key with List only

	// Variable is the variable that takes the value, in the environment of aifo-coder;
	// empty: the flag does.
	Variable string

	Origin  Origin
	File    string // for messages
	Line    int
	Profile string // of the file, that it belongs to; empty: it counts in all

	// Approval says that it counts only once the user has allowed the file.
	Approval bool
	Gives    string // what a repository gains by it
}

// slot is what only one file can decide. A key or an address of a provider is the same thing
// under its own name and behind the prefix.
func (s Setting) slot() string {
	if s.Key != "" {
		return "--" + s.Key
	}
	if name := strings.TrimPrefix(s.Variable, plan.EnvPrefix); IsCredential(name) {
		return name
	}
	return s.Variable
}

// Place returns where the setting stands, as "FILE:LINE".
func (s Setting) Place() string { return s.File + ":" + strconv.Itoa(s.Line) }

// Value returns the value for people: secrets hidden, and on one line.
func (s Setting) Value() string {
	return s.value(printable)
}

// Shown is Value for a question, whose lines a value must not be taken for.
func (s Setting) Shown() string { return s.value(oneWord) }

func (s Setting) value(form func(string) string) string {
	shown := make([]string, len(s.Values))
	for i, v := range s.Values {
		shown[i] = form(Redact(s.Name, v))
	}
	return strings.Join(shown, ", ")
}

// Redact returns the value of a variable as it may be shown: that of a secret not at
// all, and an address without the password in it.
func Redact(name, value string) string {
	if Secret(name) {
		return "(hidden)"
	}
	if u, err := url.Parse(value); err == nil && u.User != nil {
		return u.Redacted()
	}
	return value
}

// printable returns s, quoted where a terminal would not just print it.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// oneWord returns s as printable does, and quoted where it has spaces. No two of them stay
// side by side: a value that wraps at the edge of the terminal must not look like a line
// of ours.
func oneWord(s string) string {
	if !strings.Contains(s, " ") {
		return printable(s)
	}
	return strings.ReplaceAll(strconv.Quote(s), "  ", `\x20\x20`)
}

// Error says what is wrong with a file.
type Error struct {
	File string
	Line int // 0: the file as a whole
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}
func (e *Error) Unwrap() error { return e.Err }

// UnknownKeyError says that a file has a key that means nothing.
type UnknownKeyError struct{ Key string }

func (e *UnknownKeyError) Error() string { return fmt.Sprintf("%q is not a setting", e.Key) }

// Above tells what stands above all files.
type Above struct {
	Flag func(name string) bool   // was it given on the command line?
	Env  func(name string) string // of the caller
}

// Flag returns the flag of a key that was given on the command line, or "".
func (a Above) flag(k Key) string {
	for _, name := range k.Flags() {
		if a.Flag(name) {
			return name
		}
	}
	return ""
}

// KeyOrigin returns the flag or the variable that decides for a key, or two empty strings.
func (a Above) KeyOrigin(k Key) (flag, variable string) {
	if flag = a.flag(k); flag != "" {
		return flag, ""
	}
	return "", a.variable(k.Variables...)
}

func (a Above) variable(names ...string) string {
	i := slices.IndexFunc(names, func(name string) bool { return a.Env(name) != "" })
	if i < 0 {
		return ""
	}
	return names[i]
}

// VariableOrigin returns the caller's variable that decides for a variable which files
// set, or "". A key or an address of a provider reaches the agent under its own name as well.
func (a Above) VariableOrigin(variable string) string {
	name, passed := strings.CutPrefix(variable, plan.EnvPrefix)
	switch {
	case passed && IsCredential(name):
		return a.variable(variable, name)
	case IsCredential(variable):
		return a.variable(variable, plan.EnvPrefix+variable)
	}
	return a.variable(variable)
}

// Decides reports whether the command line or the environment decides in place of a file.
func (a Above) Decides(s Setting) bool {
	if k, ok := Lookup(s.Key); ok {
		flag, variable := a.KeyOrigin(k)
		return flag != "" || variable != ""
	}
	return a.VariableOrigin(s.Variable) != ""
}

// Effective returns the settings that count. The layers are files, the highest first: of each
// key and variable, the highest file that has it decides as a whole. What a flag or the
// caller's environment decides is left out. Settings that wait for the user must have been
// taken out before.
func Effective(above Above, layers ...[]Setting) []Setting {
	var list []Setting
	taken := map[string]bool{}
	for _, layer := range layers {
		for _, s := range layer {
			if !taken[s.slot()] && !above.Decides(s) {
				list = append(list, s)
			}
		}
		for _, s := range layer { // only now: a file may have two variables for one key
			taken[s.slot()] = true
		}
	}
	return list
}

// Split returns the settings that count without the user's word, and those that wait for it.
func Split(settings []Setting) (free, waiting []Setting) {
	for _, s := range settings {
		if s.Approval {
			waiting = append(waiting, s)
		} else {
			free = append(free, s)
		}
	}
	return free, waiting
}
