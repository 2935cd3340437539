package manpage_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/cli"
	"github.com/aifo-coder/aifo-coder/internal/manpage"
)

func TestEveryCommandHasAPage(t *testing.T) {
	pages := manpage.Pages(cli.Tree())
	for _, name := range []string{"aifo-coder.1", "aifo-coder-aider.1", "aifo-coder-fork-merge.1", "aifo-coder-config-edit.1"} {
		require.Contains(t, pages, name)
	}
	for name := range pages {
		require.NotContains(t, name, "environment", "topics are sections")
		require.NotContains(t, name, "pane-run")
	}
	for _, section := range []string{"COMMANDS", "OPTIONS", "FORK MODE", "TOOLCHAINS", "ENVIRONMENT", "FILES", "EXIT STATUS", "SECURITY", "EXAMPLES", "SEE ALSO"} {
		require.Contains(t, string(pages["aifo-coder.1"]), "\n.SH "+section+"\n")
	}
	require.Contains(t, string(pages["aifo-coder-fork-merge.1"]), `\fB\-\-strategy\fR \fIoctopus|fetch\fR`)
	require.Equal(t, pages, manpage.Pages(cli.Tree()), "a page depends on nothing but the program")
}

// TestTextIsNoRequest: no word of a command's text is taken for an instruction to roff.
func TestTextIsNoRequest(t *testing.T) {
	root := &cobra.Command{Use: "x", Short: "Do it", Run: func(*cobra.Command, []string) {}}
	root.AddCommand(&cobra.Command{
		Use: "y", Short: "Do that", Long: ".so /etc/passwd\n\n'quoted' words and a \\ too\n\n  .block --flag", Run: func(*cobra.Command, []string) {},
	})
	page := string(manpage.Pages(root)["x-y.1"])
	require.Contains(t, page, "\n\\&.so /etc/passwd\n")
	require.Contains(t, page, "\n\\&'quoted' words and a \\e too\n")
	require.Contains(t, page, ".EX\n\\&.block \\-\\-flag\n.EE\n")
}

// program skips the test without a program, and fails it where all tests must run.
func program(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("AIFO_TEST_DOCKER") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func written(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range manpage.Pages(cli.Tree()) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}

// TestPagesPassLint: of mandoc's complaints only those about style may be: lines are longer than 80
// bytes where a term of several names cannot be broken.
func TestPagesPassLint(t *testing.T) {
	program(t, "mandoc")
	pages, err := filepath.Glob(filepath.Join(written(t), "*.1"))
	require.NoError(t, err)
	out, _ := exec.Command("mandoc", append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput()
	require.Empty(t, string(out))
	out, _ = exec.Command("mandoc", append([]string{"-T", "lint"}, pages...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		require.Contains(t, line, "STYLE: input text line longer than 80 bytes")
	}
}

func TestPagesRenderWithoutWarnings(t *testing.T) {
	program(t, "man")
	program(t, "groff")
	pages, err := filepath.Glob(filepath.Join(written(t), "*.1"))
	require.NoError(t, err)
	for _, page := range pages {
		cmd := exec.Command("man", "--warnings", "--encoding=UTF-8", "--local-file", page)
		cmd.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8")
		var warnings strings.Builder
		cmd.Stderr = &warnings
		out, err := cmd.Output()
		require.NoError(t, err, page)
		require.Contains(t, string(out), "NAME")
		require.Empty(t, warnings.String(), page)
	}
}
