//go:build linux

package cli_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository is the root of the repository, seen from this package.
const repository = "../.."

// languages are the words after ``` that the documents may have. A block of bash is commands, one a line; in one of
// console those are the lines after a prompt, and the others what they print; the others have no commands.
var languages = map[string]func(line string) (command string, ok bool){
	"bash":    func(line string) (string, bool) { return line, strings.TrimSpace(line) != "" },
	"console": func(line string) (string, bool) { return strings.CutPrefix(line, "$ ") },
	"json":    noCommand,
	"text":    noCommand,
	"toml":    noCommand,
	"yaml":    noCommand,
}

func noCommand(string) (string, bool) { return "", false }

// docBlock is a fenced block of a document.
type docBlock struct {
	file     string // below the repository
	number   int    // of the line that opens it
	language string
	lines    []string
}

func (b docBlock) String() string { return fmt.Sprintf("%s:%d", b.file, b.number) }

func (b docBlock) text() string { return strings.Join(b.lines, "\n") }

// docCommand is a line that a reader may type.
type docCommand struct {
	file   string
	number int
	line   string
}

func (c docCommand) String() string { return fmt.Sprintf("%s:%d", c.file, c.number) }

// bare is the line without its comment.
func (c docCommand) bare() string {
	line, _, _ := strings.Cut(c.line, " #")
	return strings.TrimSpace(line)
}

// commands returns those of the block; none where its language is not known.
func (b docBlock) commands() []docCommand {
	commandOf := languages[b.language]
	if commandOf == nil {
		return nil
	}
	var list []docCommand
	for i, line := range b.lines {
		if command, ok := commandOf(line); ok {
			list = append(list, docCommand{b.file, b.number + 1 + i, command})
		}
	}
	return list
}

// documents returns the text of each, by its place in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md"} {
		paths, err := filepath.Glob(filepath.Join(repository, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			file, err := filepath.Rel(repository, path)
			require.NoError(t, err)
			texts[file] = string(text)
		}
	}
	return texts
}

// documentedBlocks returns the blocks of all documents.
func documentedBlocks(t *testing.T) []docBlock {
	t.Helper()
	var blocks []docBlock
	texts := documents(t)
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		blocks = append(blocks, fencedBlocks(file, texts[file])...)
	}
	return blocks
}

func fencedBlocks(file, text string) []docBlock {
	var blocks []docBlock
	open := false
	for i, line := range strings.Split(text, "\n") {
		language, fence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case fence && !open:
			blocks = append(blocks, docBlock{file: file, number: i + 1, language: language})
		case !fence && open:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		}
		open = open != fence
	}
	return blocks
}

// TestDocumentedBlocks: each has a language, which tells whether it is commands, and a command is one line.
func TestDocumentedBlocks(t *testing.T) {
	for _, b := range documentedBlocks(t) {
		if languages[b.language] == nil {
			t.Errorf("%s: the block is in %q; mark commands as bash, or as console with a prompt and their output, and what is no command as text", b, b.language)
			continue
		}
		for _, c := range b.commands() {
			if strings.HasSuffix(c.line, `\`) {
				t.Errorf("%s: the command goes on in the next line; have it in one", c)
			}
		}
	}
}

var targetRE = regexp.MustCompile("`make ([a-z-]+)`")

// documentedTargets returns the targets of make that the prose of the documents names.
func documentedTargets(t *testing.T) map[string][]string {
	t.Helper()
	targets := map[string][]string{}
	for file, text := range documents(t) {
		for _, m := range targetRE.FindAllStringSubmatch(text, -1) {
			targets[file] = append(targets[file], m[1])
		}
	}
	return targets
}
