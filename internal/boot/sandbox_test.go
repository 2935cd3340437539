//go:build linux

package boot

import (
	"slices"
	"testing"
)

func TestWithoutSandbox(t *testing.T) {
	off := []string{"--config", "x"}
	for _, tt := range []struct {
		name                 string
		off                  []string
		toolchains, possible bool
		want                 []string
	}{
		{"an agent without a sandbox", nil, true, false, []string{"agent", "exec"}},
		{"it is possible", off, false, true, []string{"agent", "exec"}},
		{"it is not possible", off, false, false, []string{"agent", "--config", "x", "exec"}},
		{"toolchains", off, true, true, []string{"agent", "--config", "x", "exec"}},
	} {
		o := options{Argv: []string{"agent", "exec"}, WithoutSandbox: tt.off}
		o.withoutSandbox(tt.toolchains, func() bool { return tt.possible })
		if !slices.Equal(tt.want, o.Argv) {
			t.Errorf("%s: %q", tt.name, o.Argv)
		}
	}
}
