package toolchain

import (
	"errors"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The decoder's messages name our types, which mean nothing to a user.
var (
	unknownKeyRE = regexp.MustCompile(`^line (\d+): field (.*) not found in type \S+$`)
	wrongTypeRE  = regexp.MustCompile("^(line \\d+): cannot unmarshal (!!\\w+)(?: `(.*)`)? into (\\S+)$")
)

// inWords returns an error of the decoder as a user understands it.
func inWords(err error) error {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return err
	}
	list := make([]string, 0, len(wrong.Errors))
	for _, text := range wrong.Errors {
		text = unknownKeyRE.ReplaceAllString(text, `unknown key "$2" in line $1`)
		if m := wrongTypeRE.FindStringSubmatch(text); m != nil {
			text = m[1] + ": " + found(m[2], m[3]) + " cannot stand there: it takes " + wanted(m[4])
		}
		list = append(list, text)
	}
	return errors.New(strings.Join(list, "; "))
}

func found(tag, value string) string {
	switch tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "a key with a value"
	}
	return `"` + value + `"`
}

func wanted(goType string) string {
	switch {
	case goType == "string":
		return "text"
	case goType == "int":
		return "a number"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "keys with values"
}
