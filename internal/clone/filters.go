package clone

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/git"
)

// askedFilters returns the filters that attributes ask for, each with the paths for which
// they do, in their order. options are those of git check-attr.
func askedFilters(ctx context.Context, s git.Shadow, paths []string, options ...string) (map[string][]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	c := s.Git(slices.Concat([]string{"check-attr"}, options, []string{"-z", "--stdin", "filter"})...)
	c.Stdin = pathList(paths)
	out, err := c.Output(ctx)
	if err != nil {
		return nil, err
	}
	return parseAttributes(out), nil
}

// parseAttributes reads the output of git check-attr -z: path, NUL, attribute, NUL, value, NUL.
func parseAttributes(out []byte) map[string][]string {
	values := map[string][]string{}
	for triple := range slices.Chunk(bytes.Split(out, []byte{0}), 3) {
		if len(triple) < 3 {
			break
		}
		switch value := string(triple[2]); value {
		case "unspecified", "unset", "set":
		default:
			values[value] = append(values[value], string(triple[0]))
		}
	}
	return values
}

// hasFilter says whether a setting defines what a filter runs.
func hasFilter(list git.Settings, name string, own bool) bool {
	return slices.ContainsFunc(list, func(s git.Setting) bool {
		what, ok := strings.CutPrefix(s.Key, "filter."+name+".")
		return ok && s.Own == own && s.Value != "" && (what == "process" || what == "smudge" || what == "clean")
	})
}

// filterWarnings tells of filters that do not run because only the repository defines them.
func filterWarnings(list git.Settings, asked map[string][]string) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if !hasFilter(list, name, true) || hasFilter(list, name, false) {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("the filter %q is defined by the repository's own configuration only, and did not run for %s; "+
			"if you trust it, define it in yours: git config --global filter.%s.clean …", name, count(asked[name]), name))
	}
	return warnings
}

// count returns words for a list of files.
func count(paths []string) string {
	if len(paths) == 1 {
		return fmt.Sprintf("%q", paths[0])
	}
	return fmt.Sprintf("%d files (%q and others)", len(paths), paths[0])
}
