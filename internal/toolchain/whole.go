package toolchain

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// checkWhole reports parts of the kind that do not go together. They can come
// from several definitions, so it is asked of a kind with all its additions.
func (k Kind) checkWhole() error {
	return errors.Join(k.checkCachePairs(), k.checkPlaceholders(), k.checkFetchTools())
}

func (k Kind) checkCachePairs() error {
	for i, a := range k.Caches {
		for _, b := range k.Caches[:i] {
			switch {
			case a.Volume == b.Volume:
				return fmt.Errorf("two caches have the volume %s; give each its own", a.Volume)
			case strings.HasPrefix(a.Link+"/", b.Link+"/"), strings.HasPrefix(b.Link+"/", a.Link+"/"):
				return fmt.Errorf("the cache links %s and %s are in each other's way", b.Link, a.Link)
			}
		}
	}
	return nil
}

// placeholderRE is what looks like a cache's variable in a value.
var placeholderRE = regexp.MustCompile(`\{[A-Z_][A-Z0-9_]*\}`)

func (k Kind) checkPlaceholders() error {
	var known []string
	for _, c := range k.Caches {
		if c.Env != "" {
			known = append(known, "{"+c.Env+"}")
		}
	}
	there := "none names any"
	if len(known) > 0 {
		there = "there is " + strings.Join(known, ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(k.Env)) {
		for _, p := range placeholderRE.FindAllString(k.Env[name], -1) {
			if !slices.Contains(known, p) {
				return fmt.Errorf("the variable %s has %s, which no cache of the kind names; %s", name, p, there)
			}
		}
	}
	return nil
}

func (k Kind) checkFetchTools() error {
	tools := k.ToolNames()
	for _, f := range k.Fetch {
		for _, call := range f.Calls {
			if tool := strings.Fields(call)[0]; !slices.Contains(tools, tool) {
				return fmt.Errorf(`"fetch" is for the call %q, but the kind has no tool %q`, call, tool)
			}
		}
	}
	return nil
}
