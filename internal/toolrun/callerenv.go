//go:build linux

package toolrun

import (
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// callerEnv returns env with the caller's variables, which a docker exec carries
// in wraps, in place of ours of the same name, and without what is for the boot program alone.
func callerEnv(env []string) []string {
	var own, callers []string
	for _, v := range env {
		plain, wrapped := execproto.UnwrapEnv(v)
		switch {
		case wrapped:
			callers = append(callers, plain)
		case !strings.HasPrefix(v, execproto.EnvMounts+"="):
			own = append(own, v)
		}
	}
	for _, v := range callers {
		name, value, _ := strings.Cut(v, "=")
		own = setenv(own, name, value)
	}
	return own
}
