// Package gendocs makes the documents that come from the program itself: the manual pages, the table of
// variables in docs/cli.md and the schemas of the configuration. It reads the repository and
// writes nothing: scripts/gendocs does.
package gendocs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/cli"
	"github.com/aifo-coder/aifo-coder/internal/envtable"
	"github.com/aifo-coder/aifo-coder/internal/manpage"
)

// ManDir is the directory of the manual pages, which has nothing else in it.
const ManDir = "man"

// reference is the document with the table of variables between two marks.
const (
	reference = "docs/cli.md"
	begin     = "<!-- environment: written by \"make docs\" from internal/envtable -->\n"
	end       = "<!-- /environment -->\n"
)

// Files returns the documents of the repository at root as they are to be, by their paths in it.
func Files(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, data := range manpage.Pages(cli.Tree()) {
		files[ManDir+"/"+name] = data
	}
	for name, project := range map[string]bool{"config": false, "project": true} {
		data, err := json.MarshalIndent(cli.Schema(cli.Tree(), project), "", "  ")
		if err != nil {
			return nil, fmt.Errorf("make the schema %s: %w", name, err)
		}
		files["docs/schema/"+name+".json"] = append(data, '\n')
	}
	data, err := os.ReadFile(filepath.Join(root, reference))
	if err != nil {
		return nil, err
	}
	files[reference], err = withTable(string(data))
	return files, err
}

// withTable returns the document with the table of variables as it is in the code.
func withTable(doc string) ([]byte, error) {
	before, rest, ok := strings.Cut(doc, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return nil, fmt.Errorf("%s has no place for the table of variables, between %q and %q", reference, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return []byte(before + begin + "\n" + envtable.Markdown() + end + after), nil
}

// Stale returns the manual pages in the repository that no command has any more.
func Stale(root string, files map[string][]byte) ([]string, error) {
	there, err := filepath.Glob(filepath.Join(root, ManDir, "*"))
	var stale []string
	for _, path := range there {
		name := ManDir + "/" + filepath.Base(path)
		if files[name] == nil {
			stale = append(stale, name)
		}
	}
	return stale, err
}
