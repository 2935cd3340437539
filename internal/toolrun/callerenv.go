//go:build linux

package toolrun

import (
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// callerEnv returns env with the caller's variables, which a docker exec carries
// in wraps, in place of ours of the same name.
func callerEnv(env []string) []string {
	var own, callers []string
	for _, v := range env {
		if plain, ok := execproto.UnwrapEnv(v); ok {
			callers = append(callers, plain)
		} else {
			own = append(own, v)
		}
	}
	for _, v := range callers {
		name, value, _ := strings.Cut(v, "=")
		own = setenv(own, name, value)
	}
	return own
}
