package fork

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/panes"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

func TestChooseRunner(t *testing.T) {
	for _, tt := range []struct {
		c    RunnerChoice
		want Runner
	}{
		{RunnerChoice{GOOS: "linux", Panes: 1}, RunnerInline},
		{RunnerChoice{GOOS: "linux", Panes: 1, Asked: "auto", HasTmux: true}, RunnerInline},
		{RunnerChoice{GOOS: "linux", Panes: 1, HasTmux: true, ForceTmux: true}, RunnerTmux},
		{RunnerChoice{GOOS: "darwin", Panes: 4, HasTmux: true}, RunnerTmux},
		{RunnerChoice{GOOS: "linux", Panes: 1, Asked: "tmux", HasTmux: true}, RunnerTmux},
		{RunnerChoice{GOOS: "linux", Panes: 4, Asked: "plain"}, RunnerPlain},
		{RunnerChoice{GOOS: "windows", Panes: 4, Asked: "plain"}, RunnerPlain},
		{RunnerChoice{GOOS: "windows", Panes: 4}, RunnerWindows},
		{RunnerChoice{GOOS: "windows", Panes: 1, ForceTmux: true}, RunnerInline},
	} {
		got, err := tt.c.Choose()
		require.NoError(t, err, "%+v", tt.c)
		require.Equal(t, tt.want, got, "%+v", tt.c)
	}
	for _, c := range []RunnerChoice{
		{GOOS: "linux", Panes: 2}, {GOOS: "linux", Panes: 1, ForceTmux: true}, {GOOS: "linux", Panes: 1, Asked: "tmux"},
	} {
		_, err := c.Choose()
		require.ErrorAs(t, err, new(*panes.TmuxMissingError), "%+v", c)
	}
	for _, c := range []RunnerChoice{
		{GOOS: "linux", Panes: 1, Asked: "inline", HasTmux: true}, {GOOS: "windows", Panes: 2, Asked: "tmux"}, {GOOS: "linux", Panes: 2, Asked: "zellij", HasTmux: true},
	} {
		_, err := c.Choose()
		require.ErrorAs(t, err, new(*RunnerError), "%+v", c)
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		total         int64
		panes, each   int
		memory, procs int64
	}{
		{0, 4, 2, 0, 3072},
		{64 * gib, 4, 2, (64*gib - 64*gib/5) / 8, 3072},
		{4 * gib, 2, 2, 3 * gib / 4, 6144},
		{8 * gib, 8, 3, containerMin, 1024},
		{16 * gib, 1, 1, 16*gib - 16*gib/5, plan.DefaultPids},
		{1 * gib, 64, 6, containerMin, pidsMin},
		{1 * gib, 0, 0, containerMin, plan.DefaultPids},
	} {
		memory, procs := Limits(tt.total, tt.panes, tt.each)
		require.Equal(t, tt.memory, memory, "%+v", tt)
		require.Equal(t, tt.procs, procs, "%+v", tt)
	}
	// Together they leave the machine something, unless the least counts.
	for total := 4 * gib; total < 256*gib; total *= 2 {
		for n := 1; n < 30; n++ {
			memory, _ := Limits(total, n, 2)
			require.True(t, memory == containerMin || memory*int64(n)*2 <= total-gib/2-total/10, "%d bytes, %d panes", total, n)
		}
	}
}

func TestCanBorrow(t *testing.T) {
	for dir, want := range map[string]bool{
		"/src/.git/objects": true, "/workspaces/x": true, "/optional": true, "/run/user/1/objects": true,
		"/workspace": false, "/workspace/.git/objects": false, "/opt/aifo/x": false, "/run/aifo/x": false, "/var/cache/aifo/x": false, "/proc/1": false, "/dev/shm/x": false,
	} {
		require.Equal(t, want, canBorrow(dir, "linux"), dir)
		require.False(t, canBorrow(dir, "windows"), dir)
	}
}

func TestStagger(t *testing.T) {
	require.False(t, Stagger(0, 0, 8), "unknown")
	require.False(t, Stagger(8*gib, 16*gib, 8))
	require.True(t, Stagger(8*gib-1, 16*gib, 8))
	require.True(t, Stagger(7*gib, 64*gib, 2), "an eighth of the machine")
	require.False(t, Stagger(8*gib, 64*gib, 2))
}

func TestPaneEnviron(t *testing.T) {
	got := paneEnviron(
		[]string{"A=1", "TERM=given", "TMUX=given", "PWD=/given", "B=x=y\nz", "EMPTY=", "=C:=C:\\", "", "TERMINFO=/t"},
		[]string{"A=own", "TERM=own", "TMUX_PANE=%1", "HOME=/own"})
	require.Equal(t, []string{"A=1", "B=x=y\nz", "EMPTY=", "TERMINFO=/t", "TERM=own", "TMUX_PANE=%1"}, got)
}

func TestAnswerTo(t *testing.T) {
	for _, tt := range []struct {
		key           byte
		failed, shell bool
		want          answer
	}{
		{'\r', false, true, leave}, {'\n', false, false, leave}, {3, false, false, leave}, {'q', false, false, leave},
		{'x', false, true, stay}, {'s', false, false, stay}, {'s', false, true, openShell}, {'S', true, true, openShell},
		{'s', true, false, leave}, {'x', true, true, leave},
	} {
		require.Equal(t, tt.want, answerTo(tt.key, tt.failed, tt.shell), "%+v", tt)
	}
}

func TestPaneList(t *testing.T) {
	require.Equal(t, "pane 3", paneList([]int{3}))
	require.Equal(t, "panes 1, 3", paneList([]int{1, 3}))
}
