package foreign

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// realIndex returns an index that git writes, and what git says is in it.
func realIndex(t testing.TB, format, version string) (content []byte, entries string) {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "HOME="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	run("init", "-q", "--object-format="+format)
	for i := range 40 {
		name := filepath.Join(dir, strings.Repeat("d/", i%3), fmt.Sprintf("file-%s%d", strings.Repeat("x", i*5), i))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(name), 0o644))
	}
	run("update-index", "--index-version", version)
	run("add", ".")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "intended"), nil, 0o755))
	run("add", "-N", "intended") // has further flags, from version 3 on
	content, err := os.ReadFile(filepath.Join(dir, ".git/index"))
	require.NoError(t, err)
	return content, run("ls-files", "--stage", "-z")
}

func TestParseIndex(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		for _, version := range []string{"2", "3", "4"} {
			t.Run(format+" "+version, func(t *testing.T) {
				content, want := realIndex(t, format, version)
				list, err := parseIndex(content, format)
				require.NoError(t, err)
				var got strings.Builder
				for _, e := range list {
					fmt.Fprintf(&got, "%06o %s %d\t%s\x00", e.mode, e.object, e.stage, e.path)
				}
				require.Equal(t, want, got.String())

				skipped := append([]byte{}, content...)
				clear(skipped[len(skipped)-hexLen(format)/2:])
				again, err := parseIndex(skipped, format)
				require.NoError(t, err, "a checksum of zeros is that of index.skipHash")
				require.Equal(t, list, again)

				for n := range content {
					cut := append([]byte{}, content[:n]...)
					cut = append(cut, make([]byte, hexLen(format)/2)...)
					short, err := parseIndex(cut, format)
					require.True(t, err != nil || len(short) == len(list), "cut after %d", n)
				}
			})
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	for _, version := range []string{"2", "3", "4"} {
		content, _ := realIndex(f, "sha1", version)
		f.Add(content)
	}
	f.Fuzz(func(_ *testing.T, content []byte) {
		if len(content) > 20 { // so that the checksum does not keep everything out
			clear(content[len(content)-20:])
		}
		_, _ = parseIndex(content, "sha1")
	})
}

func TestCleanName(t *testing.T) {
	seen := map[string]bool{}
	for _, ref := range []string{"refs/heads/a", "refs/heads/A", "refs/heads/a/b", "refs/heads/a-b", "refs/heads/-x", "refs/heads/..", "refs/heads/ü",
		"refs/heads/ö", "refs/tags/a", "refs/heads/tags/a", "refs/heads/" + strings.Repeat("x", 300), "refs/heads/" + strings.Repeat("x", 301), "refs/heads/a.lock"} {
		name := cleanName(ref)
		require.Regexp(t, `^[a-z0-9]+(-[a-z0-9]+)*$`, name)
		require.LessOrEqual(t, len(name), 80)
		require.False(t, seen[name], name)
		require.True(t, validRef("refs/heads/x--"+name))
		seen[name] = true
	}
	require.Equal(t, "a-b", cleanName("refs/heads/a-b"))
}

func TestValidRef(t *testing.T) {
	for name, want := range map[string]bool{
		"refs/heads/main": true, "refs/heads/-x": true, "refs/heads/ü/x.y": true, "refs/stash": true,
		"HEAD": false, "refs/heads/a..b": false, "refs/heads/.a": false, "refs/heads/a.lock": false, "refs/heads/a.lock/b": false,
		"refs/heads/a b": false, "refs/heads/a\n": false, "refs/heads/a~1": false, "refs/heads/a^": false, "refs/heads/a:b": false,
		"refs/heads//a": false, "refs/heads/a/": false, "refs/heads/a.": false, "refs/heads/@{": false, "refs/heads/a\\b": false,
		"refs/heads/a?": false, "refs/heads/a*": false, "refs/heads/a[": false, "refs/heads/\x7f": false, "../x": false,
	} {
		require.Equal(t, want, validRef(name), name)
		cmd := exec.Command("git", "check-ref-format", name)
		if strings.HasPrefix(name, "refs/") {
			require.Equal(t, want, cmd.Run() == nil, "git thinks otherwise of %q", name)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü": "plain ü", "a\x1b[2J": `a\x1b[2J`, "a\nb": `a\nb`, "\xff": `\xff`, "\u202e": `\u202e`, "\u0085": `\u0085`,
	} {
		require.Equal(t, want, Printable(in))
	}
}

// TestPathsThatGrow has an index of version 4 in which each path is the one before and a letter more.
func TestPathsThatGrow(t *testing.T) {
	const count = 5000
	content := append([]byte("DIRC\x00\x00\x00\x04"), binary.BigEndian.AppendUint32(nil, count)...)
	for range count {
		content = append(content, make([]byte, indexStat+20+2)...)
		content = append(content, 0, 'x', 0) // nothing goes away, one letter is added
	}
	_, err := parseIndex(append(content, make([]byte, 20)...), "sha1")
	require.ErrorIs(t, err, errLongPath)
}
