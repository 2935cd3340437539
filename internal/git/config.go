package git

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Setting is one line of configuration.
type Setting struct {
	Own   bool   // of the repository, which an agent may have written; otherwise the user's or the system's
	Key   string // as git writes it: section and name in lower case
	Value string
}

// Settings are all lines, in the order in which they hold: the last wins.
type Settings []Setting

// Scope says whose settings count.
type Scope bool

// The scopes.
const (
	Local     Scope = true  // the repository's own alone
	Effective Scope = false // the repository's above the user's above the system's
)

// Settings reads the configuration that holds in the repository, and whose it is.
func (r Repo) Settings(ctx context.Context) (Settings, error) {
	c := r.Git("config", "--list", "--includes", "--show-scope", "-z")
	c.UserConfig = true
	out, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	return parseSettings(out), nil
}

// parseSettings reads the output of git config --list --show-scope -z: scope, NUL, key,
// newline, value, NUL. A key that stands alone means true.
func parseSettings(out []byte) Settings {
	fields := bytes.Split(out, []byte{0})
	var list Settings
	for pair := range slices.Chunk(fields, 2) {
		if len(pair) < 2 {
			break
		}
		scope := string(pair[0])
		key, value, ok := strings.Cut(string(pair[1]), "\n")
		if !ok {
			value = "true"
		}
		if scope != "command" { // ours, see overrides
			list = append(list, Setting{Own: scope == "local" || scope == "worktree", Key: key, Value: value})
		}
	}
	return list
}

// Get returns the values of a key, the strongest last.
func (list Settings) Get(key string, scope Scope) []string {
	var values []string
	for _, s := range list {
		if s.Key == key && (s.Own || scope == Effective) {
			values = append(values, s.Value)
		}
	}
	return values
}

// fileKeys are the settings that say how files are to be read and written, and start nothing.
// core.protectHFS and core.protectNTFS are not among them: they are what keeps a tree from
// writing into .git.
var fileKeys = []string{
	"core.autocrlf", "core.eol", "core.safecrlf", "core.filemode", "core.ignorecase", "core.symlinks",
	"core.precomposeunicode", "core.bigfilethreshold",
}

// ownerKeys say whose the repository is.
var ownerKeys = []string{"user.name", "user.email"}

// Data returns the settings that say how the repository's files are to be read, and those
// of its own that say whose they are, as NAME=VALUE. None of them starts anything.
func (list Settings) Data(scope Scope) []string {
	var data []string
	add := func(keys []string, scope Scope) {
		for _, key := range keys {
			if values := list.Get(key, scope); len(values) > 0 {
				data = append(data, key+"="+values[len(values)-1])
			}
		}
	}
	add(fileKeys, scope)
	add(ownerKeys, Local)
	return data
}

// DataConfig returns those data of the repository's own.
func (r Repo) DataConfig(ctx context.Context) ([]string, error) {
	list, err := r.Settings(ctx)
	return list.Data(Local), err
}

// FormatConfig returns the content of a configuration file (git-config(1), "Syntax"). A key is
// SECTION.NAME or SECTION.SUBSECTION.NAME; a subsection has no line break.
func FormatConfig(list Settings) []byte {
	var b strings.Builder
	last := ""
	for _, s := range list {
		section, name := splitKey(s.Key)
		if section != last {
			fmt.Fprintf(&b, "[%s]\n", section)
			last = section
		}
		fmt.Fprintf(&b, "\t%s = %s\n", name, quoteConfig(s.Value))
	}
	return []byte(b.String())
}

// ParseSettings returns NAME=VALUE words as settings.
func ParseSettings(words []string) Settings {
	var list Settings
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		list = append(list, Setting{Key: key, Value: value})
	}
	return list
}

// splitKey returns the section as it stands in brackets, and the name.
func splitKey(key string) (section, name string) {
	first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
	section, name = key[:first], key[last+1:]
	if first < last {
		section += " " + quoteConfig(key[first+1:last])
	}
	return section, name
}

// quoteConfig returns a value as git-config(1) reads it back.
func quoteConfig(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(v) + `"`
}
