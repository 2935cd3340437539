package execproxy

import (
	"regexp"
	"strings"
)

const hidden = "***"

// secretFlags are followed by a value that must not be logged.
var secretFlags = map[string]bool{"--token": true, "--password": true, "--api-key": true, "--key": true}

// bearer announces a credential, in the same argument or in the next one.
var bearer = regexp.MustCompile(`(?i)bearer(\s|$)`)

// redact returns args without the secrets that can be told by what is around
// them: the value of a secret flag and everything after "bearer".
func redact(args []string) []string {
	out := make([]string, 0, len(args))
	secret := false
	for _, a := range args {
		flag, _, hasValue := strings.Cut(a, "=")
		switch at := bearer.FindStringIndex(a); {
		case secret:
			a, secret = hidden, false
		case at != nil:
			return append(out, a[:at[1]]+hidden)
		case secretFlags[flag] && hasValue:
			a = flag + "=" + hidden
		default:
			secret = secretFlags[a]
		}
		out = append(out, a)
	}
	return out
}
