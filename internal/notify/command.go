package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/trust"
)

// commandKey is the key of the command in the user's file.
const commandKey = "notifications-command"

// placeholder stands for the words of the agent.
const placeholder = "{args}"

// readCommand returns the words of the user's command, which are at least one.
func (s Settings) readCommand() ([]string, error) {
	path, err := s.ownFile()
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.shown(s.File), err)
	}
	data, err := trust.ReadOwn(path, config.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %s", s.shown(s.File), reason(err))
	}
	words, err := parseCommand(data)
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("cannot parse %s: %w", s.shown(s.File), syntax.err)
	case errors.Is(err, errNoCommand):
		return nil, fmt.Errorf("%s not found in %s", commandKey, s.shown(s.File))
	}
	return words, err
}

// shown returns a path as an agent may know it: without the name of the user.
func (s Settings) shown(path string) string {
	if rest, ok := strings.CutPrefix(path, s.Home+string(filepath.Separator)); ok {
		return "~" + string(filepath.Separator) + rest
	}
	return path
}

// reason returns why a file cannot be read, without its path.
func reason(err error) string {
	var unfit *trust.UnfitError
	var path *fs.PathError
	switch {
	case errors.As(err, &unfit):
		return unfit.Reason
	case errors.As(err, &path):
		return path.Err.Error()
	}
	return err.Error()
}

// ownFile returns the canonical path of the user's file, which no agent can write
// or put another in the place of.
func (s Settings) ownFile() (string, error) {
	if !filepath.IsAbs(s.File) {
		return "", errors.New("it is not an absolute path")
	}
	path, err := filepath.EvalSymlinks(s.File)
	if err != nil {
		return "", errors.New(reason(err))
	}
	if s.isWritten(filepath.Clean(s.File)) || s.isWritten(path) {
		return "", errors.New("it is in a directory that the agent can write")
	}
	return path, nil
}

// isWritten reports whether a path is in a directory that agents write.
func (s Settings) isWritten(path string) bool {
	return slices.ContainsFunc(s.Written, func(dir string) bool {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
	})
}

// syntaxError says that a file is no YAML.
type syntaxError struct{ err error }

func (e *syntaxError) Error() string { return e.err.Error() }

var (
	errNoCommand = errors.New(commandKey + " is missing")
	errMalformed = errors.New(commandKey + " is empty or malformed")
)

// parseCommand returns the words of the command in a file: a sequence of strings, or a
// string that is split as a shell does it, with quotes and without escapes. The words are checked.
// The tree is not decoded, so no alias in it is followed.
func parseCommand(data []byte) ([]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, &syntaxError{err}
	}
	node := commandNode(doc)
	if node == nil {
		return nil, errNoCommand
	}
	words, err := wordsOf(node)
	if err != nil {
		return nil, err
	}
	return words, checkWords(words)
}

// commandNode returns the value of the key in the top level of a document, or nil.
func commandNode(doc yaml.Node) *yaml.Node {
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	pairs := doc.Content[0].Content
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i].Value == commandKey {
			return pairs[i+1]
		}
	}
	return nil
}

func wordsOf(node *yaml.Node) ([]string, error) {
	switch {
	case node.Kind == yaml.SequenceNode:
		var words []string
		for _, n := range node.Content {
			if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
				return nil, errors.New(commandKey + " must be a sequence of strings")
			}
			words = append(words, n.Value)
		}
		if len(words) == 0 {
			return nil, errMalformed
		}
		return words, nil
	case node.Kind == yaml.ScalarNode && node.Tag == "!!str":
		words, ok := split(node.Value)
		if !ok || strings.TrimSpace(node.Value) == "" {
			return nil, errMalformed
		}
		return words, nil
	}
	return nil, errors.New(commandKey + " must be a string or sequence")
}

// split splits a command as a shell does, with single and double quotes in which
// everything stands for itself. It reports whether each quote is closed.
func split(text string) (words []string, ok bool) {
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n' || r == '\r'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words, quote == 0
}

// checkWords reports words that are no command.
func checkWords(words []string) error {
	if words[0] == "" {
		return errors.New(commandKey + " parsed to an empty command")
	}
	for i, w := range words {
		switch {
		case strings.ContainsAny(w, "\r\n\x00"):
			return errors.New("invalid " + commandKey + ": contains newline")
		case w == placeholder && (i == 0 || i != len(words)-1):
			return errors.New("invalid " + commandKey + ": '" + placeholder + "' placeholder must be trailing")
		}
	}
	if !strings.HasPrefix(words[0], "/") {
		return errors.New(commandKey + " executable must be an absolute path")
	}
	return nil
}

// arguments returns the words after the program. Without a placeholder the agent has to ask for
// exactly those that are written down. In the place of one it may put text, and no options: many
// programs have one that names a file to read or to write.
func arguments(fixed, asked []string, most int) ([]string, error) {
	if len(fixed) == 0 || fixed[len(fixed)-1] != placeholder {
		if !slices.Equal(fixed, asked) {
			return nil, fmt.Errorf("arguments mismatch: configured %s vs requested %s", quoted(fixed), quoted(asked))
		}
		return fixed, nil
	}
	size := 0
	for _, a := range asked {
		size += len(a)
		switch {
		case strings.HasPrefix(a, "-"):
			return nil, fmt.Errorf("argument %q: words in the place of %s may not begin with a hyphen", a, placeholder)
		case strings.Contains(a, "\x00"):
			return nil, errors.New("an argument holds a NUL")
		}
	}
	if len(asked) > most || size > maxArgBytes {
		return nil, fmt.Errorf("%d arguments of %d bytes: at most %d of %d bytes may stand in the place of %s", len(asked), size, most, maxArgBytes, placeholder)
	}
	return append(slices.Clone(fixed[:len(fixed)-1]), asked...), nil
}

// quoted returns words as a list for messages.
func quoted(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = fmt.Sprintf("%q", w)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// resolve returns the program that a path leads to. It lies in a safe directory, and
// nobody but the user and root can write it.
func (s Settings) resolve(path string) (string, error) {
	program, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("notifications executable '%s': %s", path, reason(err))
	}
	dir := filepath.Dir(program)
	if !slices.Contains(canonical(s.SafeDirs), dir) || s.isWritten(program) {
		return "", fmt.Errorf("notifications executable '%s' is not in a safe directory", program)
	}
	info, err := os.Stat(program)
	if err != nil {
		return "", fmt.Errorf("notifications executable '%s': %s", program, reason(err))
	}
	if err := trust.CheckOwn(program, info); err != nil {
		return "", fmt.Errorf("notifications executable '%s': %s", program, reason(err))
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm()&0o002 != 0 {
		return "", fmt.Errorf("notifications executable '%s' is in a directory that everybody can write", program)
	}
	return program, nil
}

// canonical returns directories without links, those that there are.
func canonical(dirs []string) []string {
	var list []string
	for _, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil && filepath.IsAbs(dir) {
			list = append(list, real)
		}
	}
	return list
}
