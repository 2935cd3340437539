// Package buildinfo tells which version of aifo-coder this is.
package buildinfo

import "runtime/debug"

// version is set by the linker (see the Makefile).
var version string

// Version returns the version of this build: the one that the Makefile set,
// else the module's version or revision, else "devel".
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}
