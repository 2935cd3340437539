// Package shimbuild makes the shim where this program came without one: "go install"
// builds a module as it is published, and programs are no part of what is published. Who
// has used that command has Go, which makes the shim from the same version of the module,
// with the same check of its content.
package shimbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aifo-coder/aifo-coder/internal/proc"
	"github.com/aifo-coder/aifo-coder/shims"
)

// program is the path of the shim in the module.
const program = "github.com/aifo-coder/aifo-coder/shims/aifo-shim"

// Go is the name of the go command.
const Go = "go"

// NoVersionError says that this build has no shim, and is none that can be made again.
type NoVersionError struct{ *shims.MissingError }

// Hint says how to get a program that has its shims.
func (e *NoVersionError) Hint() string {
	return `in a checkout of aifo-coder run: make build; or install a release`
}

// Build makes the shim for containers of the architecture from the version of the module,
// and puts it where package shims finds it. It returns a *NoVersionError for a version that
// is none of the module's, and a *proc.NotFoundError without Go.
func Build(ctx context.Context, missing *shims.MissingError, cacheDir, version string) error {
	if !strings.HasPrefix(version, "v") || strings.ContainsAny(version, "+/ ") {
		return &NoVersionError{missing}
	}
	target := shims.Built(cacheDir, missing.Arch)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("build the shim: %w", err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(target), ".new-")
	if err != nil {
		return fmt.Errorf("build the shim: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // what is left is a cache's
	if err := install(ctx, temp, missing.Arch, version); err != nil {
		return fmt.Errorf("build the shim with %s install: %w", Go, err)
	}
	built, err := find(temp)
	if err != nil {
		return fmt.Errorf("build the shim: %w", err)
	}
	if err := os.Rename(built, target); err != nil {
		return fmt.Errorf("build the shim: %w", err)
	}
	return nil
}

// install runs the go command, which takes no directory for a program of another platform
// but GOPATH.
func install(ctx context.Context, dir, arch, version string) error {
	modules, err := proc.Output(ctx, proc.Cmd{Argv: []string{Go, "env", "GOMODCACHE"}, Detached: true})
	if err != nil {
		return err
	}
	env := append(os.Environ(), "GOPATH="+dir, "GOMODCACHE="+strings.TrimSpace(string(modules)), "GOBIN=",
		"GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOWORK=off")
	return proc.Run(ctx, proc.Cmd{
		Argv: []string{Go, "install", "-trimpath", "-ldflags", "-s -w", program + "@" + version},
		Env:  env, Dir: dir, Detached: true,
	})
}

// find returns the program below GOPATH: in bin, or in a directory of its platform there.
func find(dir string) (string, error) {
	for _, pattern := range []string{"bin/aifo-shim", "bin/linux_*/aifo-shim"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) == 1 { // the pattern is well-formed
			return found[0], nil
		}
	}
	return "", errors.New("the go command made none for " + runtime.GOOS)
}
