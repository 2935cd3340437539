//go:build linux

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// published serves the sources as they are here as a version of the module, and returns the environment in which the go command finds it.
func published(t *testing.T, version string) []string {
	t.Helper()
	const path = "github.com/aifo-coder/aifo-coder"
	tree := filepath.Join(t.TempDir(), "tree")
	require.NoError(t, filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel("..", name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "completions"}, rel):
			return filepath.SkipDir
		case !d.Type().IsRegular() || strings.HasPrefix(rel, "shims/bin/aifo-shim-"): // built, and no part of the module
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(tree, rel)), 0o755), os.WriteFile(filepath.Join(tree, rel), data, 0o644))
	}))
	versions := filepath.Join(t.TempDir(), "proxy", path, "@v")
	require.NoError(t, os.MkdirAll(versions, 0o755))
	file, err := os.Create(filepath.Join(versions, version+".zip"))
	require.NoError(t, err)
	require.NoError(t, zip.CreateFromDir(file, module.Version{Path: path, Version: version}, tree))
	require.NoError(t, file.Close())
	goMod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(versions, version+".mod"), goMod, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(versions, "list"), []byte(version+"\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(versions, version+".info"), []byte(`{"Version":"`+version+`"}`), 0o644))

	goEnv := func(name string) string {
		out, err := exec.Command("go", "env", name).Output()
		require.NoError(t, err)
		return strings.TrimSpace(string(out))
	}
	proxy := strings.TrimSuffix(versions, "/"+path+"/@v")
	return []string{
		"GOPROXY=file://" + proxy + ",file://" + goEnv("GOMODCACHE") + "/cache/download," + goEnv("GOPROXY"), "GOSUMDB=off", "GOFLAGS=-modcacherw",
		"GOMODCACHE=" + filepath.Join(t.TempDir(), "modules"), "GOCACHE=" + goEnv("GOCACHE"), "GOTOOLCHAIN=local",
	}
}

// TestGoInstall: what "go install" makes of a version runs tools.
func TestGoInstall(t *testing.T) {
	c := self(t)
	const version = "v0.99.0"
	env := published(t, version)
	bin := t.TempDir()
	install := exec.Command("go", "install", "github.com/aifo-coder/aifo-coder/cmd/aifo-coder@"+version)
	install.Env = append(append(os.Environ(), env...), "GOBIN="+bin)
	out, err := install.CombinedOutput()
	require.NoError(t, err, "%s", out)

	c.program = filepath.Join(bin, "aifo-coder")
	c.env = append(c.env, env...)
	require.Equal(t, "aifo-coder "+version+"\n", c.run("", "version").stdout)
	r := c.run("", "--dry-run", "shell")
	require.NotEqual(t, 0, r.code, "a dry run builds nothing")
	require.Contains(t, r.stderr, "without --dry-run")
	r = c.run("", "--toolchain", "rust", "shell", "--", "cargo", "--version")
	require.Equal(t, 0, r.code)
	require.Contains(t, r.stdout, "cargo ")
	r = c.run("", "--dry-run", "shell")
	require.Equal(t, 0, r.code)

	c.env = append(c.env, "XDG_CACHE_HOME="+t.TempDir(), "PATH="+strings.Join([]string{filepath.Dir(hostProgram(t, "docker")), "/usr/bin", "/bin"}, ":"))
	r = c.run("", "--toolchain", "rust", "shell", "--", "cargo", "--version")
	require.Contains(t, r.stderr, "install Go")
}
