package toolchain

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// Fetch gets what an image lacks when a call first asks for it.
type Fetch struct {
	// Calls are how the calls begin that ask for it: a tool, or a tool and its
	// subcommand, separated by a space. Flags may stand between them.
	Calls []string `yaml:"calls"`
	// Have is a command that succeeds where nothing is missing.
	Have []string `yaml:"have"`
	// Get is the command that gets it. Where the image has not even its program,
	// Else is said, if there is anything to say.
	Get  []string `yaml:"get"`
	Else string   `yaml:"else"`
}

// chosenWord stands in the commands of a Fetch for the choice that a call makes
// by a first argument like "+nightly": as --toolchain nightly, or as nothing.
const chosenWord = "{+toolchain}"

// FetchFor returns how to get what the call of a tool of the kind asks for.
func (k Kind) FetchFor(argv []string) (Fetch, bool) {
	words, chosen := callWords(argv)
	for _, f := range k.Fetch {
		if slices.ContainsFunc(f.Calls, func(call string) bool { return begins(words, strings.Fields(call)) }) {
			f.Have, f.Get = withChosen(f.Have, chosen), withChosen(f.Get, chosen)
			return f, true
		}
	}
	return Fetch{}, false
}

// callWords returns the words of a call without its flags, the tool by its name
// alone, and what the call chooses by "+".
func callWords(argv []string) (words []string, chosen string) {
	for i, w := range argv {
		switch {
		case i == 0:
			words = append(words, path.Base(w))
		case i == 1 && strings.HasPrefix(w, "+"):
			chosen = w[1:]
		case !strings.HasPrefix(w, "-"):
			words = append(words, w)
		}
	}
	return words, chosen
}

func begins(words, prefix []string) bool {
	return len(words) >= len(prefix) && slices.Equal(words[:len(prefix)], prefix)
}

func withChosen(command []string, chosen string) []string {
	i := slices.Index(command, chosenWord)
	if i < 0 {
		return command
	}
	var choice []string
	if chosen != "" {
		choice = []string{"--toolchain", chosen}
	}
	return slices.Concat(command[:i], choice, command[i+1:])
}

func (d definition) checkFetch() error {
	for _, f := range d.Fetch {
		if len(f.Calls) == 0 || len(f.Have) == 0 || len(f.Get) == 0 {
			return errors.New(`"fetch" needs "calls", "have" and "get"`)
		}
		for _, w := range slices.Concat(f.Calls, f.Have, f.Get) {
			if strings.TrimSpace(w) == "" || strings.Contains(w, "\x00") {
				return errors.New(`"fetch" has an empty word, or one with a NUL`)
			}
		}
	}
	return nil
}
