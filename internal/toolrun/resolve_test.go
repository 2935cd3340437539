//go:build linux

package toolrun

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/execproto"
)

// fakeFiles is a file system: paths that can be executed, and with a leading
// "!" those that cannot.
func fakeFiles(files []string) func(string) error {
	return func(path string) error {
		switch {
		case slices.Contains(files, path):
			return nil
		case slices.Contains(files, "!"+path):
			return fs.ErrPermission
		}
		return fs.ErrNotExist
	}
}

func TestResolve(t *testing.T) {
	const cwd = "/workspace/a/b"
	for name, tt := range map[string]struct {
		argv  []string
		cwd   string
		files []string
		want  Command
		err   error
	}{
		"in PATH":              {[]string{"cargo", "a b", "\xff"}, cwd, []string{"/u/cargo", "/l/cargo"}, Command{"/l/cargo", []string{"cargo", "a b", "\xff"}, ""}, nil},
		"second directory":     {[]string{"cargo"}, cwd, []string{"!/l/cargo", "/u/cargo"}, Command{"/u/cargo", []string{"cargo"}, ""}, nil},
		"not executable":       {[]string{"cargo"}, cwd, []string{"!/l/cargo"}, Command{Argv: []string{"cargo"}}, fs.ErrPermission},
		"not found":            {[]string{"cargo"}, cwd, nil, Command{Argv: []string{"cargo"}}, fs.ErrNotExist},
		"not local":            {[]string{"cargo"}, cwd, []string{"/workspace/a/b/cargo", "/workspace/.venv/bin/cargo"}, Command{Argv: []string{"cargo"}}, fs.ErrNotExist},
		"absolute":             {[]string{"/x/go", "v"}, cwd, []string{"/x/go", "/l/go"}, Command{"/x/go", []string{"/x/go", "v"}, ""}, nil},
		"relative":             {[]string{"./go"}, cwd, []string{cwd + "/go", "/l/go"}, Command{cwd + "/go", []string{"./go"}, ""}, nil},
		"another place":        {[]string{"/opt/go/bin/go", "v"}, cwd, []string{"/l/go"}, Command{"/l/go", []string{"go", "v"}, ""}, nil},
		"no tool's place":      {[]string{"/opt/go/go"}, cwd, []string{"/l/go"}, Command{"/opt/go/go", []string{"/opt/go/go"}, ""}, fs.ErrNotExist},
		"gone everywhere":      {[]string{"/opt/go/bin/go"}, cwd, nil, Command{"/opt/go/bin/go", []string{"/opt/go/bin/go"}, ""}, fs.ErrNotExist},
		"gone from workspace":  {[]string{"/workspace/bin/go"}, cwd, []string{"/l/go"}, Command{"/workspace/bin/go", []string{"/workspace/bin/go"}, ""}, fs.ErrNotExist},
		"not executable there": {[]string{"/x/bin/go"}, cwd, []string{"!/x/bin/go", "/l/go"}, Command{"/x/bin/go", []string{"/x/bin/go"}, ""}, fs.ErrPermission},
		"tsc nearest":          {[]string{"tsc", "-v"}, cwd, []string{"/workspace/a/node_modules/.bin/tsc", "/workspace/node_modules/.bin/tsc", "/l/tsc"}, Command{"/workspace/a/node_modules/.bin/tsc", []string{"tsc", "-v"}, ""}, nil},
		"tsc in workspace":     {[]string{"tsc"}, cwd, []string{"/workspace/node_modules/.bin/tsc", "/l/tsc"}, Command{"/workspace/node_modules/.bin/tsc", []string{"tsc"}, ""}, nil},
		"tsc not above":        {[]string{"tsc"}, cwd, []string{"/node_modules/.bin/tsc", "/l/tsc"}, Command{"/l/tsc", []string{"tsc"}, ""}, nil},
		"tsc not executable":   {[]string{"tsc"}, cwd, []string{"!/workspace/node_modules/.bin/tsc", "/l/tsc"}, Command{"/l/tsc", []string{"tsc"}, ""}, nil},
		"tsc by npx":           {[]string{"tsc", "-p", "x"}, cwd, []string{"/u/npx"}, Command{"/u/npx", []string{"npx", "--yes", "--package", "typescript", "tsc", "-p", "x"}, ""}, nil},
		"no tsc":               {[]string{"tsc"}, cwd, nil, Command{Argv: []string{"npx", "--yes", "--package", "typescript", "tsc"}}, fs.ErrNotExist},
		"venv":                 {[]string{"python", "-V"}, cwd, []string{"/workspace/.venv/bin/python", "/l/python"}, Command{"/workspace/.venv/bin/python", []string{"/workspace/.venv/bin/python", "-V"}, "/workspace/.venv"}, nil},
		"venv nearest":         {[]string{"pip3"}, cwd, []string{"/workspace/.venv/bin/pip3", "/workspace/a/.venv/bin/pip3"}, Command{"/workspace/a/.venv/bin/pip3", []string{"/workspace/a/.venv/bin/pip3"}, "/workspace/a/.venv"}, nil},
		"venv broken":          {[]string{"python3"}, cwd, []string{"!/workspace/.venv/bin/python3", "/l/python3"}, Command{"/l/python3", []string{"python3"}, ""}, nil},
		"venv elsewhere":       {[]string{"python"}, "/workspacex", []string{"/workspacex/.venv/bin/python", "/l/python"}, Command{"/l/python", []string{"python"}, ""}, nil},
		"python is python3":    {[]string{"python", "x"}, cwd, []string{"/l/python3"}, Command{"/l/python3", []string{"python3", "x"}, ""}, nil},
		"pip is pip3":          {[]string{"pip"}, cwd, []string{"/l/pip3"}, Command{"/l/pip3", []string{"pip3"}, ""}, nil},
		"python3 not python":   {[]string{"python3"}, cwd, []string{"/l/python"}, Command{Argv: []string{"python3"}}, fs.ErrNotExist},
		"python unexecutable":  {[]string{"python"}, cwd, []string{"!/l/python", "/l/python3"}, Command{Argv: []string{"python"}}, fs.ErrPermission},
	} {
		got, err := Resolve(tt.argv, tt.cwd, Lookups{Dirs: []string{"/l", "/u"}, Workspace: "/workspace", Executable: fakeFiles(tt.files)})
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", name, err, tt.err)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tt.want)
		}
	}
}

func TestSearchPath(t *testing.T) {
	got := SearchPath("/usr/local/go/bin:/bin", "/h", "/g")
	want := []string{"/usr/local/go/bin", "/bin", "/h/.cargo/bin", "/h/.local/bin", "/usr/local/cargo/bin", "/g/bin"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := SearchPath("", "", ""); got[0] != "/usr/local/sbin" || !slices.Contains(got, "/home/coder/.cargo/bin") || !slices.Contains(got, "/go/bin") {
		t.Errorf("%q", got)
	}
}

func TestEnviron(t *testing.T) {
	env := environ([]string{"VIRTUAL_ENV=old"}, Command{Venv: "/workspace/.venv"}, []string{"/a", "/b"})
	for _, e := range []string{"VIRTUAL_ENV=/workspace/.venv", "PATH=/workspace/.venv/bin:/a:/b"} {
		if !slices.Contains(env, e) {
			t.Errorf("no %s in %q", e, env)
		}
	}
	if slices.Contains(env, "VIRTUAL_ENV=old") {
		t.Error("two values of VIRTUAL_ENV")
	}
	for venv, want := range map[string]string{"/workspace/.venv": "/workspace/.venv/bin:/a", "/opt/venv": "/a"} {
		if path := getenv(environ([]string{"VIRTUAL_ENV=" + venv}, Command{}, []string{"/a"}), "PATH"); path != want {
			t.Errorf("%s, activated by the caller: PATH %s", venv, path)
		}
	}
}

func TestTools(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("one", `echo "one $1"; echo more`)
	script("two", `test "$1" = version && echo "two of them"`)
	script("fails", "echo nonsense; exit 1")
	script("endless", "while echo x; do :; done")
	script("silent", "read nothing")
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("HOME", dir)
	var out strings.Builder
	if code := Tools([]string{"--probe=two", "--probe=version", "--", "one", "two", "none", "fails", "endless", "silent"}, &out); code != 0 {
		t.Fatal(code)
	}
	want := []execproto.FoundTool{
		{Name: "one", Path: dir + "/one", Version: "one --version"}, {Name: "two", Path: dir + "/two", Version: "two of them"},
		{Name: "fails", Path: dir + "/fails"}, {Name: "endless", Path: dir + "/endless"}, {Name: "silent", Path: dir + "/silent"},
	}
	var got []execproto.FoundTool
	for line := range strings.Lines(out.String()) {
		f, ok := execproto.ParseFoundTool(strings.TrimSuffix(line, "\n"))
		if !ok {
			t.Errorf("%q", line)
		}
		got = append(got, f)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Failure
	}{
		{fmt.Errorf("x: %w", fs.ErrNotExist), Failure{127, "cargo: not found in the rust sidecar"}},
		{errTooLong, Failure{126, "cargo: argument list too long"}},
		{&fs.PathError{Err: fs.ErrPermission}, Failure{126, "cargo: cannot be executed in the rust sidecar: permission denied"}},
	} {
		if got := Explain("cargo", "rust sidecar", tt.err); got != tt.want {
			t.Errorf("%v: %+v", tt.err, got)
		}
	}
}

// TestLookPath: a file that may not be executed explains why there is no tool, a
// directory that may not be searched does not.
func TestLookPath(t *testing.T) {
	refuse := func(op string) func(string) error {
		return func(path string) error { return &fs.PathError{Op: op, Path: path, Err: fs.ErrPermission} }
	}
	if _, err := LookPath("x", []string{"/a"}, refuse("execute")); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := LookPath("x", []string{"/a"}, refuse("stat")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestExecutable(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/yes", nil, 0o755), os.WriteFile(dir+"/no", nil, 0o644), os.Symlink("none", dir+"/broken")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"yes": nil, "no": fs.ErrPermission, "broken": fs.ErrNotExist, "none": fs.ErrNotExist, "": fs.ErrPermission} {
		if err := Executable(filepath.Join(dir, name)); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
