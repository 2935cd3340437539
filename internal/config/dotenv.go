package config

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/aifo-coder/aifo-coder/internal/plan"
)

var assignment = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$`)

// ParseEnv reads a repository's file of NAME=VALUE lines. The file is the application's
// own, so only the names that concern aifo-coder are looked at, and what is not understood is
// passed over. Nothing in a value is expanded or run. Of two lines for a name the last counts.
func ParseEnv(name string, data []byte) []Setting {
	var list []Setting
	at := map[string]int{}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		m := assignment.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		value, ok := envValue(m[2])
		s, known := envSetting(m[1], value)
		if !ok || !known {
			continue
		}
		s.File, s.Line, s.Values = name, number, []string{value}
		if i, again := at[m[1]]; again {
			list[i] = s
			continue
		}
		at[m[1]] = len(list)
		list = append(list, s)
	}
	return list
}

// envValue returns the value of a line: in quotes as it is there, else up to a comment. One with an
// expansion in it would mean something else to the application, and is not taken.
func envValue(text string) (value string, ok bool) {
	if text == "" {
		return "", false
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		end := strings.IndexByte(text[1:], quote)
		if end < 0 {
			return "", false // of several lines
		}
		value = text[1 : 1+end]
		rest := strings.TrimSpace(text[2+end:])
		if rest != "" && !strings.HasPrefix(rest, "#") || quote == '"' && strings.ContainsAny(value, "\\$`") {
			return "", false
		}
	} else {
		value, _, _ = strings.Cut(text, " #")
		if value = strings.TrimSpace(value); strings.HasPrefix(value, "#") || strings.ContainsAny(value, "\\$`\"'") {
			return "", false
		}
	}
	return value, value != "" && len(value) <= maxValue && !strings.ContainsFunc(value, unicode.IsControl)
}

// envSetting returns what a variable of a repository's file sets, or false where it sets
// nothing of ours.
func envSetting(name, value string) (Setting, bool) {
	s := Setting{Name: name, Variable: name, Origin: DotEnv, Approval: true}
	k, isKey := keyOf(name)
	switch {
	case isKey && !k.Own:
		s.Key, s.Gives = k.Name, k.Gives
	case isKey:
		return s, false
	case kindOf(name, plan.VersionVariables):
		s.Approval = false
	case kindOf(name, plan.ImageVariables):
		s.Gives = "tools run in an image that the repository chooses"
	case isModel(name, value):
		s.Variable, s.Approval = plan.EnvPrefix+name, false
	case IsCredential(name):
		s.Gives = variableGives(name)
	default:
		return s, false
	}
	return s, true
}
