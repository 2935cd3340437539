package shims

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

var binary = bytes.Repeat([]byte("shim"), 1000)

var tools = []string{"cargo", "g++", "cargo", "rust-analyzer"}

// some is a directory's content with the links of tools and our own.
func some(binary []byte) content {
	return content{binary, []string{"aifo-mcp", "aifo-run", "aifo-tools", "cargo", "g++", "notifications-cmd", "rust-analyzer", "say"}}
}

func TestLoad(t *testing.T) {
	fsys := fstest.MapFS{"bin/aifo-shim-linux-amd64": {Data: binary}}
	if got, err := load(fsys, t.TempDir(), "amd64", tools); err != nil || !reflect.DeepEqual(got, some(binary)) {
		t.Errorf("%q, %v", got.names, err)
	}
	const want = "this build of aifo-coder has no shim for linux/arm64"
	if _, err := load(fsys, t.TempDir(), "arm64", tools); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if _, err := load(fsys, t.TempDir(), "../x", tools); err == nil {
		t.Error("an architecture that is a path was taken")
	}
	if _, err := Path("/c", "none", tools); err == nil {
		t.Error("a path for an unknown architecture")
	}
}

func TestPath(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "cache")
	a, b := some(binary).path(cache), some(binary[1:]).path(cache)
	if a == b || filepath.Dir(a) != filepath.Join(cache, "shims") || len(filepath.Base(a)) != 16 {
		t.Errorf("%s, %s", a, b)
	}
	if _, err := os.Stat(cache); err == nil {
		t.Error("path made a directory")
	}
}

// verify checks a directory as a container sees it.
func verify(t *testing.T, dir string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(dir, Binary)); err != nil || !bytes.Equal(got, binary) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, name := range some(nil).names {
		if target, err := os.Readlink(filepath.Join(dir, name)); target != Binary {
			t.Errorf("%s leads to %q, %v", name, target, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(some(nil).names)+1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if others, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".new-*")); len(others) > 0 {
		t.Errorf("left over: %v", others)
	}
}

func skipWindows(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no modes, and links need a privilege")
	}
}

func TestInstall(t *testing.T) {
	skipWindows(t)
	cache := filepath.Join(t.TempDir(), "a", "cache")
	dir, err := some(binary).install(cache)
	if err != nil || dir != some(binary).path(cache) {
		t.Fatalf("%s, %v", dir, err)
	}
	verify(t, dir)
	for _, p := range []string{dir, filepath.Join(dir, Binary)} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	before, _ := os.Stat(filepath.Join(dir, Binary))
	if _, err := some(binary).install(cache); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(filepath.Join(dir, Binary)); !os.SameFile(before, after) {
		t.Error("an intact program was written again")
	}
}

func TestRepair(t *testing.T) {
	skipWindows(t)
	for name, damage := range map[string]func(dir string) error{
		"short program":   func(d string) error { return os.Truncate(filepath.Join(d, Binary), 7) },
		"no program":      func(d string) error { return os.Remove(filepath.Join(d, Binary)) },
		"not executable":  func(d string) error { return os.Chmod(filepath.Join(d, Binary), 0o644) },
		"no link":         func(d string) error { return os.Remove(filepath.Join(d, "cargo")) },
		"file for a link": func(d string) error { return os.Rename(filepath.Join(d, Binary), filepath.Join(d, "cargo")) },
	} {
		cache := t.TempDir()
		dir, err := some(binary).install(cache)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat(dir)
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := some(binary).install(cache); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		verify(t, dir)
		if after, _ := os.Stat(dir); !os.SameFile(before, after) {
			t.Errorf("%s: the directory was replaced under its users", name)
		}
	}
}

func TestInstallAtOnce(t *testing.T) {
	skipWindows(t)
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := some(binary).install(cache); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	verify(t, some(binary).path(cache))
}

func TestInstallRefuses(t *testing.T) {
	skipWindows(t)
	for name, prepare := range map[string]func(dir string) error{
		"can be written by others": func(d string) error { return os.Chmod(d, 0o777) },
		"can be written by":        func(d string) error { return os.Chmod(d, 0o775) },
		"is not a directory":       func(d string) error { return os.Rename(d, d+"x") },
		"belongs to another user":  func(d string) error { return os.Chown(d, 12345, -1) },
	} {
		if name == "belongs to another user" && os.Geteuid() != 0 {
			continue
		}
		cache := t.TempDir()
		dir, err := some(binary).install(cache)
		if err != nil {
			t.Fatal(err)
		}
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		if name == "is not a directory" {
			if err := os.Symlink(dir+"x", dir); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := some(binary).install(cache); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
