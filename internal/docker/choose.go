package docker

import (
	"fmt"
	"slices"
	"strings"
)

// Engines are the command lines that can be asked for.
func Engines() []string { return []string{Program, Podman} }

// CheckEngine returns an error when name is none of Engines, nor empty.
func CheckEngine(name string) error {
	if name != "" && !slices.Contains(Engines(), name) {
		return fmt.Errorf("%q is not an engine; engines are %s", name, strings.Join(Engines(), ", "))
	}
	return nil
}

// Choose returns the command line to use: the one that was asked for, and no other in its
// place; without a wish docker where it is installed, whether its engine answers or not, and
// podman where it is not. installed tells which are on PATH.
func Choose(asked string, installed func(name string) bool) string {
	switch {
	case asked != "":
		return asked
	case !installed(Program) && installed(Podman):
		return Podman
	}
	return Program
}
