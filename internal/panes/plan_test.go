package panes

import (
	"encoding/base64"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, lists [][]string) {
	t.Helper()
	var b strings.Builder
	for _, list := range lists {
		b.WriteString(strings.Join(list, "\n  ") + "\n")
	}
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

func windowsSpec(n int, l Layout) Spec {
	s := Spec{Mark: "abc", Name: "aifo-abc", Window: "aifo-fork", Layout: l}
	dirs := []string{`C:\src\proj\pane-1`, `C:\My Files\a;b\pane-2`, `D:\R&D\it's ‘x’\pane-3`, `C:\ü #{x} %PATH%\pane-4`}
	for i := range n {
		s.Panes = append(s.Panes, Pane{
			Index: i + 1, Title: "fork/main/abc-1; x", Dir: dirs[i%len(dirs)],
			Argv: []string{`C:\Program Files\aifo-coder.exe`, "fork", "pane", "--env-file", `C:\T;mp\a b.env`, "abc", "1"},
		})
	}
	return s
}

func TestWindowsTerminalGolden(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		l    Layout
	}{{"wt-1", 1, Tiled}, {"wt-tiled-2", 2, Tiled}, {"wt-tiled-5", 5, Tiled}, {"wt-even-h-3", 3, EvenH}, {"wt-even-v-3", 3, EvenV}} {
		got, err := Windows(WindowsTerminal, windowsSpec(tt.n, tt.l))
		require.NoError(t, err)
		require.Len(t, got, 1)
		golden(t, tt.name+".txt", got)
	}
}

func TestWindowsTerminalRefusesQuotes(t *testing.T) {
	s := windowsSpec(1, Tiled)
	s.Panes[0].Argv[6] = `a"b`
	_, err := Windows(WindowsTerminal, s)
	var argv *ArgvError
	require.ErrorAs(t, err, &argv)
	_, err = Windows(PowerShell, s)
	require.NoError(t, err)
}

// window is what Windows Terminal makes of the splits: columns with rows in them.
type window struct {
	widths  []float64
	heights [][]float64
	focus   int
}

func (w *window) apply(t *testing.T, s split) {
	t.Helper()
	w.focus -= len(s.focus)
	if s.words[0] == "new-tab" {
		w.widths, w.heights = []float64{1}, [][]float64{{1}}
		return
	}
	size, err := strconv.ParseFloat(s.words[3], 64)
	require.NoError(t, err)
	rows := w.heights[w.focus]
	switch s.words[1] {
	case "-V":
		require.Len(t, rows, 1, "only undivided columns are split")
		width := w.widths[w.focus]
		w.widths[w.focus] = width * (1 - size)
		w.focus++
		w.widths = slices.Insert(w.widths, w.focus, width*size)
		w.heights = slices.Insert(w.heights, w.focus, []float64{1})
	case "-H":
		last := rows[len(rows)-1]
		rows[len(rows)-1] = last * (1 - size)
		w.heights[w.focus] = append(rows, last*size)
	}
}

// TestSplitsFillTheWindow: columns are equally wide, the panes of each equally high, and
// no column has two panes more than another.
func TestSplitsFillTheWindow(t *testing.T) {
	for _, l := range []Layout{Tiled, EvenH, EvenV} {
		for n := 1; n <= 30; n++ {
			var w window
			list := splits(l, n)
			require.Len(t, list, n)
			for _, s := range list {
				w.apply(t, s)
			}
			counts := make([]int, 0, n)
			for i, width := range w.widths {
				require.InDelta(t, 1/float64(len(w.widths)), width, 0.02, "%s %d", l, n)
				counts = append(counts, len(w.heights[i]))
				for _, h := range w.heights[i] {
					require.InDelta(t, 1/float64(len(w.heights[i])), h, 0.02, "%s %d", l, n)
				}
			}
			require.LessOrEqual(t, slices.Max(counts)-slices.Min(counts), 1, "%s %d", l, n)
		}
	}
}

func TestPowerShellGolden(t *testing.T) {
	s := windowsSpec(4, Tiled)
	s.Panes[1].Argv[6] = `say "hi" \`
	got, err := Windows(PowerShell, s)
	require.NoError(t, err)
	for _, argv := range got {
		argv[len(argv)-1] = decoded(t, argv[len(argv)-1])
	}
	golden(t, "powershell-4.txt", got)
}

func decoded(t *testing.T, word string) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(word)
	require.NoError(t, err)
	var units []uint16
	for i := 0; i+1 < len(data); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(data[i:]))
	}
	return string(utf16.Decode(units))
}

// TestWindowsWord has the examples of CommandLineToArgvW's documentation, backwards.
func TestWindowsWord(t *testing.T) {
	for word, want := range map[string]string{
		``: `""`, `a`: `a`, `a b`: `"a b"`, `a"b`: `"a\"b"`, `a\b c`: `"a\b c"`, `a b\`: `"a b\\"`, `a\"b`: `"a\\\"b"`, `a\\ b`: `"a\\ b"`,
		`C:\d\`: `C:\d\`,
	} {
		require.Equal(t, want, windowsWord(word), word)
	}
}

func TestChooseWindows(t *testing.T) {
	for _, tt := range []struct {
		orch     string
		terminal bool
		want     string
	}{
		{"", true, WindowsTerminal}, {"", false, PowerShell}, {"powershell", true, PowerShell}, {"wt", false, WindowsTerminal},
	} {
		got, err := ChooseWindows(tt.orch, tt.terminal)
		require.NoError(t, err)
		require.Equal(t, tt.want, got)
	}
	for _, word := range []string{"gitbash", "cmd", "WT"} {
		_, err := ChooseWindows(word, true)
		var orch *OrchError
		require.ErrorAs(t, err, &orch)
		require.NotEmpty(t, orch.Hint())
	}
}

func TestTmuxGolden(t *testing.T) {
	s := Spec{Mark: "abc", Name: SessionName("my.session:1"), Window: "aifo-fork", Layout: EvenH}
	p := Pane{Index: 1, Title: "fork/main/abc-1 #{pid};", Dir: "/r/pane-1", Argv: []string{"/opt/aifo-coder", "fork", "pane", "abc", "1;"}}
	s.Panes = []Pane{p, p}
	golden(t, "tmux.txt", [][]string{
		newSession(s, Size{}), newSession(s, Size{Cols: 80, Rows: 24}), splitPane(EvenH, "%3", p), splitPane(EvenV, "%3", p), splitPane(Tiled, "%3", p),
		newWindow("$2", "aifo-fork", p), arrange(Tiled, "@1"), arrange(EvenH, "@1"), arrange(EvenV, "@1"), setTitle("%3", p.Title),
	})
}

func TestSessionName(t *testing.T) {
	for asked, want := range map[string]string{
		"aifo-abc": "aifo-abc", "a.b:c": "a_b_c", "": "fork", "---": "fork", "-x": "x", "$1": "_1", "=a": "_a", "a b\n\t#{pid}%": "a_b____pid__",
		"nämé": "nämé", "\xff": "_", "@1": "_1", strings.Repeat("ä", 100): strings.Repeat("ä", 60),
	} {
		got := SessionName(asked)
		require.Equal(t, want, got, "%q", asked)
		require.Equal(t, got, SessionName(got))
	}
}

func TestParseLayout(t *testing.T) {
	for word, want := range map[string]Layout{"": Tiled, "tiled": Tiled, "even-h": EvenH, "even-v": EvenV} {
		got, err := ParseLayout(word)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := ParseLayout("main-vertical")
	var layout *LayoutError
	require.ErrorAs(t, err, &layout)
}

func TestAttachArgs(t *testing.T) {
	s := Session{Socket: "/tmp/x/default", ID: "$4", Name: "n"}
	got, err := attachArgs(s, "")
	require.NoError(t, err)
	require.Equal(t, []string{"attach-session", "-t", "$4"}, got)
	got, err = attachArgs(s, "/tmp/x/../x/default,12,0")
	require.NoError(t, err)
	require.Equal(t, []string{"switch-client", "-t", "$4"}, got)
	_, err = attachArgs(s, "/tmp/y/default,12,0")
	var other *OtherServerError
	require.ErrorAs(t, err, &other)
	require.Contains(t, other.Hint(), "tmux -S /tmp/x/default attach-session")
}

func TestCheckSpec(t *testing.T) {
	for _, argv := range [][]string{nil, {"one"}, {"a", "b\x00c"}} {
		s := Spec{Panes: []Pane{{Index: 3, Argv: argv}}}
		var bad *ArgvError
		require.ErrorAs(t, s.check(), &bad)
		require.Equal(t, 3, bad.Index)
	}
}
