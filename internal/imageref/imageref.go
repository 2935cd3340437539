// Package imageref checks image references before they reach an argument
// vector, and tells our own images from everybody's.
package imageref

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// label is a part of the name of a host.
const label = `[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?`

// refRE is the grammar of the distribution project's reference, without its
// length rules: [registry[:port]/]path[:tag][@digest].
var refRE = regexp.MustCompile(`^(?:` + label + `(?:\.` + label + `)*(?::[0-9]+)?/|\[[0-9a-fA-F:]+\](?::[0-9]+)?/)?` +
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

// CheckRegistry returns an error when registry is no place for images: a host,
// with a port or a path or neither. A name without a host would be one on Docker
// Hub, which belongs to whoever registers it first.
func CheckRegistry(registry string) error {
	switch ref := registry + "/image"; {
	case strings.Contains(registry, "@"): // not repeated: it may be a password
		return errors.New("has an \"@\"; leave user and password out, and run: docker login HOST")
	case Check(ref) != nil:
		return fmt.Errorf("%q is not a registry, HOST[:PORT][/PATH]", registry)
	case !Qualified(ref):
		return fmt.Errorf("%q would be a name on Docker Hub; write docker.io/%[1]s if that is meant", registry)
	case !validPort(registry):
		return fmt.Errorf("%q has a port that is not between 1 and 65535", registry)
	}
	return nil
}

// validPort reports whether the port of a registry, if it has one, can be.
func validPort(registry string) bool {
	host, _, _ := strings.Cut(registry, "/")
	_, port, named := strings.Cut(host[strings.LastIndex(host, "]")+1:], ":")
	if !named {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// Qualified reports whether ref names its registry. One that does not is Docker's.
func Qualified(ref string) bool {
	host, _, ok := strings.Cut(ref, "/")
	return ok && (strings.ContainsAny(host, ".:") || host == "localhost")
}

// WithRegistry returns ref with the registry that docker takes for one without: podman takes
// none unless its configuration says so.
func WithRegistry(ref string) string {
	switch {
	case Qualified(ref):
		return ref
	case strings.Contains(ref, "/"):
		return "docker.io/" + ref
	}
	return "docker.io/library/" + ref
}

// FirstParty reports whether ref names, without a registry, an image that this
// project builds. Nobody may pull such a name: on a public registry it would
// belong to whoever registers it first.
func FirstParty(ref string) bool {
	return !strings.Contains(ref, "/") &&
		(strings.HasPrefix(ref, "aifo-coder-") || strings.HasPrefix(ref, "aifo-cpp-toolchain"))
}
