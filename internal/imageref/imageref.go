// Package imageref checks image references before they reach an argument
// vector, and tells our own images from everybody's.
package imageref

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// refRE is the grammar of the distribution project's reference, without its
// length rules: [registry[:port]/]path[:tag][@digest].
var refRE = regexp.MustCompile(`^(?:[A-Za-z0-9.-]+(?::[0-9]+)?/|\[[0-9a-fA-F:]+\](?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*` +
	`(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?` +
	`(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`)

// Check returns an error when ref is not an image reference.
func Check(ref string) error {
	if ref == "" {
		return errors.New("the image is empty")
	}
	if strings.HasPrefix(ref, "-") || !refRE.MatchString(ref) {
		return fmt.Errorf("%q is not an image reference", ref)
	}
	return nil
}

// Qualified reports whether ref names its registry. One that does not is Docker's.
func Qualified(ref string) bool {
	host, _, ok := strings.Cut(ref, "/")
	return ok && (strings.ContainsAny(host, ".:") || host == "localhost")
}

// FirstParty reports whether ref names, without a registry, an image that this
// project builds. Nobody may pull such a name: on a public registry it would
// belong to whoever registers it first.
func FirstParty(ref string) bool {
	return !strings.Contains(ref, "/") &&
		(strings.HasPrefix(ref, "aifo-coder-") || strings.HasPrefix(ref, "aifo-cpp-toolchain"))
}
