package execproto

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrapEnv(t *testing.T) {
	for _, v := range []string{"FOO=a b", "FOO=", "DOCKER_HOST=tcp://x", "FOO=a=b\nc", "FOO=\xff\x01", "FOO=AIFO_CALL_HEX_X=1"} {
		wrapped := WrapEnv(v)
		if !strings.HasPrefix(wrapped, "AIFO_CALL_") || !utf8.ValidString(wrapped) {
			t.Errorf("%q is wrapped as %q", v, wrapped)
		}
		if got, ok := UnwrapEnv(wrapped); !ok || got != v {
			t.Errorf("%q came back as %q, %v", v, got, ok)
		}
	}
	for _, v := range []string{"FOO=x", "AIFO_EXEC_ID=x", "AIFO_CALL_HEX_FOO=zz"} {
		if got, ok := UnwrapEnv(v); ok {
			t.Errorf("%q became %q", v, got)
		}
	}
}
