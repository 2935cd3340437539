//go:build linux

package toolrun

import (
	"slices"
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

func TestCallerEnv(t *testing.T) {
	got := callerEnv([]string{"A=sidecar", "B=b", execproto.EnvMounts + "=1:2:/x", execproto.WrapEnv("A=caller"), execproto.WrapEnv("C=\xff")})
	slices.Sort(got)
	if want := []string{"A=caller", "B=b", "C=\xff"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
