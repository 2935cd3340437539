//go:build unix

package dockerargs_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
)

// split lets a real shell split the line and returns its words.
func split(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+line).Output()
	require.NoError(t, err, "%q", line)
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

func TestQuote(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want string
	}{
		{[]string{"docker", "run", "--init", "a=b,c:d/e@f+g%h_1"}, "docker run --init a=b,c:d/e@f+g%h_1"},
		{[]string{"a b"}, "'a b'"},
		{[]string{""}, "''"},
		{[]string{"it's"}, `'it'\''s'`},
		{[]string{"'"}, `''\'''`},
		{[]string{"x", "~", "*", "$HOME"}, "x '~' '*' '$HOME'"},
		{nil, ""},
	} {
		require.Equal(t, tt.want, dockerargs.Quote(tt.argv))
	}
}

func TestQuoteThroughShell(t *testing.T) {
	argv := []string{
		"docker", "", " ", "a b", "'", "''", "a'b", `"`, `\`, `\'`, `a\`, "$HOME", "$(exit 1)", "`exit 1`", "*", "?", "[a]", "~", "~root",
		"{a,b}", "!x", "#c", "a#", ";", "&", "|", "<", ">", "(", ")", "-n", "--", "-", "a=b", "%s", `\0`, `\n`, "new\nline", "\n", "tab\t",
		"carriage\r", "ünïcödé", "日本", "not-utf8-\xff\xfe", "\x01\x1b[31m", "type=bind,\"source=/a,b\",target=/w", strings.Repeat("x", 100_000),
	}
	require.Empty(t, cmp.Diff(argv, split(t, dockerargs.Quote(argv))))
}

func FuzzQuote(f *testing.F) {
	for _, w := range []string{"", "a", "it's", "$x", "a\nb", `\'`, "\xff", "~", "{a,b}"} {
		f.Add(w, w)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			t.Skip("an argument cannot hold NUL")
		}
		argv := []string{a, b}
		if diff := cmp.Diff(argv, split(t, dockerargs.Quote(argv))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
