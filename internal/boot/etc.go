//go:build linux

package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// appendTo appends what more returns for the file's present content. The file
// is made when it is missing; nothing is written when there is nothing to add.
// It is changed in place, because it may be a mount of its own.
func appendTo(path string, more func(old []byte) string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := more(old)
	if text == "" {
		return nil
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		text = "\n" + text
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// entry is a line of /etc/passwd.
type entry struct {
	name        string
	uid, gid    int
	home, shell string
}

// passwdLine returns the name that the user has, and the line to add when the
// image does not know the user: an image's own entry stays as it is, and HOME
// overrides the directory in it.
func passwdLine(passwd []byte, e entry) (name, line string) {
	names, known := index(passwd, e.uid)
	if known != "" {
		return known, ""
	}
	name = freeName(e.name, names)
	return name, fmt.Sprintf("%s:x:%d:%d:%s:%s:%s\n", name, e.uid, e.gid, e.name, e.home, e.shell)
}

// groupLine returns the line to add to /etc/group when it does not know gid.
func groupLine(group []byte, name string, gid int) string {
	names, known := index(group, gid)
	if known != "" {
		return ""
	}
	return fmt.Sprintf("%s:x:%d:\n", freeName(name, names), gid)
}

// index returns the names in a passwd or group file, and that of the first
// entry with the given id, which is the one that the C library finds.
func index(file []byte, id int) (names map[string]bool, known string) {
	names = map[string]bool{}
	for line := range bytes.Lines(file) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) < 3 || f[0] == "" {
			continue
		}
		names[f[0]] = true
		if n, err := strconv.Atoi(f[2]); err == nil && n == id && known == "" {
			known = f[0]
		}
	}
	return names, known
}

// freeName returns name, or name1, name2… when another id has it.
func freeName(name string, taken map[string]bool) string {
	free := name
	for i := 1; taken[free]; i++ {
		free = name + strconv.Itoa(i)
	}
	return free
}

// gitText returns the sections to add to a gitconfig for the settings that it
// does not have in just this form yet, so that a restart adds nothing.
func gitText(old string, settings []setting) string {
	var b strings.Builder
	for _, s := range settings {
		section, err := s.section()
		if err == nil && !strings.Contains(old, section) {
			b.WriteString(section)
		}
	}
	return b.String()
}

// section returns the setting as a section of a gitconfig. The key is
// section.variable or section.subsection.variable, and only a subsection may
// hold other characters than letters, digits and '-'. A line that git does not
// understand would break every git command, so this is strict.
func (s setting) section() (string, error) {
	first, last := strings.Index(s.Key, "."), strings.LastIndex(s.Key, ".")
	if first <= 0 || !gitWord(s.Key[:first]) || !gitWord(s.Key[last+1:]) ||
		strings.ContainsAny(s.Key, "\x00\n") || strings.Contains(s.Value, "\x00") {
		return "", fmt.Errorf("%q is no git setting", s.Key)
	}
	head := s.Key[:first]
	if first < last {
		head += " " + gitQuote(s.Key[first+1:last], `\`, `"`)
	}
	return fmt.Sprintf("[%s]\n\t%s = %s\n", head, s.Key[last+1:], gitQuote(s.Value, `\`, `"`, "\n", "\t", "\b")), nil
}

func gitWord(s string) bool {
	return validName(s) && !strings.ContainsAny(s, "._") && (s[0] < '0' || s[0] > '9')
}

// gitQuote quotes s, escaping the given characters: a subsection takes fewer
// escapes than a value.
func gitQuote(s string, escaped ...string) string {
	escapes := map[string]string{`\`: `\\`, `"`: `\"`, "\n": `\n`, "\t": `\t`, "\b": `\b`}
	var pairs []string
	for _, e := range escaped {
		pairs = append(pairs, e, escapes[e])
	}
	return `"` + strings.NewReplacer(pairs...).Replace(s) + `"`
}

// writeProfile makes login shells have dir first in PATH.
func writeProfile(path, dir string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(profileText(dir)), 0o644)
}

// profileText is sourced by /etc/profile, which on Debian and Alpine has just
// set PATH to a constant. The name of its file sorts last for this reason.
func profileText(dir string) string {
	d := "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	return "# Written by aifo-coder: /etc/profile takes the toolchains off PATH.\n" +
		"case \"$PATH\" in\n" +
		d + " | " + d + ":*) ;;\n" +
		"*) PATH=" + d + "${PATH:+:$PATH} ;;\n" +
		"esac\n" +
		"export PATH\n"
}
