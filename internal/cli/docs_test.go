package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// repository is the root of the repository, seen from this package.
const repository = "../.."

// references are the two documents that name everything.
var references = []string{"docs/cli.md", "man/aifo-coder.1"}

// readReference returns a document, a manual page without its markup: fonts and
// the escape that makes a hyphen a minus sign.
func readReference(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	text := string(data)
	if strings.HasSuffix(name, ".1") {
		text = regexp.MustCompile(`\\f[BIRP]`).ReplaceAllString(text, "")
		text = strings.ReplaceAll(text, `\-`, "-")
	}
	return text
}

// tree returns every command with its flags, cobra's own among them.
func tree() []*cobra.Command {
	a := &app{}
	root := a.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		all = append(all, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return all
}

func TestDocsNameEveryCommand(t *testing.T) {
	for _, name := range references {
		text := readReference(t, name)
		for _, c := range tree() {
			// At the beginning of a line, or of a piece of code in Markdown.
			re := regexp.MustCompile("(?m)(^|`)" + regexp.QuoteMeta(c.CommandPath()) + "($|[ `\n])")
			if c.Hidden || c.HasSubCommands() && c.HasParent() {
				continue
			}
			if !re.MatchString(text) {
				t.Errorf("%s does not describe the command %q", name, c.CommandPath())
			}
		}
	}
}

var flagRE = regexp.MustCompile(`(^|[^\w-])(--[a-z][a-z0-9-]*)`)

func TestDocsNameEveryFlagAndNoOther(t *testing.T) {
	flags := map[string]bool{}
	shorthands := map[string]bool{}
	for _, c := range tree() {
		if c.Hidden {
			continue
		}
		visit := func(f *pflag.Flag) {
			flags["--"+f.Name] = true
			if f.Shorthand != "" {
				shorthands["-"+f.Shorthand] = true
			}
		}
		c.Flags().VisitAll(visit)
		c.PersistentFlags().VisitAll(visit)
	}
	for _, name := range references {
		text := readReference(t, name)
		named := map[string]bool{}
		for _, m := range flagRE.FindAllStringSubmatch(text, -1) {
			named[m[2]] = true
		}
		for _, flag := range slices.Sorted(maps.Keys(flags)) {
			if !named[flag] {
				t.Errorf("%s does not describe the flag %s", name, flag)
			}
		}
		for _, short := range slices.Sorted(maps.Keys(shorthands)) {
			if !regexp.MustCompile("(?m)(^|`)" + short + "`?, ").MatchString(text) {
				t.Errorf("%s does not describe the flag %s", name, short)
			}
		}
		for _, flag := range slices.Sorted(maps.Keys(named)) {
			if !flags[flag] {
				t.Errorf("%s names the flag %s, which does not exist", name, flag)
			}
		}
	}
}

// readers are the packages whose AIFO_ variables concern users.
var readers = []string{"internal/agent", "internal/apparmor", "internal/cli", "internal/execproto", "internal/hostfacts", "internal/notify", "internal/plan", "internal/session", "internal/shim"}

// variables returns the names that begin with AIFO_ in the string literals of
// the readers, and those that are put together from a kind.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, k := range (toolchain.Set{}).Kinds() {
		kind := strings.ToUpper(strings.TrimPrefix(k.Name, "c-"))
		names["AIFO_"+kind+"_TOOLCHAIN_VERSION"] = true
		names["AIFO_"+kind+"_TOOLCHAIN_IMAGE"] = true
		if k.Official != "" {
			names["AIFO_"+kind+"_TOOLCHAIN_USE_OFFICIAL"] = true
		}
	}
	names["AIFO_CCPP_TOOLCHAIN_VERSION"], names["AIFO_CCPP_TOOLCHAIN_IMAGE"] = true, true
	for _, dir := range readers {
		files, err := filepath.Glob(filepath.Join(repository, dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				addVariables(t, file, names)
			}
		}
	}
	return names
}

var variableRE = regexp.MustCompile(`AIFO_[A-Z0-9_]+`)

func addVariables(t *testing.T, file string, names map[string]bool) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	ast.Inspect(parsed, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(lit.Value)
		require.NoError(t, err)
		for _, name := range variableRE.FindAllString(value, -1) {
			names[name] = true
		}
		return true
	})
}

// TestDocsNameEveryVariable also wants that the reference names no variable
// that the code does not know. AIFO_ENV_ is a prefix of names.
func TestDocsNameEveryVariable(t *testing.T) {
	known := variables(t)
	text := readReference(t, "docs/cli.md")
	named := map[string]bool{}
	for _, name := range variableRE.FindAllString(text, -1) {
		if strings.HasPrefix(name, "AIFO_ENV_") {
			name = "AIFO_ENV_"
		}
		named[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !named[name] {
			t.Errorf("docs/cli.md does not describe the variable %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !known[name] {
			t.Errorf("docs/cli.md describes the variable %s, which nothing reads or sets", name)
		}
	}
}

var linkRE = regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)

// TestDocsLinks follows the relative links of all documents to their headings.
func TestDocsLinks(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	require.NoError(t, err)
	top, err := filepath.Glob(filepath.Join(repository, "*.md"))
	require.NoError(t, err)
	for _, file := range append(docs, top...) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range linkRE.FindAllStringSubmatch(string(text), -1) {
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			data, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: the link to %s leads nowhere: %v", file, m[1], err)
				continue
			}
			if m[2] != "" && !slices.Contains(headings(string(data)), m[2]) {
				t.Errorf("%s: %s has no heading #%s", file, target, m[2])
			}
		}
	}
}

// headings returns the anchors of a document's headings, as the usual sites
// make them.
func headings(text string) []string {
	var anchors []string
	other := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchor := other.ReplaceAllString(strings.ToLower(m[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}
