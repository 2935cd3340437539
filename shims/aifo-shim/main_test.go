//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDependencies keeps the program small and quick to start: it runs once
// for each command that an agent gives.
func TestDependencies(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "list", "-deps", ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for pkg := range strings.FieldsSeq(string(out)) {
			if reason := forbidden(pkg); reason != "" {
				t.Errorf("%s: %s: %s", arch, pkg, reason)
			}
		}
	}
}

func forbidden(pkg string) string {
	heavy := map[string]bool{
		"net/http": true, "log/slog": true, "log": true, "crypto/tls": true, "crypto/rand": true, "os/exec": true,
		"encoding/json": true, "text/template": true, "regexp": true, "net/url": true, "os/user": true, "runtime/cgo": true,
	}
	dot := strings.Contains(strings.SplitN(pkg, "/", 2)[0], ".")
	switch {
	case heavy[pkg]:
		return "too heavy for the shim"
	case strings.HasPrefix(pkg, "github.com/aifo-coder/aifo-coder/"), strings.HasPrefix(pkg, "golang.org/x/sys/"):
		return ""
	case dot:
		return "a module other than golang.org/x/sys"
	}
	return ""
}
