package execproto

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Prefixes of a caller's variable on its way through a docker exec, where it
// stands in the environment of the docker command: under its own name it could
// steer that command. The engine's interface carries text, so a value that is
// none goes in hexadecimal.
const (
	wrapPlain = "AIFO_CALL_ENV_"
	wrapHex   = "AIFO_CALL_HEX_"
)

// WrapEnv returns the variable, NAME=value, under a name that no program knows.
func WrapEnv(variable string) string {
	name, value, _ := strings.Cut(variable, "=")
	if utf8.ValidString(value) {
		return wrapPlain + name + "=" + value
	}
	return wrapHex + name + "=" + hex.EncodeToString([]byte(value))
}

// UnwrapEnv is the inverse of WrapEnv. It reports false for other variables.
func UnwrapEnv(variable string) (plain string, ok bool) {
	if v, ok := strings.CutPrefix(variable, wrapPlain); ok {
		return v, true
	}
	v, ok := strings.CutPrefix(variable, wrapHex)
	if !ok {
		return "", false
	}
	name, value, _ := strings.Cut(v, "=")
	b, err := hex.DecodeString(value)
	return name + "=" + string(b), err == nil
}
