package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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

	"github.com/aifo-coder/aifo-coder/internal/agent"
	"github.com/aifo-coder/aifo-coder/internal/config"
	"github.com/aifo-coder/aifo-coder/internal/envtable"
	"github.com/aifo-coder/aifo-coder/internal/toolchain"
)

// repository is the root of the repository, seen from this package.
const repository = "../.."

// references are the documents that name everything; the manual pages are one.
var references = []string{"docs/cli.md", "man"}

// readReference returns a document, manual pages without their markup: fonts and
// the escape that makes a hyphen a minus sign.
func readReference(t *testing.T, name string) string {
	t.Helper()
	if name != "man" {
		data, err := os.ReadFile(filepath.Join(repository, name))
		require.NoError(t, err)
		return string(data)
	}
	pages, err := filepath.Glob(filepath.Join(repository, "man", "*.1"))
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	var b strings.Builder
	for _, page := range pages {
		data, err := os.ReadFile(page)
		require.NoError(t, err)
		b.Write(data)
	}
	text := regexp.MustCompile(`\\f[BIRP]`).ReplaceAllString(b.String(), "")
	return strings.ReplaceAll(text, `\-`, "-")
}

// tree returns every command with its flags, cobra's own among them.
func tree() []*cobra.Command {
	a := &app{}
	root := a.root()
	root.InitDefaultHelpCmd()
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
			if c.Hidden || c.IsAdditionalHelpTopicCommand() || c.HasSubCommands() && c.HasParent() {
				continue
			}
			if !re.MatchString(text) {
				t.Errorf("%s does not describe the command %q", name, c.CommandPath())
			}
		}
	}
}

var flagRE = regexp.MustCompile(`(^|[^\w-])(--[a-z][a-z0-9-]*)`)

// othersFlags are those of apparmor_parser and git.
var othersFlags = []string{"--replace", "--set-upstream-to"}

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
			if !flags[flag] && !slices.Contains(othersFlags, flag) {
				t.Errorf("%s names the flag %s, which does not exist", name, flag)
			}
		}
	}
}

// kindVariables are put together from a kind.
func kindVariables() map[string]bool {
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
	return names
}

// notRead are packages whose variables are those of tests, and the table itself.
var notRead = []string{"envtable", "fakedocker", "gittest"}

// usedVariables returns the names in the code of what users have: those in string literals that begin
// with AIFO_, and those of which the environment is asked.
func usedVariables(t *testing.T) map[string]bool {
	t.Helper()
	names := kindVariables()
	for _, dir := range []string{"internal", "shims"} {
		err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains(notRead, d.Name()):
				return fs.SkipDir
			case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
				addVariables(t, path, names)
			}
			return nil
		})
		require.NoError(t, err)
	}
	return names
}

var (
	variableRE = regexp.MustCompile(`AIFO_[A-Z0-9_]+`)
	nameRE     = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)
)

func addVariables(t *testing.T, file string, names map[string]bool) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				value, err := strconv.Unquote(n.Value)
				require.NoError(t, err)
				for _, name := range variableRE.FindAllString(value, -1) {
					names[name] = true
				}
			}
		case *ast.CallExpr:
			if name := asked(n); name != "" {
				names[name] = true
			}
		}
		return true
	})
}

// asked returns the variable of a call that asks the environment for one by its name.
func asked(call *ast.CallExpr) string {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) != 1 || !slices.Contains([]string{"Get", "Getenv", "LookupEnv", "absolute"}, f.Sel.Name) {
		return ""
	}
	lit, ok := call.Args[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil || !nameRE.MatchString(value) {
		return ""
	}
	return value
}

// prefixes are names in the code that only begin those of variables, and what the table has for them.
var variablePrefixes = map[string]string{
	"AIFO_ENV_": "AIFO_ENV_NAME", "AIFO_CALL_ENV_": "AIFO_CALL_ENV_NAME", "AIFO_CALL_HEX_": "AIFO_CALL_HEX_NAME",
	"AIFO_CALL_": "AIFO_CALL_ENV_NAME", "AIFO_": "AIFO_ENV_NAME",
}

// TestTableHasEveryVariable: the code reads what the table has, and the table nothing else of ours.
func TestTableHasEveryVariable(t *testing.T) {
	listed := map[string]bool{}
	for _, g := range envtable.Groups() {
		for _, v := range g.Variables {
			for _, n := range v.Names {
				listed[n] = true
			}
		}
	}
	used := map[string]bool{}
	for name := range usedVariables(t) {
		if whole, ok := variablePrefixes[name]; ok {
			name = whole
		} else if strings.HasPrefix(name, "AIFO_ENV_") {
			name = "AIFO_ENV_NAME"
		}
		used[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !listed[name] {
			t.Errorf("internal/envtable does not have the variable %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if strings.HasPrefix(name, "AIFO_") && !used[name] {
			t.Errorf("internal/envtable has the variable %s, which nothing reads or sets", name)
		}
	}
	for _, ag := range agent.All() {
		for _, name := range ag.Credentials {
			if !listed[name] {
				t.Errorf("internal/envtable does not have %s, which %s gets", name, ag.Name)
			}
		}
	}
	text := readReference(t, "docs/cli.md")
	for _, name := range slices.Sorted(maps.Keys(setOf(variableRE.FindAllString(text, -1)))) {
		if !listed[name] && !strings.HasPrefix(name, "AIFO_ENV_") {
			t.Errorf("docs/cli.md names the variable %s, which internal/envtable does not have", name)
		}
	}
}

func setOf(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}

// TestTableNamesFlags: a variable stands for a flag that there is, and the key of the configuration agrees.
func TestTableNamesFlags(t *testing.T) {
	flags := Tree().PersistentFlags()
	for _, g := range envtable.Read() {
		for _, v := range g.Variables {
			if v.Flag != "" && flags.Lookup(v.Flag) == nil {
				t.Errorf("%s stands for --%s, which does not exist", v.Names[0], v.Flag)
			}
		}
	}
	for _, k := range config.Keys() {
		require.Equal(t, k.Variables, envtable.ByFlag(k.Name), k.Name)
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
